package v1

// Condition types of the kinds of this group. Ready, Reconciling and Stalled follow the kstatus conventions.
const (
	// ConditionReady is True when every component is ready and as it was asked for.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, while something is under way.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when nothing will happen until the user acts.
	ConditionStalled = "Stalled"
	// ConditionMonitoring says whether the wanted PodMonitor could be made; present where it is asked for.
	ConditionMonitoring = "MonitoringAvailable"
	// ConditionBackup is the database's word on its scheduled backups; present where they are asked for.
	ConditionBackup = "BackupScheduled"
	// ConditionBackupVerified is the database's word on the proofs of its backups; present where it has one.
	ConditionBackupVerified = "BackupVerified"
)

// Reasons of the conditions, one word for each cause.
const (
	ReasonReady             = "Ready"
	ReasonDeploying         = "Deploying"
	ReasonDegraded          = "Degraded"
	ReasonComponentStalled  = "ComponentStalled"
	ReasonInvalidSpec       = "InvalidSpec"
	ReasonObjectConflict    = "ObjectConflict"
	ReasonKindNotServed     = "KindNotServed"
	ReasonDeleting          = "Deleting"
	ReasonError             = "Error"
	ReasonPodMonitorMade    = "Made"
	ReasonPodMonitorMissing = "APINotInstalled"
)

// Phases, one word for people who watch: derived from the conditions, read by nobody.
const (
	PhasePending   = "Pending"
	PhaseDeploying = "Deploying"
	PhaseRunning   = "Running"
	PhaseDegraded  = "Degraded"
	PhaseFailed    = "Failed"
	PhaseDeleting  = "Deleting"
)
