package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BootstrapConfiguration says where the data of a new Cluster comes from.
//
// +kubebuilder:validation:XValidation:rule="[has(self.initdb), has(self.recovery), has(self.pg_basebackup)].filter(x, x).size() == 1",message="spec.bootstrap: set exactly one of initdb, recovery and pg_basebackup"
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.bootstrap: is used once, at creation, and cannot change later; create a new Cluster"
type BootstrapConfiguration struct {
	// InitDB makes an empty database.
	// +optional
	InitDB *BootstrapInitDB `json:"initdb,omitempty"`

	// Recovery restores a backup.
	// +optional
	Recovery *BootstrapRecovery `json:"recovery,omitempty"`

	// PgBaseBackup copies a running server.
	// +optional
	PgBaseBackup *BootstrapPgBaseBackup `json:"pg_basebackup,omitempty"`
}

// BootstrapInitDB makes an empty database with an application's database and its owner.
type BootstrapInitDB struct {
	// Database for the application.
	// +optional
	// +kubebuilder:default=app
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!(self in ['postgres', 'template0', 'template1'])",message="spec.bootstrap.initdb.database: postgres, template0 and template1 are PostgreSQL's own; choose another name"
	Database string `json:"database,omitempty"`

	// Owner of the database.
	// +optional
	// +kubebuilder:default=app
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('pg_') && !(self in ['postgres', 'streaming_replica'])",message="spec.bootstrap.initdb.owner: postgres, streaming_replica and names starting with pg_ are reserved; choose another name"
	Owner string `json:"owner,omitempty"`

	// Secret with the owner's username and password, in place of a generated <name>-app.
	// +optional
	Secret *LocalObjectReference `json:"secret,omitempty"`

	// Encoding of the databases.
	// +optional
	// +kubebuilder:default=UTF8
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_]+$`
	Encoding string `json:"encoding,omitempty"`

	// Locale of the databases.
	// +optional
	// +kubebuilder:default=C
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.@-]+$`
	Locale string `json:"locale,omitempty"`

	// LocaleCType in place of locale's.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.@-]+$`
	LocaleCType string `json:"localeCType,omitempty"`

	// LocaleCollate in place of locale's.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.@-]+$`
	LocaleCollate string `json:"localeCollate,omitempty"`

	// DataChecksums are on by default.
	// +optional
	// +kubebuilder:default=true
	DataChecksums *bool `json:"dataChecksums,omitempty"`

	// WalSegmentSize in MiB, a power of two.
	// +optional
	// +kubebuilder:default=16
	// +kubebuilder:validation:Enum=1;2;4;8;16;32;64;128;256;512;1024
	WalSegmentSize int32 `json:"walSegmentSize,omitempty"`

	// PostInitSQL runs as superuser in the database postgres, once.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	PostInitSQL []string `json:"postInitSQL,omitempty"`

	// PostInitApplicationSQL runs as superuser in the application's database, once.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	PostInitApplicationSQL []string `json:"postInitApplicationSQL,omitempty"`
}

// BootstrapPgBaseBackup copies a running server, which must accept replication connections.
type BootstrapPgBaseBackup struct {
	// Source is the name of an entry of externalClusters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Source string `json:"source"`

	// Database whose owner's password we manage; none if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Database string `json:"database,omitempty"`

	// Owner whose password we manage.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Owner string `json:"owner,omitempty"`

	// Secret with the owner's username and password.
	// +optional
	Secret *LocalObjectReference `json:"secret,omitempty"`
}

// BootstrapRecovery restores a backup into a new Cluster.
//
// +kubebuilder:validation:XValidation:rule="[has(self.backup), has(self.source)].filter(x, x).size() == 1",message="spec.bootstrap.recovery: set exactly one of backup and source"
type BootstrapRecovery struct {
	// Backup object to restore, in the same namespace.
	// +optional
	Backup *LocalObjectReference `json:"backup,omitempty"`

	// Source is the name of an entry of externalClusters that has an object store or a volume.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Source string `json:"source,omitempty"`

	// RecoveryTarget: the end of the archive if empty.
	// +optional
	RecoveryTarget *RecoveryTarget `json:"recoveryTarget,omitempty"`

	// Database whose owner's password we manage; none if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Database string `json:"database,omitempty"`

	// Owner whose password we manage.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Owner string `json:"owner,omitempty"`

	// Secret with the owner's username and password.
	// +optional
	Secret *LocalObjectReference `json:"secret,omitempty"`
}

