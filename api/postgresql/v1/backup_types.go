package v1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Backup is one backup of a Cluster. It is taken once; its status says what became of it and whether it can be restored.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=pgb,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.cluster.name`
// +kubebuilder:printcolumn:name="Method",type=string,JSONPath=`.spec.method`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Progress",type=string,JSONPath=`.status.progress.display`
// +kubebuilder:printcolumn:name="Size",type=string,JSONPath=`.status.size`
// +kubebuilder:printcolumn:name="Duration",type=string,JSONPath=`.status.duration`
// +kubebuilder:printcolumn:name="Restorable",type=string,JSONPath=`.status.conditions[?(@.type=="Restorable")].status`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.conditions[?(@.type=="Restorable")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Instance",type=string,priority=1,JSONPath=`.status.instanceID.podName`
// +kubebuilder:printcolumn:name="ID",type=string,priority=1,JSONPath=`.status.backupId`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Backup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what to back up.
	Spec BackupSpec `json:"spec"`
	// Status is what became of it.
	// +optional
	Status BackupStatus `json:"status,omitempty"`
}

// BackupList is a list of Backups.
//
// +kubebuilder:object:root=true
type BackupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Backup `json:"items"`
}

// BackupMethod is how a backup is taken.
type BackupMethod string

// The backup methods.
const (
	BackupMethodObjectStore       BackupMethod = "objectStore"
	BackupMethodBarmanObjectStore BackupMethod = "barmanObjectStore"
	BackupMethodVolumeSnapshot    BackupMethod = "volumeSnapshot"
)

// BackupTarget is which instance backups are taken from.
type BackupTarget string

// The backup targets.
const (
	BackupTargetPreferStandby BackupTarget = "prefer-standby"
	BackupTargetPrimary       BackupTarget = "primary"
)

// BackupReclaimPolicy says what becomes of the stored backup when the object is deleted.
type BackupReclaimPolicy string

// The backup reclaim policies.
const (
	BackupReclaimRetain BackupReclaimPolicy = "Retain"
	BackupReclaimDelete BackupReclaimPolicy = "Delete"
)

// BackupSpec is what to back up, and how.
//
// +kubebuilder:validation:XValidation:rule="self.cluster == oldSelf.cluster && self.method == oldSelf.method && has(self.target) == has(oldSelf.target) && (!has(self.target) || self.target == oldSelf.target) && has(self.online) == has(oldSelf.online) && (!has(self.online) || self.online == oldSelf.online) && has(self.onlineConfiguration) == has(oldSelf.onlineConfiguration) && (!has(self.onlineConfiguration) || self.onlineConfiguration == oldSelf.onlineConfiguration)",message="spec: a Backup is taken once; only reclaimPolicy can change later; create another Backup"
// +kubebuilder:validation:XValidation:rule="!has(self.online) || self.online",message="spec.online: the Cluster goes on while a backup of it is taken, by every method; leave it out"
type BackupSpec struct {
	// Cluster to back up, in the same namespace.
	Cluster LocalObjectReference `json:"cluster"`

	// Method: objectStore writes to the store of the Cluster's spec.backup; barmanObjectStore is another spelling of it;
	// volumeSnapshot takes a snapshot of the instance's volume, where the Kubernetes cluster can; the store has the WAL.
	// +optional
	// +kubebuilder:default=objectStore
	// +kubebuilder:validation:Enum=objectStore;barmanObjectStore;volumeSnapshot
	Method BackupMethod `json:"method,omitempty"`

	// Target in place of the Cluster's spec.backup.target.
	// +optional
	// +kubebuilder:validation:Enum=prefer-standby;primary
	Target BackupTarget `json:"target,omitempty"`

	// Online: the Cluster goes on while the backup is taken.
	// +optional
	Online *bool `json:"online,omitempty"`

	// OnlineConfiguration of the backup.
	// +optional
	OnlineConfiguration *OnlineBackupConfiguration `json:"onlineConfiguration,omitempty"`

	// ReclaimPolicy says what becomes of the stored backup when this object is deleted: Retain leaves it to the Cluster's
	// retentionPolicy, Delete removes it from the store first.
	// +optional
	// +kubebuilder:default=Retain
	// +kubebuilder:validation:Enum=Retain;Delete
	ReclaimPolicy BackupReclaimPolicy `json:"reclaimPolicy,omitempty"`
}

// OnlineBackupConfiguration of a backup.
type OnlineBackupConfiguration struct {
	// ImmediateCheckpoint begins with a fast checkpoint in place of waiting for the next one.
	// +optional
	ImmediateCheckpoint *bool `json:"immediateCheckpoint,omitempty"`
	// WaitForArchive until the WAL that the backup needs is in the archive. Always so into a store.
	// +optional
	WaitForArchive *bool `json:"waitForArchive,omitempty"`
}

// BackupPhase is how a backup stands in one word, for people; nothing is decided by it.
type BackupPhase string

// The phases of a backup.
const (
	BackupPending   BackupPhase = "pending"
	BackupStarted   BackupPhase = "started"
	BackupRunning   BackupPhase = "running"
	BackupCompleted BackupPhase = "completed"
	BackupFailed    BackupPhase = "failed"
)

// BackupStatus is what became of a Backup.
type BackupStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase: pending, started, running, completed or failed. For people; the conditions say more.
	// +optional
	Phase BackupPhase `json:"phase,omitempty"`

	// Method that was used.
	// +optional
	Method BackupMethod `json:"method,omitempty"`

	// BackupID is the backup's name in the store.
	// +optional
	BackupID string `json:"backupId,omitempty"`

	// DestinationPath and serverName are where it is.
	// +optional
	DestinationPath string `json:"destinationPath,omitempty"`

	// ServerName is the folder below destinationPath.
	// +optional
	ServerName string `json:"serverName,omitempty"`

	// ObjectStore that holds it, as the Cluster had it: so that it can be restored when the Cluster is gone.
	// +optional
	ObjectStore *ObjectStore `json:"objectStore,omitempty"`

	// Volume that holds it, as the Cluster had it.
	// +optional
	Volume *VolumeStore `json:"volume,omitempty"`

	// Snapshot that holds the files, by method volumeSnapshot; gone once that was deleted.
	// +optional
	Snapshot *BackupSnapshot `json:"snapshot,omitempty"`

	// ClientEncryption that it was written with.
	// +optional
	ClientEncryption *ClientEncryption `json:"clientEncryption,omitempty"`

	// Origin is what the Cluster was like: so that another can be made of the backup when the Cluster is gone.
	// +optional
	Origin *BackupOrigin `json:"origin,omitempty"`

	// InstanceID is the instance that it was taken from.
	// +optional
	InstanceID *BackupInstance `json:"instanceID,omitempty"`

	// Attempts to take it.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`

	// StartedAt is when the attempt that counts began.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// StoppedAt is when it ended.
	// +optional
	StoppedAt *metav1.Time `json:"stoppedAt,omitempty"`

	// Duration of the backup, such as 4m10s.
	// +optional
	Duration string `json:"duration,omitempty"`

	// Size in the store, such as 1.2Gi.
	// +optional
	Size string `json:"size,omitempty"`

	// SizeBytes in the store.
	// +optional
	SizeBytes *resource.Quantity `json:"sizeBytes,omitempty"`

	// DataBytes that were read.
	// +optional
	DataBytes *resource.Quantity `json:"dataBytes,omitempty"`

	// Incremental to this backup ID; empty for a full one.
	// +optional
	Incremental string `json:"incremental,omitempty"`

	// BeginLSN is where the WAL that it needs begins.
	// +optional
	BeginLSN string `json:"beginLSN,omitempty"`

	// EndLSN is where it is consistent.
	// +optional
	EndLSN string `json:"endLSN,omitempty"`

	// BeginWal is the first segment that it needs.
	// +optional
	BeginWal string `json:"beginWal,omitempty"`

	// EndWal is the last segment that it needs.
	// +optional
	EndWal string `json:"endWal,omitempty"`

	// TimelineID of the data.
	// +optional
	TimelineID int64 `json:"timelineID,omitempty"`

	// SystemID is PostgreSQL's system identifier.
	// +optional
	SystemID string `json:"systemID,omitempty"`

	// Major version of the data.
	// +optional
	Major int32 `json:"major,omitempty"`

	// Progress while it runs.
	// +optional
	Progress *BackupProgress `json:"progress,omitempty"`

	// Error that ended it.
	// +optional
	Error string `json:"error,omitempty"`

	// Verified: all of it was read back after it was stored, and its checksums are right.
	// +optional
	Verified bool `json:"verified,omitempty"`

	// Drill is the last time that it was restored to prove it.
	// +optional
	Drill *DrillStatus `json:"drill,omitempty"`

	// Retention is how the Cluster's retentionPolicy was followed after this backup.
	// +optional
	Retention *BackupRetention `json:"retention,omitempty"`

	// Expired says that what was stored is there no more.
	// +optional
	Expired *BackupExpired `json:"expired,omitempty"`

	// Conditions: Ready, Reconciling, Stalled, and Restorable.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BackupSnapshot is the snapshot of a volume.
