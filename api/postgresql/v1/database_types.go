package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Database is a database: one in an existing Cluster (spec.cluster), or one with a Cluster of its own (spec.engine).
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=pgdb,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.status.cluster`
// +kubebuilder:printcolumn:name="Database",type=string,JSONPath=`.status.database`
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.status.owner`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Secret",type=string,priority=1,JSONPath=`.status.secretName`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50",message="metadata.name: must be at most 50 characters long, since names of pods and services are made from it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must start with a letter and hold only lowercase letters, digits and '-', since services are named after it"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.cluster) || self.spec.cluster.name != self.metadata.name",message="metadata.name: must differ from spec.cluster.name, since each has a Secret <name>-app; choose another metadata.name and set spec.name to what the database is to be called"
type Database struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	Spec DatabaseSpec `json:"spec"`
	// Status is the state last seen.
	// +optional
	Status DatabaseStatus `json:"status,omitempty"`
}

// DatabaseList is a list of Databases.
//
// +kubebuilder:object:root=true
type DatabaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Database `json:"items"`
}

// DatabaseSpec is what a user wants of a Database.
//
// +kubebuilder:validation:XValidation:rule="has(self.cluster) != has(self.engine)",message="spec: set exactly one of cluster, for a database in an existing Cluster, and engine, for a Cluster of its own"
// +kubebuilder:validation:XValidation:rule="has(self.cluster) == has(oldSelf.cluster)",message="spec: a Database cannot move between an existing Cluster and one of its own; create a new Database"
// +kubebuilder:validation:XValidation:rule="has(self.engine) || !(has(self.version) || has(self.replicas) || has(self.image) || has(self.storage))",message="spec: version, replicas, image and storage belong to engine; with cluster, the Cluster has them"
// +kubebuilder:validation:XValidation:rule="has(self.cluster) || !(has(self.name) || has(self.owner) || has(self.encoding) || has(self.locale) || has(self.localeCollate) || has(self.localeCType) || has(self.connectionLimit) || has(self.extensions) || has(self.schemas))",message="spec: name, owner, encoding, locale, localeCollate, localeCType, connectionLimit, extensions and schemas belong to cluster; with engine, create a second Database in the Cluster that this one makes"
// +kubebuilder:validation:XValidation:rule="has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)",message="spec.name: cannot change; create a new Database"
// +kubebuilder:validation:XValidation:rule="has(self.encoding) == has(oldSelf.encoding) && (!has(self.encoding) || self.encoding == oldSelf.encoding)",message="spec.encoding: PostgreSQL cannot change it; create a new Database"
// +kubebuilder:validation:XValidation:rule="has(self.locale) == has(oldSelf.locale) && (!has(self.locale) || self.locale == oldSelf.locale)",message="spec.locale: PostgreSQL cannot change it; create a new Database"
// +kubebuilder:validation:XValidation:rule="has(self.localeCollate) == has(oldSelf.localeCollate) && (!has(self.localeCollate) || self.localeCollate == oldSelf.localeCollate)",message="spec.localeCollate: PostgreSQL cannot change it; create a new Database"
// +kubebuilder:validation:XValidation:rule="has(self.localeCType) == has(oldSelf.localeCType) && (!has(self.localeCType) || self.localeCType == oldSelf.localeCType)",message="spec.localeCType: PostgreSQL cannot change it; create a new Database"
type DatabaseSpec struct {
	// Cluster that the database is in.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.cluster.name: a database cannot move to another Cluster; create a new Database"
	Cluster *LocalObjectReference `json:"cluster,omitempty"`

	// Engine of a Cluster of its own. Its name is the Database's.
	// +optional
	// +kubebuilder:validation:Enum=postgresql
	Engine string `json:"engine,omitempty"`

	// Version is the major version of an own Cluster, "14" to "19". The default is set in the operator's configuration.
	// +optional
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="!(self in ['12', '13'])",message="spec.version: PostgreSQL 12 and 13 are at their end of life; use \"14\" or newer, \"18\" for a new database"
	// +kubebuilder:validation:XValidation:rule="self.matches('^1[2-9]$')",message="spec.version: must be a major version from \"14\" to \"19\", in quotes"
	Version string `json:"version,omitempty"`

	// Replicas is the number of servers of an own Cluster. The default is set in the operator's configuration.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5
	Replicas *int32 `json:"replicas,omitempty"`

	// Image of an own Cluster; its tag starts with the major version. The default follows from the version.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1000
	Image string `json:"image,omitempty"`

	// Storage is the size of each volume of an own Cluster, such as 10Gi. It can grow later, not shrink. The default is set
	// in the operator's configuration.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[1-9][0-9]*Gi$')",message="spec.storage: must be a whole number of gibibytes, such as 10Gi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0",message="spec.storage: a volume can grow but not shrink; set it back, or move the data into a new database"
	Storage string `json:"storage,omitempty"`

	// Resources of each server of an own Cluster.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// Name of the database in PostgreSQL; metadata.name if empty.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!(self in ['postgres', 'template0', 'template1'])",message="spec.name: postgres, template0 and template1 are PostgreSQL's own; choose another name"
	Name string `json:"name,omitempty"`

	// Owner is the role that owns the database; the database's name if empty. It is made if it does not exist, and then
	// its password is in the Secret <metadata.name>-app.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('pg_') && !(self in ['postgres', 'streaming_replica'])",message="spec.owner: postgres, streaming_replica and names starting with pg_ are reserved; choose another name"
	Owner string `json:"owner,omitempty"`

	// Encoding of a new database; the Cluster's if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_]+$`
	Encoding string `json:"encoding,omitempty"`

	// Locale of a new database; the Cluster's if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.@-]+$`
	Locale string `json:"locale,omitempty"`

	// LocaleCollate in place of locale's.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.@-]+$`
	LocaleCollate string `json:"localeCollate,omitempty"`

	// LocaleCType in place of locale's.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.@-]+$`
	LocaleCType string `json:"localeCType,omitempty"`

	// ConnectionLimit of the database; -1 for none.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ConnectionLimit *int32 `json:"connectionLimit,omitempty"`

	// Extensions of the database.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	Extensions []DatabaseExtension `json:"extensions,omitempty"`

	// Schemas of the database.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	Schemas []DatabaseSchema `json:"schemas,omitempty"`

	// ReclaimPolicy says what becomes of the database when this object is deleted: retain keeps it, delete drops it and
	// cuts its clients off. Of an own Cluster, it speaks of the volumes.
	// +optional
	// +kubebuilder:default=retain
	// +kubebuilder:validation:Enum=retain;delete
	ReclaimPolicy DatabaseReclaimPolicy `json:"databaseReclaimPolicy,omitempty"`
}

