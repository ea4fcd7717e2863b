package v1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BackupConfiguration says where a Cluster archives its WAL and keeps its backups, for how long, and how they are proved.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.objectStore) && has(self.barmanObjectStore))",message="spec.backup: objectStore and barmanObjectStore are two spellings of the same; keep one"
// +kubebuilder:validation:XValidation:rule="!has(self.volume) || !(has(self.objectStore) || has(self.barmanObjectStore))",message="spec.backup: volume and an object store exclude each other; keep one"
// +kubebuilder:validation:XValidation:rule="!has(self.copies) || size(self.copies) == 0 || has(self.objectStore) || has(self.barmanObjectStore) || has(self.volume)",message="spec.backup.copies: there is no archive to copy; set objectStore"
type BackupConfiguration struct {
	// ObjectStore to archive to.
	// +optional
	ObjectStore *ObjectStore `json:"objectStore,omitempty"`

	// BarmanObjectStore is the spelling of existing manifests for objectStore.
	// +optional
	BarmanObjectStore *ObjectStore `json:"barmanObjectStore,omitempty"`

	// Volume to archive to, in place of an object store. Every instance mounts it: it must be ReadWriteMany where
	// instances run on several nodes.
	// +optional
	Volume *VolumeStore `json:"volume,omitempty"`

	// Target that backups are taken from: a replica where there is one that streams, or always the primary.
	// +optional
	// +kubebuilder:default=prefer-standby
	// +kubebuilder:validation:Enum=prefer-standby;primary
	Target BackupTarget `json:"target,omitempty"`

	// RetentionPolicy such as 30d, 4w or 6m: for how long one can recover to any moment. What is older is deleted after
	// a backup, never the last good one. Nothing is deleted if it is empty.
	// +optional
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]*[dwm]$`
	RetentionPolicy string `json:"retentionPolicy,omitempty"`

	// VolumeSnapshot is for Backups with method volumeSnapshot. They need an archive, too: for the WAL.
	// +optional
	VolumeSnapshot *VolumeSnapshotConfiguration `json:"volumeSnapshot,omitempty"`

	// ClientEncryption encrypts WAL and backups before they leave the instance.
	// +optional
	ClientEncryption *ClientEncryption `json:"clientEncryption,omitempty"`

	// Drill restores the newest backup on a schedule, to prove that it can be restored.
	// +optional
	Drill *DrillConfiguration `json:"drill,omitempty"`

	// Copies are further stores that all backups, and their WAL, are brought to. Each is an archive of its own: restoring from
	// it needs nothing of the first store.
	// +optional
	// +kubebuilder:validation:MaxItems=3
	// +listType=map
	// +listMapKey=name
	Copies []ArchiveCopy `json:"copies,omitempty"`
}

// VolumeSnapshotConfiguration is how snapshots of volumes are taken.
type VolumeSnapshotConfiguration struct {
	// ClassName of the VolumeSnapshotClass. By default that of the volume's driver which is marked as the default, or the only one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`
}

