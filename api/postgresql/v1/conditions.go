package v1

// Condition types of a Cluster. Ready, Reconciling and Stalled follow the kstatus conventions.
const (
	// ConditionReady is True when every wanted instance serves and nothing is left to do.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, while something is under way.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when nothing will happen until the user acts.
	ConditionStalled = "Stalled"
	// ConditionContinuousArchiving says whether WAL reaches the archive; present where spec.backup asks for it.
	ConditionContinuousArchiving = "ContinuousArchiving"
	// ConditionBackedUp says whether there is a backup, as new as the schedules want it; present where there is an archive.
	ConditionBackedUp = "BackedUp"
	// ConditionBackupVerified says whether the backups were proved lately by restoring one; present where there is an archive.
	ConditionBackupVerified = "BackupVerified"
	// ConditionBackupsCopied says whether every copy of the archive is up to date; present where spec.backup asks for copies.
	ConditionBackupsCopied = "BackupsCopied"
	// ConditionRestorable says of a Backup whether it can be restored.
	ConditionRestorable = "Restorable"
	// ConditionSyncReplication says whether commits are on as many replicas as wanted before they are acknowledged; present
	// where that is wanted.
	ConditionSyncReplication = "SyncReplication"
	// ConditionDiskSpace says whether every volume has room.
	ConditionDiskSpace = "DiskSpace"
	// ConditionPodMonitor says whether the wanted PodMonitor could be made; present where it is asked for.
	ConditionPodMonitor = "PodMonitorAvailable"
	// ConditionPaused is present, and True, while reconciliation is paused by annotation.
	ConditionPaused = "Paused"
	// ConditionHibernated is present, and True, while the Cluster sleeps by annotation.
	ConditionHibernated = "Hibernated"
)

// Reasons of the conditions, one word for each cause.
const (
	ReasonReady                  = "Ready"
	ReasonInvalidParameters      = "InvalidParameters"
	ReasonInvalidHBA             = "InvalidHBA"
	ReasonInvalidImage           = "InvalidImage"
	ReasonUnsupportedVersion     = "UnsupportedVersion"
	ReasonMajorVersionChange     = "MajorVersionChange"
	ReasonFeatureNotAvailable    = "FeatureNotAvailable"
	ReasonRecordMissing          = "RecordMissing"
	ReasonVolumeMissing          = "PrimaryVolumeMissing"
	ReasonInvalidCertificate     = "InvalidCertificate"
	ReasonSecretMissing          = "SecretMissing"
	ReasonInvalidService         = "InvalidService"
	ReasonStorageNotExpandable   = "StorageNotExpandable"
	ReasonObjectConflict         = "ObjectConflict"
	ReasonImagePullFailed        = "ImagePullFailed"
	ReasonCreatingVolumes        = "CreatingVolumes"
	ReasonInitializing           = "Initializing"
	ReasonBootstrapFailed        = "BootstrapFailed"
	ReasonStartingInstances      = "StartingInstances"
	ReasonCloningReplicas        = "CloningReplicas"
	ReasonInstanceUnhealthy      = "InstanceUnhealthy"
	ReasonInstanceUnreachable    = "InstanceUnreachable"
	ReasonInstanceUnschedulable  = "InstanceUnschedulable"
	ReasonScalingDown            = "ScalingDown"
	ReasonRollingUpdate          = "RollingUpdate"
	ReasonWaitingForUser         = "WaitingForUser"
	ReasonRestarting             = "RestartingPostgres"
	ReasonConfiguring            = "ApplyingConfiguration"
	ReasonExpandingVolumes       = "ExpandingVolumes"
	ReasonHibernating            = "Hibernating"
	ReasonRecoveringInPlace      = "RecoveringInPlace"
	ReasonInPlaceRefused         = "RecoverInPlaceRefused"
	ReasonHibernated             = "Hibernated"
	ReasonWaking                 = "Waking"
	ReasonPaused                 = "Paused"
	ReasonDeleting               = "Deleting"
	ReasonError                  = "Error"
	ReasonPodMonitorMade         = "Made"
	ReasonSynchronous            = "Synchronous"
	ReasonDegraded               = "Degraded"
	ReasonNotSynchronousYet      = "NotSynchronousYet"
	ReasonSwitchingOver          = "SwitchingOver"
	ReasonNoProgress             = "NoProgress"
	ReasonEnoughSpace            = "Enough"
	ReasonVolumeFilling          = "VolumeFilling"
	ReasonVolumeFull             = "VolumeFull"
	ReasonPodMonitorAPINotFound  = "APINotInstalled"
	ReasonBackupNotConfigured    = "NotConfigured"
	ReasonArchiving              = "Archiving"
	ReasonArchivingFailed        = "ArchivingFailed"
	ReasonWALMissing             = "WALMissing"
	ReasonArchivingStarting      = "Starting"
	ReasonBackedUp               = "BackedUp"
	ReasonNoBackup               = "NoBackup"
	ReasonBackupTooOld           = "BackupTooOld"
	ReasonVerified               = "Verified"
	ReasonNoDrill                = "NoDrillScheduled"
	ReasonNoDrillYet             = "NoDrillYet"
	ReasonDrillFailed            = "DrillFailed"
	ReasonDrillTooOld            = "DrillTooOld"
	ReasonCopied                 = "Copied"
	ReasonCopying                = "Copying"
	ReasonCopyFailed             = "CopyFailed"
	ReasonCopyBehind             = "CopyBehind"
	ReasonNothingToCopy          = "NothingToCopy"
	ReasonBackupMissing          = "BackupMissing"
	ReasonBackupPlaceTaken       = "ArchiveTaken"
	ReasonClusterMissing         = "ClusterMissing"
	ReasonBackupCompleted        = "Completed"
	ReasonBackupFailed           = "BackupFailed"
	ReasonBackupExpired          = "Expired"
	ReasonBackupRunning          = "BackupRunning"
	ReasonBackupQueued           = "AnotherBackupRuns"
	ReasonNoInstance             = "NoInstanceReady"
	ReasonSnapshotsNotSupported  = "VolumeSnapshotsNotAvailable"
	ReasonInvalidSchedule        = "InvalidSchedule"
	ReasonSuspended              = "Suspended"
	ReasonScheduled              = "Scheduled"
	ReasonBackupDestinationEmpty = "DestinationMissing"
	ReasonDatabaseConflict       = "DatabaseConflict"
	ReasonWaitingForPrimary      = "WaitingForPrimary"
	ReasonConfiguringDatabase    = "ConfiguringDatabase"
	ReasonDatabaseRefused        = "DatabaseRefused"
)