type BackupSnapshot struct {
	// Name of the VolumeSnapshot, in the same namespace.
	Name string `json:"name"`
	// ClassName of its VolumeSnapshotClass.
	ClassName string `json:"className"`
	// TakenAt is when it was seen to be cut; it may not be ready to use until later.
	// +optional
	TakenAt *metav1.Time `json:"takenAt,omitempty"`
	// RestoreSize is what a volume made of it must have at least, such as 10Gi.
	// +optional
	RestoreSize string `json:"restoreSize,omitempty"`
}

// BackupRetention is how a retentionPolicy was followed after a backup.
type BackupRetention struct {
	// Policy that was followed, such as 30d.
	Policy string `json:"policy"`
	// At is when.
	At metav1.Time `json:"at"`
	// Deleted are the backup IDs, of Backups of this Cluster, that were no longer in the store afterwards.
	// +optional
	// +listType=set
	Deleted []string `json:"deleted,omitempty"`
	// FirstRecoverabilityPoint is the earliest moment that one could recover to afterwards.
	// +optional
	FirstRecoverabilityPoint *metav1.Time `json:"firstRecoverabilityPoint,omitempty"`
	// Error that kept it from being followed: nothing, or not everything, was deleted.
	// +optional
	Error string `json:"error,omitempty"`
}

