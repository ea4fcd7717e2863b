package v1

// Condition types of an AppConfig. Ready, Reconciling and Stalled follow the kstatus conventions.
const (
	// ConditionReady is True when the ConfigMap holds what the spec says and every user of it was told.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, while something is under way.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when nothing will happen until the user acts.
	ConditionStalled = "Stalled"
	// ConditionRolledBack is present, and True, while spec.rollbackTo keeps an earlier version in use.
	ConditionRolledBack = "RolledBack"
)

// Reasons of the conditions, one word for each cause.
const (
	ReasonReady           = "Ready"
	ReasonRollingOut      = "RollingOut"
	ReasonTemplateError   = "TemplateError"
	ReasonSecretMissing   = "SecretMissing"
	ReasonVersionNotFound = "VersionNotFound"
	ReasonTooLarge        = "TooLarge"
	ReasonDeleting        = "Deleting"
	ReasonObjectConflict  = "ObjectConflict"
	ReasonError           = "Error"
	ReasonRequested       = "Requested"
)