// ArchiveCopy is a further store, what of the archive it holds, and how often that is brought up to date.
type ArchiveCopy struct {
	// Name of the copy, for messages and metrics.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// ObjectStore to copy to. The folder below its destinationPath is that of the archive unless serverName names another. How
	// objects are compressed and encrypted by the client is how the archive has them.
	// +kubebuilder:validation:XValidation:rule="has(self.destinationPath) && self.destinationPath != ''",message="spec.backup.copies[].objectStore.destinationPath: is required; set it, such as s3://bucket/path"
	ObjectStore ObjectStore `json:"objectStore"`

	// Interval at which what is new is copied: how old the copy is at most, beside the time that the transfer takes.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+(ns|us|ms|s|m|h))+$') && duration(self) >= duration('10s') && duration(self) <= duration('24h')",message="spec.backup.copies[].interval: must be from 10s to 24h, such as 5m"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// RetentionPolicy of this copy such as 90d, 4w or 6m. What is older is neither copied nor kept. Nothing is deleted if it is
	// empty, and the credentials then need no right to.
	// +optional
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]*[dwm]$`
	RetentionPolicy string `json:"retentionPolicy,omitempty"`
}

// Store is the object store that is configured in either spelling; nil if there is none.
func (b *BackupConfiguration) Store() *ObjectStore {
	if b == nil {
		return nil
	}

	return eitherStore(b.ObjectStore, b.BarmanObjectStore)
}

// Store is the object store that is configured in either spelling; nil if there is none.
func (e *ExternalCluster) Store() *ObjectStore {
	if e == nil {
		return nil
	}

	return eitherStore(e.ObjectStore, e.BarmanObjectStore)
}

func eitherStore(one, other *ObjectStore) *ObjectStore {
	if one != nil {
		return one
	}

	return other
}

// VolumeStore is a volume that holds an archive.
//
// +kubebuilder:validation:XValidation:rule="size(self.persistentVolumeClaim.claimName) > 0",message="volume.persistentVolumeClaim.claimName: is empty; name the claim of the volume that holds the archive"
type VolumeStore struct {
	// PersistentVolumeClaim to mount.
	PersistentVolumeClaim corev1.PersistentVolumeClaimVolumeSource `json:"persistentVolumeClaim"`

	// ServerName is the folder of this Cluster; the Cluster's name if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-][A-Za-z0-9_.-]*$`
	ServerName string `json:"serverName,omitempty"`

	// Wal is how segments are archived.
	// +optional
	Wal *ObjectStoreTransfer `json:"wal,omitempty"`

	// Data is how base backups are made.
	// +optional
	Data *ObjectStoreTransfer `json:"data,omitempty"`
}

// ObjectStore is a place for backups and WAL.
//
// +kubebuilder:validation:XValidation:rule="[has(self.s3Credentials), has(self.googleCredentials), has(self.azureCredentials)].filter(x, x).size() <= 1",message="objectStore: s3Credentials, googleCredentials and azureCredentials exclude each other; keep those of destinationPath's store"
type ObjectStore struct {
	// DestinationPath such as s3://bucket/path, gs://bucket/path or https://account.blob.core.windows.net/container/path.
	// Required to archive anywhere.
	// +optional
	// +kubebuilder:validation:MaxLength=1000
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^(s3|gs|azure)://[^/?#@]+(/[^?#]*)?$') || self.matches('^https?://[^/?#@]+/[^?#]+$')",message="destinationPath: must be s3://bucket/path, gs://bucket/path, azure://container/path, or the https address of a container"
	DestinationPath string `json:"destinationPath,omitempty"`

	// ServerName is the folder of this Cluster below destinationPath; the Cluster's name if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-][A-Za-z0-9_.-]*$`
	ServerName string `json:"serverName,omitempty"`

	// EndpointURL of a store that is not the provider's own, such as https://s3.example.org:9000.
	// +optional
	// +kubebuilder:validation:MaxLength=1000
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^https?://[^/?#@]+(/[^?#]*)?$')",message="endpointURL: must begin with http:// or https:// and name a host"
	EndpointURL string `json:"endpointURL,omitempty"`

	// EndpointCA is a Secret's key with the CA bundle that the store's certificate is verified with.
	// +optional
	EndpointCA *corev1.SecretKeySelector `json:"endpointCA,omitempty"`

	// S3Credentials for the store.
	// +optional
	S3Credentials *S3Credentials `json:"s3Credentials,omitempty"`

	// GoogleCredentials for the store.
	// +optional
	GoogleCredentials *GoogleCredentials `json:"googleCredentials,omitempty"`

	// AzureCredentials for the store.
	// +optional
	AzureCredentials *AzureCredentials `json:"azureCredentials,omitempty"`

	// Encryption on the server's side, such as AES256 or aws:kms.
	// +optional
	// +kubebuilder:validation:Enum=AES256;aws:kms
	Encryption string `json:"encryption,omitempty"`

	// Wal is how segments are archived.
	// +optional
	Wal *ObjectStoreTransfer `json:"wal,omitempty"`

	// Data is how base backups are made.
	// +optional
	Data *ObjectStoreTransfer `json:"data,omitempty"`
}

