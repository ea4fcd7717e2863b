package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PostgreSQL is a highly available PostgreSQL in a few fields. It is compiled to a Cluster of the same name, in
// postgresql.caretaker.dev, which has all the others.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=postgresqls,singular=postgresql,shortName=pgsql,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Primary",type=string,JSONPath=`.status.primary`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Endpoint",type=string,priority=1,JSONPath=`.status.endpoint`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50",message="metadata.name: must be at most 50 characters long, since names of pods and services are made from it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must start with a letter and hold only lowercase letters, digits and '-', since services are named after it"
type PostgreSQL struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	Spec PostgreSQLSpec `json:"spec"`
	// Status is the state last seen.
	// +optional
	Status PostgreSQLStatus `json:"status,omitempty"`
}

// PostgreSQLList is a list of PostgreSQLs.
//
// +kubebuilder:object:root=true
type PostgreSQLList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PostgreSQL `json:"items"`
}

// PostgreSQLSpec is what a user wants of a PostgreSQL.
//
// +kubebuilder:validation:XValidation:rule="!has(self.backup) || !has(self.backup.verification)",message="spec.backup.verification: restores dumps, which a MySQL has; drills prove the backups of a PostgreSQL: set spec.backup.drill of the Cluster of the same name"
// +kubebuilder:validation:XValidation:rule="has(self.storageClass) == has(oldSelf.storageClass) && (!has(self.storageClass) || self.storageClass == oldSelf.storageClass)",message="spec.storageClass: cannot change on existing volumes; set it back, or move the data into a new database"
type PostgreSQLSpec struct {
	// Version is the major version, "14" to "19". The default is set in the operator's configuration, and is pinned when
	// the database is created.
	// +optional
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="!(self in ['12', '13'])",message="spec.version: PostgreSQL 12 and 13 are at their end of life; use \"14\" or newer, \"18\" for a new database"
	// +kubebuilder:validation:XValidation:rule="self.matches('^1[2-9]$')",message="spec.version: must be a major version from \"14\" to \"19\", in quotes"
	Version string `json:"version,omitempty"`

	// Storage is the size of each replica's volume, such as 10Gi. It can grow later, not shrink.
	// +optional
	// +kubebuilder:default="10Gi"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[1-9][0-9]*Gi$')",message="spec.storage: must be a whole number of gibibytes, such as 10Gi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0",message="spec.storage: a volume can grow but not shrink; set it back, or move the data into a new database"
	Storage string `json:"storage,omitempty"`

	// StorageClass of the volumes; the operator's configuration has the default, and then the Kubernetes cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClass *string `json:"storageClass,omitempty"`

	// Replicas is the number of servers: one primary, the rest ready to take over.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5
	Replicas *int32 `json:"replicas,omitempty"`

	// Backup of the database.
	// +optional
	Backup *BackupSpec `json:"backup,omitempty"`

	// Resources of each server.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// DeletionPolicy says what becomes of the volumes when this object is deleted: Retain keeps them, and a PostgreSQL of
	// the same name takes them up again; Delete removes them.
	// +optional
	// +kubebuilder:default=Retain
	// +kubebuilder:validation:Enum=Retain;Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// PostgreSQLStatus is the state of a PostgreSQL as last seen: the truth of its Cluster, in short.
type PostgreSQLStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Cluster is the name of the Cluster that it is compiled to.
	// +optional
	Cluster string `json:"cluster,omitempty"`

	// Replicas that exist.
	// +optional
	Replicas int32 `json:"replicas"`

	// ReadyReplicas serve.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`

	// Primary is the name of the primary's pod.
	// +optional
	Primary string `json:"primary,omitempty"`

	// Version that the primary runs, such as 17.11.
	// +optional
	Version string `json:"version,omitempty"`

	// Image that the servers run, or are moving to.
	// +optional
	Image string `json:"image,omitempty"`

	// Endpoint is host and port that lead to the primary.
	// +optional
	Endpoint string `json:"endpoint,omitempty"`

	// ReadOnlyEndpoint is host and port that lead to the replicas.
	// +optional
	ReadOnlyEndpoint string `json:"readOnlyEndpoint,omitempty"`

	// SecretName is the Secret with the application's username, password, host, port, dbname and uri.
	// +optional
	SecretName string `json:"secretName,omitempty"`

	// ScheduledBackup that takes the backups.
	// +optional
	ScheduledBackup string `json:"scheduledBackup,omitempty"`

	// Conditions: Ready, Reconciling, Stalled, BackupScheduled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