// RecoveryTarget is the moment to recover to.
//
// +kubebuilder:validation:XValidation:rule="[has(self.targetTime), has(self.targetLSN), has(self.targetXID), has(self.targetName), has(self.targetImmediate) && self.targetImmediate].filter(x, x).size() <= 1",message="recoveryTarget: targetTime, targetLSN, targetXID, targetName and targetImmediate exclude each other; keep one"
type RecoveryTarget struct {
	// BackupID to start from; the newest one before the target if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	BackupID string `json:"backupID,omitempty"`
	// TargetTime such as 2024-01-15 14:30:00 or 2024-01-15T14:30:00+01:00; UTC where it names no zone. What was understood
	// is in status.recovery.target, or status.recoverInPlace.target.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?)?( ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?))?$')",message="recoveryTarget.targetTime: must be a date and time, such as 2024-01-15 14:30:00 (UTC) or 2024-01-15 14:30:00+01"
	TargetTime string `json:"targetTime,omitempty"`
	// TargetLSN to stop at, such as 16/B374D848.
	// +optional
	// +kubebuilder:validation:MaxLength=17
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$')",message="recoveryTarget.targetLSN: must be a position in the WAL, such as 16/B374D848"
	TargetLSN string `json:"targetLSN,omitempty"`
	// TargetXID is the transaction to stop at.
	// +optional
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+$')",message="recoveryTarget.targetXID: must be a transaction ID, a decimal number"
	TargetXID string `json:"targetXID,omitempty"`
	// TargetName is a restore point made with pg_create_restore_point.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	TargetName string `json:"targetName,omitempty"`
	// TargetTLI is the timeline to follow: a number, latest (the default) or current.
	// +optional
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:XValidation:rule="self.matches('^(latest|current|[1-9][0-9]*)$')",message="recoveryTarget.targetTLI: must be latest, current, or the number of a timeline"
	TargetTLI string `json:"targetTLI,omitempty"`
	// TargetImmediate stops as soon as the backup is consistent.
	// +optional
	TargetImmediate *bool `json:"targetImmediate,omitempty"`
	// Exclusive stops just before the target in place of just after it.
	// +optional
	Exclusive *bool `json:"exclusive,omitempty"`
}

// ExternalCluster is a PostgreSQL server outside this Cluster, or the archive of one.
//
// +kubebuilder:validation:XValidation:rule="has(self.connectionParameters) || has(self.objectStore) || has(self.barmanObjectStore) || has(self.volume)",message="spec.externalClusters[]: set connectionParameters of a server, or objectStore or volume of an archive"
// +kubebuilder:validation:XValidation:rule="!(has(self.objectStore) && has(self.barmanObjectStore))",message="spec.externalClusters[]: objectStore and barmanObjectStore are two spellings of the same; keep one"
// +kubebuilder:validation:XValidation:rule="!has(self.volume) || !(has(self.objectStore) || has(self.barmanObjectStore))",message="spec.externalClusters[]: volume and an object store exclude each other; keep one"
type ExternalCluster struct {
	// Name to refer to it by.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// ConnectionParameters are libpq's keywords, such as host, port, user, dbname and sslmode.
	// +kubebuilder:validation:MaxProperties=50
	// +kubebuilder:validation:XValidation:rule="!('password' in self) && !('passfile' in self)",message="spec.externalClusters[].connectionParameters: keep the password in a Secret and name it in password"
	// +kubebuilder:validation:XValidation:rule="'host' in self",message="spec.externalClusters[].connectionParameters: host is required"
	// +optional
	ConnectionParameters map[string]string `json:"connectionParameters,omitempty"`

	// Password of the user.
	// +optional
	Password *corev1.SecretKeySelector `json:"password,omitempty"`

	// SSLCert is the client certificate.
	// +optional
	SSLCert *corev1.SecretKeySelector `json:"sslCert,omitempty"`

	// SSLKey is the client certificate's key.
	// +optional
	SSLKey *corev1.SecretKeySelector `json:"sslKey,omitempty"`

	// SSLRootCert is the CA of the server.
	// +optional
	SSLRootCert *corev1.SecretKeySelector `json:"sslRootCert,omitempty"`

	// ObjectStore that the server archived to, for bootstrap.recovery.
	// +optional
	ObjectStore *ObjectStore `json:"objectStore,omitempty"`

	// BarmanObjectStore is the spelling of existing manifests for objectStore.
	// +optional
	BarmanObjectStore *ObjectStore `json:"barmanObjectStore,omitempty"`

	// Volume that the server archived to, in place of an object store. It is only read.
	// +optional
	Volume *VolumeStore `json:"volume,omitempty"`

	// ClientEncryption that the archive was written with.
	// +optional
	ClientEncryption *ClientEncryption `json:"clientEncryption,omitempty"`
}

