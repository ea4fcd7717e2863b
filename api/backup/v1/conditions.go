package v1

// Condition types. They follow the kstatus conventions.
const (
	// ConditionReady is True when dumps are taken as asked for, and the last one succeeded.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, while something is under way or waited for.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when nothing will happen until the user acts.
	ConditionStalled = "Stalled"
	// ConditionVerified is True when the newest dump was restored to prove it, False when that failed, Unknown before the first time.
	// It is absent where no test restore is asked for.
	ConditionVerified = "Verified"
)

// Reasons of the conditions, one word for each cause.
const (
	ReasonScheduled          = "Scheduled"
	ReasonCompleted          = "Completed"
	ReasonDumping            = "Dumping"
	ReasonDumpFailed         = "DumpFailed"
	ReasonVerified           = "Verified"
	ReasonVerificationFailed = "VerificationFailed"
	ReasonNotVerified        = "NotVerified"
	ReasonSuspended          = "Suspended"
	ReasonInvalidSchedule    = "InvalidSchedule"
	ReasonSourceMissing      = "SourceMissing"
	ReasonWaitingForSource   = "WaitingForSource"
	ReasonSecretMissing      = "SecretMissing"
	ReasonSecretInvalid      = "SecretInvalid"
	ReasonImageNotConfigured = "ImageNotConfigured"
)
