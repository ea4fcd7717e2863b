package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MySQL is a MySQL server, or a group of them with Group Replication in single-primary mode. Failover is MySQL's own.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=mysqls,singular=mysql,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Primary",type=string,JSONPath=`.status.primary`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Endpoint",type=string,priority=1,JSONPath=`.status.endpoint`
// +kubebuilder:printcolumn:name="Verified",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="BackupVerified")].status`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50",message="metadata.name: must be at most 50 characters long, since names of pods and services are made from it"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.backup) || !has(self.spec.backup.enabled) || !self.spec.backup.enabled || self.metadata.name.size() <= 44",message="metadata.name: must be at most 44 characters long where spec.backup is enabled, since the Backup that takes the dumps has the same name"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must start with a letter and hold only lowercase letters, digits and '-', since services are named after it"
type MySQL struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	Spec MySQLSpec `json:"spec"`
	// Status is the state last seen.
	// +optional
	Status MySQLStatus `json:"status,omitempty"`
}

// MySQLList is a list of MySQLs.
//
// +kubebuilder:object:root=true
type MySQLList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []MySQL `json:"items"`
}

// MySQLSpec is what a user wants of a MySQL.
//
// +kubebuilder:validation:XValidation:rule="!has(self.backup) || !has(self.backup.schedule) || !self.backup.schedule.matches('^[^ ]+( +[^ ]+){5}$')",message="spec.backup.schedule: a CronJob takes the dumps, and has no seconds; leave the first of the six fields out"
// +kubebuilder:validation:XValidation:rule="!has(self.backup) || !has(self.backup.retention) || self.backup.retention.size() <= 5",message="spec.backup.retention: must be at most 9999 days, weeks or months; leave it out to keep dumps for ever"
// +kubebuilder:validation:XValidation:rule="has(self.storageClass) == has(oldSelf.storageClass) && (!has(self.storageClass) || self.storageClass == oldSelf.storageClass)",message="spec.storageClass: cannot change on existing volumes; set it back, or move the data into a new database"
type MySQLSpec struct {
	// Version is the release series, such as "9.7". The default is set in the operator's configuration, and is pinned when
	// the database is created.
	// +optional
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-7]|8[.][0-3]|8$)')",message="spec.version: MySQL 8.0 and older are at their end of life; use \"8.4\" or \"9.7\""
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+([.][0-9]+)?$')",message="spec.version: must be a release series in quotes, such as \"9.7\""
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

	// Replicas is the number of servers: one primary, the rest ready to take over; 1, or 3 to 9.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=9
	// +kubebuilder:validation:XValidation:rule="self != 2",message="spec.replicas: 2 is less available than 1, since a group of two stops when either is lost: it has no majority then; use 1 or 3"
	Replicas *int32 `json:"replicas,omitempty"`

	// Backup takes dumps of the application's database, by a Backup of backup.caretaker.dev (kubectl get dumps) of this name.
	// +optional
	Backup *BackupSpec `json:"backup,omitempty"`

	// Resources of each server. innodb_buffer_pool_size follows the memory limit.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// DeletionPolicy says what becomes of the volumes when this object is deleted: Retain keeps them, and a MySQL of the
	// same name takes them up again; Delete removes them.
	// +optional
	// +kubebuilder:default=Retain
	// +kubebuilder:validation:Enum=Retain;Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// MySQLStatus is the state of a MySQL as last seen.
type MySQLStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Replicas that exist.
	// +optional
	Replicas int32 `json:"replicas"`

	// ReadyReplicas are online in the group.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`

	// Primary is the name of the primary's pod.
	// +optional
	Primary string `json:"primary,omitempty"`

	// Version is the release series that runs.
	// +optional
	Version string `json:"version,omitempty"`

	// Image that the servers run, or are moving to; pinned when the database was created.
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

	// Conditions: Ready, Reconciling, Stalled, BackupScheduled, BackupVerified.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