// S3Credentials are references to the keys, or the workload's own identity.
//
// +kubebuilder:validation:XValidation:rule="has(self.accessKeyId) == has(self.secretAccessKey)",message="s3Credentials: accessKeyId and secretAccessKey go together; set both, or inheritFromIAMRole"
type S3Credentials struct {
	// AccessKeyID in a Secret.
	// +optional
	AccessKeyID *corev1.SecretKeySelector `json:"accessKeyId,omitempty"`
	// SecretAccessKey in a Secret.
	// +optional
	SecretAccessKey *corev1.SecretKeySelector `json:"secretAccessKey,omitempty"`
	// Region in a Secret.
	// +optional
	Region *corev1.SecretKeySelector `json:"region,omitempty"`
	// SessionToken in a Secret.
	// +optional
	SessionToken *corev1.SecretKeySelector `json:"sessionToken,omitempty"`
	// InheritFromIAMRole uses the pod's own workload identity.
	// +optional
	InheritFromIAMRole bool `json:"inheritFromIAMRole,omitempty"`
}

// GoogleCredentials are a service account's key, or the workload's own identity.
type GoogleCredentials struct {
	// ApplicationCredentials is a service account's JSON in a Secret.
	// +optional
	ApplicationCredentials *corev1.SecretKeySelector `json:"applicationCredentials,omitempty"`
	// GKEEnvironment uses the pod's own workload identity.
	// +optional
	GKEEnvironment bool `json:"gkeEnvironment,omitempty"`
}

// AzureCredentials are a connection string, an account with a key or a SAS token, or the workload's own identity.
type AzureCredentials struct {
	// ConnectionString in a Secret.
	// +optional
	ConnectionString *corev1.SecretKeySelector `json:"connectionString,omitempty"`
	// StorageAccount in a Secret.
	// +optional
	StorageAccount *corev1.SecretKeySelector `json:"storageAccount,omitempty"`
	// StorageKey in a Secret.
	// +optional
	StorageKey *corev1.SecretKeySelector `json:"storageKey,omitempty"`
	// StorageSasToken in a Secret.
	// +optional
	StorageSasToken *corev1.SecretKeySelector `json:"storageSasToken,omitempty"`
	// InheritFromAzureAD uses the pod's own workload identity.
	// +optional
	InheritFromAzureAD bool `json:"inheritFromAzureAD,omitempty"`
}

// ObjectStoreTransfer is compression and parallelism of a transfer.
type ObjectStoreTransfer struct {
	// Compression of what is stored; zstd if empty. bzip2, snappy, lz4 and xz of existing manifests are taken as zstd.
	// +optional
	// +kubebuilder:validation:Enum=none;gzip;zstd;bzip2;snappy;lz4;xz
	Compression string `json:"compression,omitempty"`
	// MaxParallel is how many transfers run at a time.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	MaxParallel int32 `json:"maxParallel,omitempty"`
	// Jobs is how many files are transferred at a time.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	Jobs int32 `json:"jobs,omitempty"`
	// ImmediateCheckpoint begins a backup with a fast checkpoint in place of waiting for the next one.
	// +optional
	ImmediateCheckpoint bool `json:"immediateCheckpoint,omitempty"`
	// Encryption on the server's side; that of the store applies if empty.
	// +optional
	// +kubebuilder:validation:Enum=AES256;aws:kms
	Encryption string `json:"encryption,omitempty"`
}