// DatabaseReclaimPolicy says what becomes of a database when its object is deleted.
type DatabaseReclaimPolicy string

// The reclaim policies.
const (
	DatabaseReclaimRetain DatabaseReclaimPolicy = "retain"
	DatabaseReclaimDelete DatabaseReclaimPolicy = "delete"
)

// EnsureOption says whether something should be there.
type EnsureOption string

// Whether something should be there.
const (
	EnsurePresent EnsureOption = "present"
	EnsureAbsent  EnsureOption = "absent"
)

// DatabaseExtension is an extension of a database.
type DatabaseExtension struct {
	// Name of the extension, such as pgcrypto.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Ensure that it is present or absent. What others depend on is not dropped with it.
	// +optional
	// +kubebuilder:default=present
	// +kubebuilder:validation:Enum=present;absent
	Ensure EnsureOption `json:"ensure,omitempty"`

	// Version to install or update to; the default of the image if empty, and then it is not updated.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Version string `json:"version,omitempty"`

	// Schema to install it in.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Schema string `json:"schema,omitempty"`
}

// DatabaseSchema is a schema of a database.
type DatabaseSchema struct {
	// Name of the schema.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('pg_') && self != 'information_schema'",message="spec.schemas[].name: information_schema and names starting with pg_ are PostgreSQL's own; choose another name"
	Name string `json:"name"`

	// Ensure that it is present or absent. A schema that is not empty is not dropped.
	// +optional
	// +kubebuilder:default=present
	// +kubebuilder:validation:Enum=present;absent
	Ensure EnsureOption `json:"ensure,omitempty"`

	// Owner of the schema, an existing role; the database's owner if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Owner string `json:"owner,omitempty"`
}

// DatabaseStatus is the state of a Database as last seen.
type DatabaseStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Cluster that the database is in.
	// +optional
	Cluster string `json:"cluster,omitempty"`

	// Database is its name in PostgreSQL.
	// +optional
	Database string `json:"database,omitempty"`

	// Owner is the role that owns it.
	// +optional
	Owner string `json:"owner,omitempty"`

	// ReadyReplicas of an own Cluster.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`

	// Endpoint is host and port that lead to the primary.
	// +optional
	Endpoint string `json:"endpoint,omitempty"`

	// SecretName is the Secret with the owner's username, password, host, port, dbname and uri.
	// +optional
	SecretName string `json:"secretName,omitempty"`

	// Conditions: Ready, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