// BackupExpired says by what, and when, a stored backup was deleted.
type BackupExpired struct {
	// Policy that was followed, such as 30d.
	Policy string `json:"policy"`
	// At is when it was found to be deleted.
	At metav1.Time `json:"at"`
	// FirstRecoverabilityPoint is the earliest moment that one could recover to afterwards.
	// +optional
	FirstRecoverabilityPoint *metav1.Time `json:"firstRecoverabilityPoint,omitempty"`
}

// BackupOrigin is what a Cluster was like when a backup was taken of it.
type BackupOrigin struct {
	// Image of PostgreSQL that it ran.
	// +optional
	Image string `json:"image,omitempty"`
	// Instances of it.
	// +optional
	Instances int32 `json:"instances,omitempty"`
	// StorageSize of each volume, such as 10Gi.
	// +optional
	StorageSize string `json:"storageSize,omitempty"`
	// StorageClass of the volumes; the Kubernetes cluster's default if empty.
	// +optional
	StorageClass *string `json:"storageClass,omitempty"`
	// Database of the application.
	// +optional
	Database string `json:"database,omitempty"`
	// Owner of the database.
	// +optional
	Owner string `json:"owner,omitempty"`
}

// BackupInstance is an instance that a backup was taken from.
type BackupInstance struct {
	// PodName of the instance.
	PodName string `json:"podName"`
	// PodUID of the instance.
	// +optional
	PodUID string `json:"podUID,omitempty"`
}

// BackupProgress is how far a backup is.
type BackupProgress struct {
	// Step it is at, such as copying or waiting for WAL.
	// +optional
	Step string `json:"step,omitempty"`
	// Percent done.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Percent int32 `json:"percent"`
	// BytesDone of bytesTotal.
	// +optional
	BytesDone int64 `json:"bytesDone,omitempty"`
	// BytesTotal to read.
	// +optional
	BytesTotal int64 `json:"bytesTotal,omitempty"`
	// EstimatedCompletion at the speed so far.
	// +optional
	EstimatedCompletion *metav1.Time `json:"estimatedCompletion,omitempty"`
	// Display is the progress in a few characters.
	// +optional
	Display string `json:"display,omitempty"`
}