// ClientEncryption is encryption with age (age-encryption.org) before anything leaves the instance.
type ClientEncryption struct {
	// Recipients are age public keys (age1…). Each of them alone can decrypt. Keep the secret key of one of them in a safe
	// place outside of Kubernetes.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(r, r.startsWith('age1'))",message="clientEncryption.recipients: must be age public keys, which start with age1; a secret key belongs into a Secret, named by identity"
	// +listType=set
	Recipients []string `json:"recipients"`

	// Identity is a Secret's key with an age secret key (AGE-SECRET-KEY-1…) of one of the recipients. Restores, drills, and
	// replicas that catch up from the archive need it.
	Identity corev1.SecretKeySelector `json:"identity"`
}

// DrillConfiguration says how backups are proved: a throw-away instance restores the newest one, replays the WAL up to the
// newest, and is checked.
type DrillConfiguration struct {
	// Schedule in cron's five fields, or six with seconds first.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:XValidation:rule="self.matches('^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[^ ]+( +[^ ]+){4,5})$')",message="spec.backup.drill.schedule: must have five fields (minute hour day-of-month month day-of-week), or six with seconds first"
	Schedule string `json:"schedule"`

	// TimeZone of the schedule, such as Europe/Zurich; UTC if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	TimeZone string `json:"timeZone,omitempty"`

	// Checks are SQL that must be true.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	// +listType=map
	// +listMapKey=name
	Checks []DrillCheck `json:"checks,omitempty"`

	// Amcheck runs pg_amcheck over all databases, where the image has it.
	// +optional
	// +kubebuilder:default=true
	Amcheck *bool `json:"amcheck,omitempty"`

	// Size of the scratch volume, such as 100Gi; that of spec.storage if empty.
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`

	// StorageClass of the scratch volume; that of spec.storage if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClass *string `json:"storageClass,omitempty"`

	// MaxAge after which a proof counts no longer, and BackupVerified turns False; two of the schedule's intervals if empty.
	// +optional
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`

	// Resources of the throw-away instance.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
}

// DrillCheck is a query that must return one row whose first column is true.
type DrillCheck struct {
	// Name of the check, for messages.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Database to run it in.
	// +optional
	// +kubebuilder:default=app
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Database string `json:"database,omitempty"`
	// SQL such as SELECT count(*) > 0 FROM accounts.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4000
	SQL string `json:"sql"`
}

// ArchivingStatus is how far WAL has reached the archive.
type ArchivingStatus struct {
	// ServerName is the folder in the store.
	// +optional
	ServerName string `json:"serverName,omitempty"`
	// LastArchivedWAL is the newest segment in the archive. The status is at most a minute behind; metrics are exact.
	// +optional
	LastArchivedWAL string `json:"lastArchivedWAL,omitempty"`
	// LastArchivedTime is when it got there.
	// +optional
	LastArchivedTime *metav1.Time `json:"lastArchivedTime,omitempty"`
	// LastFailure to archive.
	// +optional
	LastFailure *ArchiveFailure `json:"lastFailure,omitempty"`
}