// ClusterTerm is the record of who leads a Cluster: the only arbiter between instances. It is written by the instances
// themselves, by compare-and-swap, and by the operator once, when it is created. No user role may write it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=caretaker
// +kubebuilder:printcolumn:name="Term",type=integer,JSONPath=`.spec.term`
// +kubebuilder:printcolumn:name="Primary",type=string,JSONPath=`.spec.primary.name`
// +kubebuilder:printcolumn:name="Timeline",type=integer,JSONPath=`.spec.timeline`
// +kubebuilder:printcolumn:name="Established",type=boolean,JSONPath=`.spec.established`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterTerm struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the record.
	Spec ClusterTermSpec `json:"spec"`
}

// ClusterTermList is a list of ClusterTerms.
//
// +kubebuilder:object:root=true
type ClusterTermList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterTerm `json:"items"`
}

// ClusterTermSpec is the record of a term.
//
// +kubebuilder:validation:XValidation:rule="self.term >= oldSelf.term",message="spec.term: terms only grow"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.systemID) || (has(self.systemID) && self.systemID == oldSelf.systemID)",message="spec.systemID: a Cluster keeps its system identifier"
// +kubebuilder:validation:XValidation:rule="self.term > oldSelf.term || !has(oldSelf.primary) || (has(self.primary) && self.primary.memberID == oldSelf.primary.memberID)",message="spec.primary: another primary needs a higher term"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.seq) || (has(self.seq) && self.seq >= oldSelf.seq)",message="spec.seq: it only grows"
type ClusterTermSpec struct {
	// Term grows with each change of primary; 0 until the first primary has initialized its data.
	// +kubebuilder:validation:Minimum=0
	Term int64 `json:"term"`

	// Bootstrap is the name of the pod that may initialize the data while term is 0.
	// +optional
	Bootstrap string `json:"bootstrap,omitempty"`

	// Primary of this term.
	// +optional
	Primary *TermHolder `json:"primary,omitempty"`

	// Timeline that the primary writes.
	// +optional
	Timeline int64 `json:"timeline,omitempty"`

	// Established: the primary has committed its first record in this term.
	// +optional
	Established bool `json:"established,omitempty"`

	// SystemID is PostgreSQL's system identifier, a decimal number.
	// +optional
	SystemID string `json:"systemID,omitempty"`

	// Seq counts the writes, so that a record restored from a backup is known for what it is.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Seq int64 `json:"seq,omitempty"`

	// Voters are the member IDs, without the primary's, that acknowledge commits and elect.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	Voters []string `json:"voters,omitempty"`

	// Acks is how many voters must have flushed a commit before it is acknowledged; 0 is asynchronous.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Acks int32 `json:"acks,omitempty"`

	// Pending is a term that was asked for and is not established yet.
	// +optional
	Pending *PendingTerm `json:"pending,omitempty"`
}

// PendingTerm is a term that was asked for and is not established yet.
type PendingTerm struct {
	// Term asked for.
	Term int64 `json:"term"`
	// Timeline reserved for it.
	Timeline int64 `json:"timeline"`
	// Candidate is the member that may be promoted, once named.
	// +optional
	Candidate string `json:"candidate,omitempty"`
	// CandidateName is the candidate's pod.
	// +optional
	CandidateName string `json:"candidateName,omitempty"`
	// Forced terms go ahead although the primary is still heard: a switchover, or a primary out of order.
	// +optional
	Forced bool `json:"forced,omitempty"`
	// OldStopped: the primary has stopped for good.
	// +optional
	OldStopped bool `json:"oldStopped,omitempty"`
	// MinLSN that the candidate must have, such as 0/3000028.
	// +optional
	MinLSN string `json:"minLSN,omitempty"`
	// Request of a switchover.
	// +optional
	Request string `json:"request,omitempty"`
	// Target is the member that the request asked for.
	// +optional
	Target string `json:"target,omitempty"`
}

// TermHolder identifies a primary: the volume by member ID, the process by pod UID.
type TermHolder struct {
	// MemberID is made with each new volume and lives on it.
	// +kubebuilder:validation:MinLength=1
	MemberID string `json:"memberID"`
	// Name of the pod.
	Name string `json:"name"`
	// PodUID of the pod that holds the term.
	// +optional
	PodUID string `json:"podUID,omitempty"`
	// Run differs for each start of PID 1: what an earlier run may still be writing then fails.
	// +optional
	Run int64 `json:"run,omitempty"`
}
