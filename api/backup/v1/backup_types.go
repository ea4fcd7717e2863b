package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Backup takes logical dumps of a database: on a schedule, or once if there is none.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=dumps,singular=dump,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.source.type`
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name="Last dump",type=date,JSONPath=`.status.lastDump.completedAt`
// +kubebuilder:printcolumn:name="Size",type=string,JSONPath=`.status.lastDump.size`
// +kubebuilder:printcolumn:name="Verified",type=string,JSONPath=`.status.conditions[?(@.type=="Verified")].status`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.nextScheduleTime`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Dumps",type=integer,priority=1,JSONPath=`.status.dumps`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 44",message="metadata.name: must be at most 44 characters long, since a CronJob is named after it"
type Backup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	Spec BackupSpec `json:"spec"`
	// Status is the state last seen.
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

// BackupSpec is what to dump, where to, and when.
//
// +kubebuilder:validation:XValidation:rule="!has(self.source.type) || self.source.type != 'mongodb' || !has(self.verification) || !has(self.verification.checks)",message="spec.verification.checks: are SQL, which a mongodb does not understand; leave them out"
type BackupSpec struct {
	// Source is the database to dump.
	Source BackupSource `json:"source"`

	// Destination of the dumps.
	Destination BackupDestination `json:"destination"`

	// Schedule in cron's five fields, such as "0 2 * * *" for every day at 02:00; @daily and the like work too. Without one, one
	// dump is taken at once, and no more.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[^ ]+( +[^ ]+){4})$')",message="spec.schedule: must have cron's five fields (minute hour day-of-month month day-of-week), such as \"0 2 * * *\"; a CronJob has no seconds"
	Schedule string `json:"schedule,omitempty"`

	// TimeZone of the schedule, such as Europe/Zurich; UTC if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	TimeZone string `json:"timeZone,omitempty"`

	// Suspend takes no more dumps until it is false again.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Immediate takes the first dump at once, and does not wait for the schedule.
	// +optional
	Immediate bool `json:"immediate,omitempty"`

	// Retention says how long dumps are kept, such as 30d, 4w or 6m, or how many, such as 7. What is not kept is deleted after a
	// dump has succeeded, never the newest. Empty: all are kept.
	// +optional
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="self.matches('^[1-9][0-9]{0,3}[dwm]?$')",message="spec.retention: must be a time such as 30d, 4w or 6m, or a number of dumps such as 7"
	Retention string `json:"retention,omitempty"`

	// ClientEncryption encrypts dumps before they leave the pod.
	// +optional
	ClientEncryption *ClientEncryption `json:"clientEncryption,omitempty"`

	// Verification proves each dump once it is stored.
	// +optional
	Verification *Verification `json:"verification,omitempty"`

	// Resources of the pod that takes a dump. Beside what the dump program needs, it takes up to 100 MiB of memory.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// ServiceAccountName of the pods, for a store that is reached with the workload's own identity; default if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// ImagePullSecrets of the pods.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []ImagePullSecret `json:"imagePullSecrets,omitempty"`
}

// Verification says how a dump is proved: a throw-away server beside it takes it from the store, and is checked.
//
// +kubebuilder:validation:XValidation:rule="!has(self.checks) || has(self.testRestore) && self.testRestore",message="verification.checks: are run after a test restore; set verification.testRestore: true"
type Verification struct {
	// TestRestore restores each dump, once it is stored, into a throw-away server from the same image, and counts what came. A
	// dump that fails it stays; the condition Verified turns False.
	// +optional
	TestRestore bool `json:"testRestore,omitempty"`

	// Checks are SQL that must be true there, as the superuser in the restored database.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	// +listType=map
	// +listMapKey=name
	Checks []VerificationCheck `json:"checks,omitempty"`

	// Size that the throw-away server may take on the node's disk; 10Gi if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(self) && quantity(self).compareTo(quantity('1Gi')) >= 0",message="verification.size: must be a quantity of at least 1Gi, such as 20Gi"
	Size string `json:"size,omitempty"`

	// Resources of the throw-away server.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
}

// VerificationCheck is a query that must return one row whose first column is true.
type VerificationCheck struct {
	// Name of the check, for messages.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// SQL such as SELECT count(*) > 0 FROM orders.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4000
	SQL string `json:"sql"`
}

// ImagePullSecret names a Secret in the same namespace.
type ImagePullSecret struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// SourceType is the engine of a database.
type SourceType string

// The engines.
const (
	SourcePostgreSQL SourceType = "postgresql"
	SourceMySQL      SourceType = "mysql"
	SourceMongoDB    SourceType = "mongodb"
)

