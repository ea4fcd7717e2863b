package instanceapi

import "time"

// State is what an instance is doing, in one word.
type State string

// The states of an instance.
const (
	// StateWaiting: for the term record, for a primary to clone from, or for the lock on the volume.
	StateWaiting State = "Waiting"
	// StateInitializing: making the data of a new Cluster.
	StateInitializing State = "Initializing"
	// StateCloning: copying the primary's data.
	StateCloning State = "Cloning"
	// StateStarting: PostgreSQL is starting (crash recovery included).
	StateStarting State = "Starting"
	// StateRunning: PostgreSQL accepts connections.
	StateRunning State = "Running"
	// StateStopping: PostgreSQL is being stopped.
	StateStopping State = "Stopping"
	// StateFailed: cannot go on without help; Message says why and what to do.
	StateFailed State = "Failed"
)

// Role of an instance, as the term record has it.
type Role string

// The roles. An instance that does not know its role yet reports an empty one.
const (
	RolePrimary Role = "primary"
	RoleReplica Role = "replica"
)

// Status is what an instance says of itself.
type Status struct {
	// Instance is the pod's name.
	Instance string `json:"instance"`
	// PodUID of the pod.
	PodUID string `json:"podUID"`
	// MemberID lives on the volume.
	MemberID string `json:"memberID,omitempty"`
	// BinaryVersion of PID 1.
	BinaryVersion string `json:"binaryVersion"`
	// State in one word.
	State State `json:"state"`
	// Reason in CamelCase when State is Waiting or Failed, such as ImageMajorMismatch.
	Reason string `json:"reason,omitempty"`
	// Message for people: what is waited for, or what is wrong and what to do.
	Message string `json:"message,omitempty"`
	// Role as the term record has it.
	Role Role `json:"role,omitempty"`
	// Ready: serves as its role should. A replica is ready only while it streams. One whose primary is lost may still
	// answer the kubelet's probe, and so serve reads; it is not ready here.
	Ready bool `json:"ready"`
	// Term that the instance knows.
	Term int64 `json:"term,omitempty"`
	// SystemID, TimelineID of the data.
	SystemID   string `json:"systemID,omitempty"`
	TimelineID int64  `json:"timelineID,omitempty"`
	// Version of PostgreSQL's binaries, such as "17.5"; Major of them.
	Version string `json:"version,omitempty"`
	Major   int    `json:"major,omitempty"`
	// StartedAt is when PostgreSQL was last started.
	StartedAt *time.Time `json:"startedAt,omitempty"`
	// Restarts counts how often PID 1 has started PostgreSQL again after a crash.
	Restarts int `json:"restarts,omitempty"`
	// ConfigHash is HashBytes of the configuration in force (written and loaded).
	ConfigHash string `json:"configHash,omitempty"`
	// PasswordsHash is HashPasswords of those that are in force. Only the primary sets passwords.
	PasswordsHash string `json:"passwordsHash,omitempty"`
	// ConfigErrors are what PostgreSQL said against the configuration.
	ConfigErrors []string `json:"configErrors,omitempty"`
	// PendingRestart are parameters whose new value waits for a restart, and "restart requested" for a nonce.
	PendingRestart []PendingParameter `json:"pendingRestart,omitempty"`
	// Streaming is since when a replica has been receiving WAL; nil if it does not.
	Streaming *time.Time `json:"streaming,omitempty"`
	// Replicas are the primary's view of its replicas.
	Replicas []ReplicaStatus `json:"replicas,omitempty"`
	// Rewinds and Reclones count how often it was rewound, and copied anew, because it could not follow.
	Rewinds  int `json:"rewinds,omitempty"`
	Reclones int `json:"reclones,omitempty"`
	// Progress of a clone, 0 to 100.
	Progress *int `json:"progress,omitempty"`
	// Takeover is how this instance last came to lead, Rejoin how it last came back behind another; nil if it never did.
	Takeover *Takeover `json:"takeover,omitempty"`
	Rejoin   *Rejoin   `json:"rejoin,omitempty"`
	// Crash is how PostgreSQL last ended by itself under this run of PID 1; nil if it did not.
	Crash *Crash `json:"crash,omitempty"`
	// Fence is when this run of PID 1 last fenced PostgreSQL; nil if it did not.
	Fence *Fence `json:"fence,omitempty"`
	// Protocol is nil while the instance takes no part in it.
	Protocol *Protocol `json:"protocol,omitempty"`
	// Log and Disk are nil while not known.
	Log  *Log  `json:"log,omitempty"`
	Disk *Disk `json:"disk,omitempty"`
	// Archiving is nil while there is no archive, or while it is not known how it goes.
	Archiving *Archiving `json:"archiving,omitempty"`
	// Copies are how far the copies of the archive are; none on an instance that does not lead.
	Copies []Copied `json:"copies,omitempty"`
	// ArchiveRun is the task that runs, or ran last; nil if this run of PID 1 had none.
	ArchiveRun *ArchiveRun `json:"archiveRun,omitempty"`
	// Recovered is how the data of a new Cluster came from a backup; nil if this run of PID 1 did not do it.
	Recovered *Recovered `json:"recovered,omitempty"`
	// Now is the instance's clock.
	Now time.Time `json:"now"`
}

// PendingParameter is a parameter whose new value waits for a restart.
type PendingParameter struct {
	Name string `json:"name"`
	// Running is the value in force; Configured the one that waits.
	Running    string `json:"running"`
	Configured string `json:"configured"`
}

// ReplicaStatus is a row of pg_stat_replication of one of our members.
type ReplicaStatus struct {
	Instance  string `json:"instance"`
	State     string `json:"state"`
	SyncState string `json:"syncState"`
	// FlushLagBytes is log that it has not flushed yet, ReplayLagBytes what it has not replayed; nil while not known.
	FlushLagBytes  *int64 `json:"flushLagBytes,omitempty"`
	ReplayLagBytes *int64 `json:"replayLagBytes,omitempty"`
	// ReplayLagSeconds until it replays what was written; nil while not known.
	ReplayLagSeconds *float64 `json:"replayLagSeconds,omitempty"`
}
