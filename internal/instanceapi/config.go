package instanceapi

// Config is what the operator asks of every instance of a Cluster. It is the same for all of them.
type Config struct {
	// Cluster is the name of the Cluster; it is also PostgreSQL's cluster_name.
	Cluster string `json:"cluster"`
	// Namespace of the Cluster.
	Namespace string `json:"namespace"`
	// Major is the major version that the data must have; 0 while not yet known, then the image decides.
	Major int `json:"major,omitempty"`
	// Parameters are the user's wishes from spec.postgresql.parameters, already validated. PID 1 renders the complete
	// postgresql.conf from them with package postgres, because paths and the exact minor are known there.
	Parameters map[string]string `json:"parameters,omitempty"`
	// SharedPreloadLibraries in their order.
	SharedPreloadLibraries []string `json:"sharedPreloadLibraries,omitempty"`
	// MemoryLimit of the container in bytes; 0 if there is none.
	MemoryLimit int64 `json:"memoryLimit,omitempty"`
	// StorageBytes is the size of the data volume that the Cluster asks for; 0 if it is not known.
	StorageBytes int64 `json:"storageBytes,omitempty"`
	// HBA are the user's pg_hba lines.
	HBA []string `json:"hba,omitempty"`
	// Ident are the user's pg_ident lines.
	Ident []string `json:"ident,omitempty"`
	// Members are the names of all instances (pods), in order. Each keeps a slot for each other one if Slots is set.
	Members []string `json:"members"`
	// Slots: keep one physical replication slot for each member.
	Slots bool `json:"slots"`
	// HA is how the instances fail over among themselves.
	HA HA `json:"ha"`
	// Bootstrap of a new Cluster.
	Bootstrap Bootstrap `json:"bootstrap"`
	// Archive of this Cluster; nil for none.
	Archive *Archive `json:"archive,omitempty"`
	// Copies of it.
	Copies []Copy `json:"copies,omitempty"`
	// SuperuserAccess: the user postgres has the password of CredentialsDir/superuser, otherwise none.
	SuperuserAccess bool `json:"superuserAccess,omitempty"`
	// SmartShutdownTimeout in seconds: how long an orderly stop waits for clients to leave by themselves.
	SmartShutdownTimeout int `json:"smartShutdownTimeout"`
	// StopTimeout in seconds: how long the whole orderly stop may take before an immediate one.
	StopTimeout int `json:"stopTimeout"`
	// StartTimeout in seconds: how long PostgreSQL may take to accept connections.
	StartTimeout int `json:"startTimeout"`
	// ReloadNonce: a new value reloads, though nothing else changed.
	ReloadNonce string `json:"reloadNonce,omitempty"`
	// RestartNonce: an instance whose PostgreSQL was started under another value wants a restart (the operator orders
	// them).
	RestartNonce string `json:"restartNonce,omitempty"`
}

// HA is what the protocol between the instances goes by.
type HA struct {
	// Acks is how many replicas must have flushed a commit before it is acknowledged; 0 is asynchronous.
	Acks int `json:"acks"`
	// Preferred: go on without acknowledgements rather than wait when too few replicas are left.
	Preferred bool `json:"preferred,omitempty"`
	// HeartbeatMillis between heartbeats, and PromiseMillis for which an answer promises; 0 for the defaults.
	HeartbeatMillis int `json:"heartbeatMillis,omitempty"`
	PromiseMillis   int `json:"promiseMillis,omitempty"`
}

// Bootstrap says how the first instance gets its data; exactly one field is set.
type Bootstrap struct {
	InitDB       *InitDB       `json:"initdb,omitempty"`
	PgBaseBackup *PgBaseBackup `json:"pgBaseBackup,omitempty"`
	Recovery     *Recovery     `json:"recovery,omitempty"`
}

// InitDB makes an empty database.
type InitDB struct {
	Database               string   `json:"database"`
	Owner                  string   `json:"owner"`
	Encoding               string   `json:"encoding"`
	Locale                 string   `json:"locale"`
	LocaleCType            string   `json:"localeCType,omitempty"`
	LocaleCollate          string   `json:"localeCollate,omitempty"`
	DataChecksums          bool     `json:"dataChecksums"`
	WalSegmentSizeMB       int      `json:"walSegmentSizeMB"`
	PostInitSQL            []string `json:"postInitSQL,omitempty"`
	PostInitApplicationSQL []string `json:"postInitApplicationSQL,omitempty"`
}

// PgBaseBackup copies a running server.
type PgBaseBackup struct {
	// Source is the name of the external cluster; its secrets lie in ExternalDir/<source>.
	Source string `json:"source"`
	// ConnectionParameters are libpq's keywords.
	ConnectionParameters map[string]string `json:"connectionParameters"`
	// Database and Owner whose password we manage; empty for none.
	Database string `json:"database,omitempty"`
	Owner    string `json:"owner,omitempty"`
}

// RestartRequest asks for an orderly restart of PostgreSQL in place.
type RestartRequest struct {
	// Reason for the log, such as "max_connections changed".
	Reason string `json:"reason"`
}

// SwitchoverRequest asks the primary to hand over in an orderly way.
type SwitchoverRequest struct {
	// Request names it, for the record.
	Request string `json:"request"`
	// Target is the member ID asked for; empty leaves the choice.
	Target string `json:"target,omitempty"`
}
