package v1

// Condition types. Ready, Reconciling and Stalled follow the kstatus conventions.
const (
	// ConditionReady is True when every wanted replica serves.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, while something is under way.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when nothing will happen until the user acts.
	ConditionStalled = "Stalled"
	// ConditionBackup says whether backups are scheduled; present where spec.backup.enabled is true.
	ConditionBackup = "BackupScheduled"
	// ConditionBackupVerified says whether the newest dump of a MySQL was restored to prove it; present where
	// spec.backup.verification.testRestore asks for that.
	ConditionBackupVerified = "BackupVerified"
)

// Reasons of the conditions, one word for each cause, beside those of the Cluster that a PostgreSQL passes on.
const (
	ReasonReady                = "Ready"
	ReasonImageNotConfigured   = "ImageNotConfigured"
	ReasonMajorVersionChange   = "MajorVersionChange"
	ReasonClusterNotOwned      = "ClusterNotOwned"
	ReasonCreatingCluster      = "CreatingCluster"
	ReasonWaitingForCluster    = "WaitingForCluster"
	ReasonDeleting             = "Deleting"
	ReasonScheduled            = "Scheduled"
	ReasonDestinationMissing   = "DestinationMissing"
	ReasonWaitingForDatabase   = "WaitingForDatabase"
	ReasonFeatureNotAvailable  = "FeatureNotAvailable"
	ReasonInvalidSchedule      = "InvalidSchedule"
	ReasonObjectConflict       = "ObjectConflict"
	ReasonError                = "Error"
	ReasonFormingGroup         = "FormingGroup"
	ReasonStartingMembers      = "StartingMembers"
	ReasonNoPrimary            = "NoPrimary"
	ReasonMemberUnhealthy      = "MemberUnhealthy"
	ReasonImagePullFailed      = "ImagePullFailed"
	ReasonUnschedulable        = "Unschedulable"
	ReasonRollingUpdate        = "RollingUpdate"
	ReasonExpandingVolumes     = "ExpandingVolumes"
	ReasonStorageNotExpandable = "StorageNotExpandable"
)