// ArchiveFailure is a failure to archive.
type ArchiveFailure struct {
	// WAL that could not be archived.
	// +optional
	WAL string `json:"wal,omitempty"`
	// Since when archiving has been failing, or when it last did.
	Since metav1.Time `json:"since"`
	// Reason in the store's words.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// BackupsStatus is what can be recovered.
type BackupsStatus struct {
	// FirstRecoverabilityPoint is the earliest moment that one can recover to.
	// +optional
	FirstRecoverabilityPoint *metav1.Time `json:"firstRecoverabilityPoint,omitempty"`
	// LastSuccessfulBackup is when the newest complete backup ended.
	// +optional
	LastSuccessfulBackup *metav1.Time `json:"lastSuccessfulBackup,omitempty"`
	// LastSuccessfulBackupName is the Backup object's name.
	// +optional
	LastSuccessfulBackupName string `json:"lastSuccessfulBackupName,omitempty"`
	// FreshUntil is when the newest backup is too old: the second moment after its end at which a ScheduledBackup of this Cluster
	// is due. Nil without a backup, and without a schedule.
	// +optional
	FreshUntil *metav1.Time `json:"freshUntil,omitempty"`
	// LastFailedBackup is when the newest failed backup ended.
	// +optional
	LastFailedBackup *metav1.Time `json:"lastFailedBackup,omitempty"`
	// LastDrill is the newest drill that has ended.
	// +optional
	LastDrill *DrillStatus `json:"lastDrill,omitempty"`
	// LastVerified is when a drill last succeeded.
	// +optional
	LastVerified *metav1.Time `json:"lastVerified,omitempty"`
	// EstimatedRecoverySeconds is how long a recovery from the newest backup is likely to take, by what the last drill that
	// succeeded took for so much data.
	// +optional
	EstimatedRecoverySeconds int64 `json:"estimatedRecoverySeconds,omitempty"`
	// Copies are how far each of spec.backup.copies is.
	// +optional
	// +listType=map
	// +listMapKey=name
	Copies []ArchiveCopyStatus `json:"copies,omitempty"`
}

// ArchiveCopyStatus is how far a copy of the archive is.
type ArchiveCopyStatus struct {
	// Name of the copy.
	Name string `json:"name"`
	// Destination of it.
	// +optional
	Destination string `json:"destination,omitempty"`
	// CopiedUntil: all that was in the archive then is in the copy. It is at most an hour behind where nothing new was copied,
	// and else a minute; the metrics of the instance are exact.
	// +optional
	CopiedUntil *metav1.Time `json:"copiedUntil,omitempty"`
	// LastWAL is the newest segment in the copy.
	// +optional
	LastWAL string `json:"lastWAL,omitempty"`
	// Backups that it holds.
	// +optional
	Backups int32 `json:"backups,omitempty"`
	// FailingSince is when it began to fail.
	// +optional
	FailingSince *metav1.Time `json:"failingSince,omitempty"`
	// Failure in the store's words, while it fails.
	// +optional
	Failure string `json:"failure,omitempty"`
}

// DrillStatus is the result of a drill.
type DrillStatus struct {
	// Backup object that was restored.
	// +optional
	Backup string `json:"backup,omitempty"`
	// BackupID that was restored.
	// +optional
	BackupID string `json:"backupId,omitempty"`
	// Succeeded: restored, replayed, and all checks passed.
	Succeeded bool `json:"succeeded"`
	// StartedAt is when it began.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// StoppedAt is when it ended.
	// +optional
	StoppedAt *metav1.Time `json:"stoppedAt,omitempty"`
	// RestoreSeconds until the data were there, and consistent.
	// +optional
	RestoreSeconds int64 `json:"restoreSeconds,omitempty"`
	// RestoredBytes of data.
	// +optional
	RestoredBytes int64 `json:"restoredBytes,omitempty"`
	// ReplaySeconds until the newest WAL was replayed.
	// +optional
	ReplaySeconds int64 `json:"replaySeconds,omitempty"`
	// ReplayedLSN is how far it came.
	// +optional
	ReplayedLSN string `json:"replayedLSN,omitempty"`
	// Checks that were made, such as amcheck and the names of the user's.
	// +optional
	// +listType=set
	Checks []string `json:"checks,omitempty"`
	// Message says what failed.
	// +optional
	Message string `json:"message,omitempty"`
}

// RecoveryStatus is how a Cluster came from a backup.
type RecoveryStatus struct {
	// Backup object that it came from.
	// +optional
	Backup string `json:"backup,omitempty"`
	// BackupID that was restored; empty while the instance chooses.
	// +optional
	BackupID string `json:"backupId,omitempty"`
	// Target as it was understood, such as "time 2024-01-15 14:30:00+00 (UTC)" or "the end of the archive".
	// +optional
	Target string `json:"target,omitempty"`
	// Progress of the restore, in words, while it runs.
	// +optional
	Progress string `json:"progress,omitempty"`
	// ReachedLSN is where recovery ended.
	// +optional
	ReachedLSN string `json:"reachedLSN,omitempty"`
	// ReachedAt is when recovery ended.
	// +optional
	ReachedAt *metav1.Time `json:"reachedAt,omitempty"`
}