// ScheduledBackup takes Backups of a Cluster on a schedule.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=pgsb,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.cluster.name`
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name="Suspend",type=boolean,JSONPath=`.spec.suspend`
// +kubebuilder:printcolumn:name="Last backup",type=date,JSONPath=`.status.lastScheduleTime`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.nextScheduleTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 230",message="metadata.name: must be at most 230 characters long, since a moment is appended to it for each Backup"
type ScheduledBackup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	Spec ScheduledBackupSpec `json:"spec"`
	// Status is the state last seen.
	// +optional
	Status ScheduledBackupStatus `json:"status,omitempty"`
}

// ScheduledBackupList is a list of ScheduledBackups.
//
// +kubebuilder:object:root=true
type ScheduledBackupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ScheduledBackup `json:"items"`
}

// BackupOwnerReference is who owns the Backups of a schedule, and takes them along when it is deleted.
type BackupOwnerReference string

// The owners of scheduled Backups.
const (
	BackupOwnerNone    BackupOwnerReference = "none"
	BackupOwnerSelf    BackupOwnerReference = "self"
	BackupOwnerCluster BackupOwnerReference = "cluster"
)

// ScheduledBackupSpec is when to back up what.
//
// +kubebuilder:validation:XValidation:rule="self.cluster == oldSelf.cluster",message="spec.cluster: cannot change; create another ScheduledBackup"
// +kubebuilder:validation:XValidation:rule="!has(self.online) || self.online",message="spec.online: the Cluster goes on while a backup of it is taken, by every method; leave it out"
type ScheduledBackupSpec struct {
	// Schedule in cron's five fields, or six with seconds first, such as "0 2 * * *" or "0 0 2 * * *"; @daily and the like
	// work too.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:XValidation:rule="self.matches('^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[^ ]+( +[^ ]+){4,5})$')",message="spec.schedule: must have five fields (minute hour day-of-month month day-of-week), or six with seconds first"
	Schedule string `json:"schedule"`

	// TimeZone of the schedule, such as Europe/Zurich; UTC if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	TimeZone string `json:"timeZone,omitempty"`

	// Cluster to back up, in the same namespace.
	Cluster LocalObjectReference `json:"cluster"`

	// Suspend takes no more backups until it is false again.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`

	// Immediate takes the first backup at once.
	// +optional
	Immediate *bool `json:"immediate,omitempty"`

	// BackupOwnerReference: none, self (this object) or cluster own the Backups that are made.
	// +optional
	// +kubebuilder:default=none
	// +kubebuilder:validation:Enum=none;self;cluster
	BackupOwnerReference BackupOwnerReference `json:"backupOwnerReference,omitempty"`

	// Method of the Backups.
	// +optional
	// +kubebuilder:default=objectStore
	// +kubebuilder:validation:Enum=objectStore;barmanObjectStore;volumeSnapshot
	Method BackupMethod `json:"method,omitempty"`

	// Target of the Backups, in place of the Cluster's spec.backup.target.
	// +optional
	// +kubebuilder:validation:Enum=prefer-standby;primary
	Target BackupTarget `json:"target,omitempty"`

	// Online of the Backups.
	// +optional
	Online *bool `json:"online,omitempty"`

	// OnlineConfiguration of the Backups.
	// +optional
	OnlineConfiguration *OnlineBackupConfiguration `json:"onlineConfiguration,omitempty"`

	// ReclaimPolicy of the Backups.
	// +optional
	// +kubebuilder:validation:Enum=Retain;Delete
	ReclaimPolicy BackupReclaimPolicy `json:"reclaimPolicy,omitempty"`
}

// ScheduledBackupStatus is how a schedule stands.
type ScheduledBackupStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// LastCheckTime is the moment up to which the schedule has been followed.
	// +optional
	LastCheckTime *metav1.Time `json:"lastCheckTime,omitempty"`

	// LastScheduleTime is the moment of the schedule that the last Backup was made for.
	// +optional
	LastScheduleTime *metav1.Time `json:"lastScheduleTime,omitempty"`

	// LastBackup is that Backup's name.
	// +optional
	LastBackup string `json:"lastBackup,omitempty"`

	// NextScheduleTime is when the next one is due.
	// +optional
	NextScheduleTime *metav1.Time `json:"nextScheduleTime,omitempty"`

	// Conditions: Ready, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