// BackupSource is the database to dump.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'mongodb' || !has(self.connection.clusterRef)",message="spec.source.connection.clusterRef: names a Cluster or a MySQL; a mongodb is reached by host"
type BackupSource struct {
	// Type of the database.
	// +optional
	// +kubebuilder:default=postgresql
	// +kubebuilder:validation:Enum=postgresql;mysql;mongodb
	Type SourceType `json:"type,omitempty"`

	// Connection to the database.
	Connection SourceConnection `json:"connection"`

	// Image that has the dump program: pg_dump, mysqldump or mongodump, of the server's major version or a newer one. By default
	// that of the Cluster or MySQL, and for a host the one in the operator's configuration.
	// +optional
	// +kubebuilder:validation:MaxLength=1000
	Image string `json:"image,omitempty"`
}

// SSLMode is how a connection is encrypted and the server verified, in PostgreSQL's words.
type SSLMode string

// SourceConnection leads to a database.
//
// +kubebuilder:validation:XValidation:rule="has(self.clusterRef) != has(self.host)",message="spec.source.connection: set exactly one of clusterRef, for a Cluster or MySQL in this namespace, and host, for any other server"
// +kubebuilder:validation:XValidation:rule="!has(self.host) || has(self.secretName)",message="spec.source.connection.secretName: name the Secret with the keys username and password that the server of spec.source.connection.host is logged in to with"
type SourceConnection struct {
	// ClusterRef names a Cluster, for type postgresql, or a MySQL, for type mysql, in the same namespace. A PostgreSQL's Cluster
	// has the PostgreSQL's name.
	// +optional
	ClusterRef *ClusterReference `json:"clusterRef,omitempty"`

	// Host of the server.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9.:_-]*$')",message="spec.source.connection.host: must be a host's name or address alone; the port goes into port, the database into database"
	Host string `json:"host,omitempty"`

	// Port of the server; the engine's own if empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// Database to dump. By default the one that the Secret has under the key dbname; a mongodb is dumped as a whole without either.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^-/. ][^/. ]*$')",message="spec.source.connection.database: must be the name of one database"
	Database string `json:"database,omitempty"`

	// SecretName names a Secret with the keys username and password, and optionally dbname, and ca.crt to verify the server with.
	// For mongodb the key uri may stand in for all of them. By default the one that the Cluster or MySQL has for applications.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// SSLMode in PostgreSQL's words; MySQL's and MongoDB's own settings follow from it. By default require for a clusterRef, and
	// prefer for a host.
	// +optional
	// +kubebuilder:validation:Enum=disable;prefer;require;verify-ca;verify-full
	SSLMode SSLMode `json:"sslMode,omitempty"`
}

// ClusterReference names a Cluster or MySQL in the same namespace.
type ClusterReference struct {
	// Name of it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Name string `json:"name"`
}

// DestinationType is a kind of store.
type DestinationType string

// The kinds of stores.
const (
	DestinationS3     DestinationType = "s3"
	DestinationGCS    DestinationType = "gcs"
	DestinationAzure  DestinationType = "azure"
	DestinationVolume DestinationType = "volume"
)

