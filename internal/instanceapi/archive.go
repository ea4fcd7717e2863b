package instanceapi

import "time"

// Archive is where WAL and backups go. It holds no secrets: those are files below ArchiveDir, mounted from Secrets.
type Archive struct {
	// URL of the store, such as s3://bucket/path or file:///path.
	URL string `json:"url"`
	// Server is the folder of this Cluster in the store.
	Server string `json:"server"`
	// Endpoint of a store that is not the provider's own.
	Endpoint string `json:"endpoint,omitempty"`
	// Credentials are the names of the files, below Dir, that hold them; see the Credential names.
	Credentials []string `json:"credentials,omitempty"`
	// InheritIdentity uses the pod's workload identity.
	InheritIdentity bool `json:"inheritIdentity,omitempty"`
	// Dir holds the credentials' files, whose names begin with Prefix.
	Dir    string `json:"dir,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	// ServerSideEncryption that an S3 store is asked for.
	ServerSideEncryption string `json:"serverSideEncryption,omitempty"`
	// Recipients are age public keys; empty: not encrypted by us.
	Recipients []string `json:"recipients,omitempty"`

	// WALCompression, DataCompression: zstd, gzip or none; empty for the default.
	WALCompression  string `json:"walCompression,omitempty"`
	DataCompression string `json:"dataCompression,omitempty"`
	// WALParallel, DataParallel are how many transfers run at a time; 0 for the defaults.
	WALParallel  int `json:"walParallel,omitempty"`
	DataParallel int `json:"dataParallel,omitempty"`
	// Retention such as 30d; empty keeps everything.
	Retention string `json:"retention,omitempty"`
}

// Copy is a further store that the instance that leads brings all of the archive to.
type Copy struct {
	// Name of it.
	Name string `json:"name"`
	// To is where to, and the retention there.
	To Archive `json:"to"`
	// IntervalSeconds between two turns.
	IntervalSeconds int `json:"intervalSeconds"`
}

// Names of the files that credentials are in.
const (
	CredentialAccessKeyID     = "access-key-id"
	CredentialSecretAccessKey = "secret-access-key"
	CredentialSessionToken    = "session-token"
	CredentialRegion          = "region"
	CredentialGoogle          = "google.json"
	CredentialAzureConnection = "azure-connection-string"
	CredentialAzureAccount    = "azure-account"
	CredentialAzureKey        = "azure-key"
	CredentialAzureSASToken   = "azure-sas-token" //nolint:gosec // the name of a file
	CredentialCA              = "ca.crt"
	CredentialIdentity        = "age-identity"
)

// Where archives are found in the container: the credentials of our own and, while a Cluster recovers, of the one that it
// recovers from; those of the stores that are copied to; and the volumes that take the place of object stores.
const (
	ArchiveDir         = "/opt/caretaker/archive/own"
	CopiesDir          = "/opt/caretaker/archive/copies"
	RecoveryArchiveDir = "/opt/caretaker/archive/recovery"
	ArchiveVolumeDir   = "/opt/caretaker/archive/volume"
	RecoveryVolumeDir  = "/opt/caretaker/archive/recovery-volume"
)

// Recovery restores a backup as the data of a new Cluster.
type Recovery struct {
	// Archive to restore from.
	Archive Archive `json:"archive"`
	// BackupID to start from; empty for the newest one before the target.
	BackupID string `json:"backupID,omitempty"`
	// Snapshot: the backup's files came with the volume, which was made of its snapshot.
	Snapshot bool `json:"snapshot,omitempty"`
	// Target to recover to.
	Target RecoveryTarget `json:"target,omitzero"`
	// Database and Owner whose password we manage; empty for none.
	Database string `json:"database,omitempty"`
	Owner    string `json:"owner,omitempty"`
	// InPlace is the ID of the recovery in place that it is for; empty for a new Cluster.
	InPlace string `json:"inPlace,omitempty"`
}

// RecoveryTarget is the moment to recover to; none for the end of the archive.
type RecoveryTarget struct {
	// Time with its zone, as PostgreSQL reads it.
	Time      string `json:"time,omitempty"`
	LSN       string `json:"lsn,omitempty"`
	XID       string `json:"xid,omitempty"`
	Name      string `json:"name,omitempty"`
	Immediate bool   `json:"immediate,omitempty"`
	// Exclusive stops just before it.
	Exclusive bool `json:"exclusive,omitempty"`
	// Timeline to follow: a number, latest or current; empty for latest.
	Timeline string `json:"timeline,omitempty"`
}

// IsSet says whether recovery is to stop before the end of the archive.
func (t RecoveryTarget) IsSet() bool {
	return t.Time != "" || t.LSN != "" || t.XID != "" || t.Name != "" || t.Immediate
}

// ArchiveTask is what an instance does with the archive when it is told to: one at a time.
type ArchiveTask string

// The tasks.
const (
	// TaskBackup takes a backup, and deletes what the retention lets go afterwards.
	TaskBackup ArchiveTask = "backup"
	// TaskSnapshot takes a backup whose files are in a snapshot of the instance's volume: PostgreSQL is in backup mode, and the run's
	// step is archiveapi.PhaseSnapshot, until TaskSnapshotTaken; or fails after a while without it. TaskSnapshotTaken has the same
	// request, and runs beside it.
	TaskSnapshot      ArchiveTask = "snapshot"
	TaskSnapshotTaken ArchiveTask = "snapshotTaken"
	// TaskDelete deletes a backup.
	TaskDelete ArchiveTask = "delete"
	// TaskSwitch has the primary end the current WAL segment, which a backup from a standby waits for. It runs beside others.
	TaskSwitch ArchiveTask = "switch"
)

// ArchiveRequest orders a task.
type ArchiveRequest struct {
	// Request names it: the same one twice is done once.
	Request string      `json:"request"`
	Task    ArchiveTask `json:"task"`
	// BackupID to delete, or the name that the new backup gets.
	BackupID string `json:"backupID"`
	// FastCheckpoint begins a backup at once.
	FastCheckpoint bool `json:"fastCheckpoint,omitempty"`
	// Known are the backups that were in the archive by all that the operator knows: it wants to hear which of them are there no more.
	Known []string `json:"known,omitempty"`
}

// PathArchive takes POST ArchiveRequest → 202; 409 while another task runs, or if there is no archive.
const PathArchive = "/v1/archive"

// ArchiveRun is the task that runs, or ran last.
type ArchiveRun struct {
	Request   string      `json:"request"`
	Task      ArchiveTask `json:"task"`
	BackupID  string      `json:"backupID"`
	StartedAt time.Time   `json:"startedAt"`
	// EndedAt is nil while it runs.
	EndedAt *time.Time `json:"endedAt,omitempty"`
	// Error that ended it.
	Error string `json:"error,omitempty"`
	// Progress while it runs; nil if it is not known.
	Progress *ArchiveProgress `json:"progress,omitempty"`
	// Backup that was taken.
	Backup *TakenBackup `json:"backup,omitempty"`
	// Retention is how the retention was followed after the backup; nil if there is none.
	Retention *RetentionRun `json:"retention,omitempty"`
}

// RetentionRun is how a retention was followed. It does not make the task fail if it could not be.
type RetentionRun struct {
	// Policy such as 30d.
	Policy string `json:"policy"`
	// URL and Server are the archive in which it was followed.
	URL    string `json:"url"`
	Server string `json:"server"`
	// At is when it ended.
	At time.Time `json:"at"`
	// Gone are those of the request's Known that are not in the archive any more, whenever they were deleted.
	Gone []string `json:"gone,omitempty"`
	// Error that kept it from being followed.
	Error string `json:"error,omitempty"`
}

// ArchiveProgress is how far a task is.
type ArchiveProgress struct {
	Step  string `json:"step"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// TakenBackup is what a backup's manifest says.
type TakenBackup struct {
	ID          string    `json:"id"`
	Parent      string    `json:"parent,omitempty"`
	BeginLSN    string    `json:"beginLSN"`
	EndLSN      string    `json:"endLSN"`
	BeginWAL    string    `json:"beginWAL"`
	EndWAL      string    `json:"endWAL"`
	Timeline    int64     `json:"timeline"`
	SystemID    string    `json:"systemID"`
	Major       int       `json:"major"`
	StoredBytes int64     `json:"storedBytes"`
	DataBytes   int64     `json:"dataBytes"`
	StartedAt   time.Time `json:"startedAt"`
	StoppedAt   time.Time `json:"stoppedAt"`
	// Verified: what was stored was read back, and its checksums are right.
	Verified bool `json:"verified,omitempty"`
}

// Archiving is how archiving goes on an instance.
type Archiving struct {
	// Server is the folder in the store.
	Server string `json:"server"`
	// LastWAL is the newest segment that this instance knows to be in the archive.
	LastWAL  string     `json:"lastWAL,omitempty"`
	LastTime *time.Time `json:"lastTime,omitempty"`
	// FailingSince is when it began to fail; nil while it does not.
	FailingSince *time.Time `json:"failingSince,omitempty"`
	FailedWAL    string     `json:"failedWAL,omitempty"`
	// Failure in the store's words: the last one, also if it goes well again.
	Failure     string     `json:"failure,omitempty"`
	FailureTime *time.Time `json:"failureTime,omitempty"`
	// Missing are segments that are in no archive though later ones are, in words; Failure says it, too. What is written since arrives.
	Missing string `json:"missing,omitempty"`
	// Waiting is how many segments wait to be archived.
	Waiting int `json:"waiting"`
	// Retries of single operations, and Uploaded bytes and segments, since the archiver started.
	Retries       int64 `json:"retries,omitempty"`
	UploadedBytes int64 `json:"uploadedBytes,omitempty"`
	Uploaded      int64 `json:"uploaded,omitempty"`
	// Exposure is what the archive lacks; nil on a replica, and if it is not known.
	Exposure *Exposure `json:"exposure,omitempty"`
}

// Copied is how far a copy of the archive is, by what this run of PID 1 has seen.
type Copied struct {
	// Name of the copy.
	Name string `json:"name"`
	// Until: all that was in the archive then is in the copy; nil before the first turn that succeeded.
	Until *time.Time `json:"until,omitempty"`
	// LastWAL is the newest segment in the copy, Backups are how many it holds.
	LastWAL string `json:"lastWAL,omitempty"`
	Backups int    `json:"backups,omitempty"`
	// Turns that have ended; 0 while the first one runs.
	Turns int `json:"turns,omitempty"`
	// FailingSince is when it began to fail; nil while it does not.
	FailingSince *time.Time `json:"failingSince,omitempty"`
	// Failure in the store's words, while it fails.
	Failure string `json:"failure,omitempty"`
	// CopiedBytes since PID 1 started.
	CopiedBytes int64 `json:"copiedBytes,omitempty"`
}

// Exposure is what would be lost if all of the Cluster's volumes were.
type Exposure struct {
	// Since when there are changes that are not in the archive; nil if it has all.
	Since *time.Time `json:"since,omitempty"`
}

// Recovered is how a recovery went.
type Recovered struct {
	BackupID string `json:"backupID"`
	// ReachedLSN is where it ended; empty while it goes on.
	ReachedLSN string     `json:"reachedLSN,omitempty"`
	At         *time.Time `json:"at,omitempty"`
}