// BackupDestination is a bucket, or a volume, and how to get at it.
//
// +kubebuilder:validation:XValidation:rule="(self.type == 'volume') == has(self.persistentVolumeClaim)",message="spec.destination.persistentVolumeClaim: goes with type volume, and type volume needs it"
// +kubebuilder:validation:XValidation:rule="self.type == 'volume' || has(self.bucket)",message="spec.destination.bucket: name the bucket, or the container of azure, that dumps go to"
// +kubebuilder:validation:XValidation:rule="self.type != 'volume' || !(has(self.bucket) || has(self.endpoint) || has(self.region) || has(self.secretName))",message="spec.destination: bucket, endpoint, region and secretName are of object stores; leave them out for type volume"
type BackupDestination struct {
	// Type of the store.
	// +optional
	// +kubebuilder:default=s3
	// +kubebuilder:validation:Enum=s3;gcs;azure;volume
	Type DestinationType `json:"type,omitempty"`

	// Bucket that holds the dumps; the container of azure.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9$][A-Za-z0-9._-]*$')",message="spec.destination.bucket: must be the bucket's name alone, such as dumps; a path goes into prefix"
	Bucket string `json:"bucket,omitempty"`

	// Prefix of the objects' names; <namespace>/<name> if empty.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._=-]+(/[A-Za-z0-9._=-]+)*/?$') && !self.matches('(^|/)[.]{1,2}(/|$)')",message="spec.destination.prefix: must be a relative path such as dumps/shop, of letters, digits and any of . _ = -"
	Prefix string `json:"prefix,omitempty"`

	// Region of s3.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Region string `json:"region,omitempty"`

	// Endpoint of a store that is not the provider's own, such as https://s3.example.com.
	// +optional
	// +kubebuilder:validation:MaxLength=1000
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@ ]+(/[^?# ]*)?$')",message="spec.destination.endpoint: must be a URL such as https://s3.example.com"
	Endpoint string `json:"endpoint,omitempty"`

	// SecretName names a Secret with the store's credentials. Its keys are, for s3, ACCESS_KEY_ID and ACCESS_SECRET_KEY, and
	// optionally ACCESS_SESSION_TOKEN; for gcs, GOOGLE_CREDENTIALS, a service account's JSON; for azure, AZURE_CONNECTION_STRING,
	// or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; for all of them optionally ca.crt, to verify the
	// store with. Without a Secret the pods' own identity is used.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// PersistentVolumeClaim to write to, for type volume.
	// +optional
	PersistentVolumeClaim *corev1.PersistentVolumeClaimVolumeSource `json:"persistentVolumeClaim,omitempty"`
}

// ClientEncryption is encryption with age (age-encryption.org) before anything leaves the pod.
type ClientEncryption struct {
	// Recipients are age public keys (age1…). Each of them alone can decrypt. Keep the secret key of one of them in a safe place
	// outside of Kubernetes.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(r, r.startsWith('age1'))",message="spec.clientEncryption.recipients: must be age public keys, which start with age1; a secret key belongs into a Secret"
	// +kubebuilder:validation:items:MaxLength=4096
	// +listType=set
	Recipients []string `json:"recipients"`
}

// BackupStatus is how the dumps stand.
type BackupStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// CronJob that takes the dumps of the schedule.
	// +optional
	CronJob string `json:"cronJob,omitempty"`

	// ImmediateJob is the Job that takes, or took, the dump that does not wait for a schedule.
	// +optional
	ImmediateJob string `json:"immediateJob,omitempty"`

	// DestinationPath is where the dumps are, such as s3://bucket/path.
	// +optional
	DestinationPath string `json:"destinationPath,omitempty"`

	// NextScheduleTime is when the next dump is due.
	// +optional
	NextScheduleTime *metav1.Time `json:"nextScheduleTime,omitempty"`

	// LastDump is the newest dump that is complete.
	// +optional
	LastDump *DumpStatus `json:"lastDump,omitempty"`

	// LastFailure is the newest Job that failed.
	// +optional
	LastFailure *DumpFailure `json:"lastFailure,omitempty"`

	// Dumps of this Backup that were in the store after the last one.
	// +optional
	Dumps int32 `json:"dumps,omitempty"`

	// LastVerification is the newest test restore.
	// +optional
	LastVerification *VerificationStatus `json:"lastVerification,omitempty"`

	// LastVerifiedAt is when a test restore last succeeded.
	// +optional
	LastVerifiedAt *metav1.Time `json:"lastVerifiedAt,omitempty"`

	// Conditions: Ready, Reconciling, Stalled, and Verified where test restores are asked for.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VerificationResult is what came of a test restore.
type VerificationResult string

// The results of a test restore.
const (
	VerificationSucceeded VerificationResult = "Succeeded"
	VerificationFailed    VerificationResult = "Failed"
)

// VerificationStatus is a test restore.
type VerificationStatus struct {
	// DumpID that was restored.
	DumpID string `json:"dumpID"`
	// At is when it ended.
	// +optional
	At *metav1.Time `json:"at,omitempty"`
	// Duration of it, such as 4m10s.
	// +optional
	Duration string `json:"duration,omitempty"`
	// Result of it: Succeeded or Failed.
	Result VerificationResult `json:"result"`
	// Message says what came, or what failed.
	// +optional
	Message string `json:"message,omitempty"`
	// Tables that came; collections of a mongodb.
	// +optional
	Tables int64 `json:"tables,omitempty"`
	// Rows in all tables; documents of a mongodb.
	// +optional
	Rows int64 `json:"rows,omitempty"`
	// Checks that were true, by name, ten at most.
	// +optional
	// +listType=atomic
	Checks []string `json:"checks,omitempty"`
}

// DumpStatus is a dump that is complete.
type DumpStatus struct {
	// ID of the dump in the store.
	ID string `json:"id"`
	// Job that took it.
	// +optional
	Job string `json:"job,omitempty"`
	// Database that was dumped; empty for all.
	// +optional
	Database string `json:"database,omitempty"`
	// StartedAt is when it began.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// CompletedAt is when it was complete in the store.
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`
	// Duration of it, such as 4m10s.
	// +optional
	Duration string `json:"duration,omitempty"`
	// Size in the store, such as 1.2Gi.
	// +optional
	Size string `json:"size,omitempty"`
	// StoredBytes in the store.
	// +optional
	StoredBytes int64 `json:"storedBytes,omitempty"`
	// DataBytes that the dump program wrote.
	// +optional
	DataBytes int64 `json:"dataBytes,omitempty"`
	// Warning that did not make it fail, such as a retention that could not be followed.
	// +optional
	Warning string `json:"warning,omitempty"`
}

// DumpFailure is a Job that failed.
type DumpFailure struct {
	// Job that failed.
	Job string `json:"job"`
	// Time when it did.
	Time metav1.Time `json:"time"`
	// Message says why.
	// +optional
	Message string `json:"message,omitempty"`
}
