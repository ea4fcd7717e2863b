package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Cluster is a PostgreSQL primary and its streaming replicas.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=pgc,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.instances,statuspath=.status.instances,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="Instances",type=integer,JSONPath=`.spec.instances`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyInstances`
// +kubebuilder:printcolumn:name="Primary",type=string,JSONPath=`.status.primary`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Version",type=string,priority=1,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Last archived",type=date,priority=1,JSONPath=`.status.archiving.lastArchivedTime`
// +kubebuilder:printcolumn:name="Last backup",type=date,priority=1,JSONPath=`.status.backups.lastSuccessfulBackup`
// +kubebuilder:printcolumn:name="Last verified",type=date,priority=1,JSONPath=`.status.backups.lastVerified`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50",message="metadata.name: must be at most 50 characters long, since names of pods and services are made from it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must start with a letter and hold only lowercase letters, digits and '-', since services are named after it"
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	Spec ClusterSpec `json:"spec"`
	// Status is the state last seen.
	// +optional
	Status ClusterStatus `json:"status,omitempty"`
}

// ClusterList is a list of Clusters.
//
// +kubebuilder:object:root=true
type ClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Cluster `json:"items"`
}

// ClusterSpec is what a user wants of a Cluster.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.bootstrap) || has(self.bootstrap)",message="spec.bootstrap: is used once, at creation, and cannot be removed later"
// +kubebuilder:validation:XValidation:rule="!has(self.bootstrap) || !has(self.bootstrap.pg_basebackup) || (has(self.externalClusters) && self.externalClusters.exists(e, e.name == self.bootstrap.pg_basebackup.source))",message="spec.bootstrap.pg_basebackup.source: must name an entry of spec.externalClusters"
// +kubebuilder:validation:XValidation:rule="!has(self.bootstrap) || !has(self.bootstrap.pg_basebackup) || !has(self.externalClusters) || self.externalClusters.all(e, e.name != self.bootstrap.pg_basebackup.source || has(e.connectionParameters))",message="spec.bootstrap.pg_basebackup.source: the entry of spec.externalClusters needs connectionParameters"
// +kubebuilder:validation:XValidation:rule="!has(self.bootstrap) || !has(self.bootstrap.recovery) || !has(self.bootstrap.recovery.source) || (has(self.externalClusters) && self.externalClusters.exists(e, e.name == self.bootstrap.recovery.source && (has(e.objectStore) || has(e.barmanObjectStore) || has(e.volume))))",message="spec.bootstrap.recovery.source: must name an entry of spec.externalClusters that has an objectStore or a volume"
// +kubebuilder:validation:XValidation:rule="!has(self.serviceAccountName) || !has(self.serviceAccountTemplate)",message="spec: serviceAccountName and serviceAccountTemplate exclude each other; keep one"
type ClusterSpec struct {
	// Instances is the number of PostgreSQL servers: one primary, the rest replicas.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=99
	Instances int32 `json:"instances"`

	// ImageName is the PostgreSQL image; its tag starts with the major version. The default is set in the operator's
	// configuration and is pinned for a Cluster when it is created.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1000
	ImageName string `json:"imageName,omitempty"`

	// ImagePullPolicy of the PostgreSQL container.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// ImagePullSecrets for the pods.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	ImagePullSecrets []LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// PostgresUID is the user ID that PostgreSQL runs as. 999 suits the official image, 26 CloudNativePG's.
	// +optional
	// +kubebuilder:validation:Minimum=1
	PostgresUID *int64 `json:"postgresUID,omitempty"`

	// PostgresGID is the group ID that PostgreSQL runs as, and the group of its volumes.
	// +optional
	// +kubebuilder:validation:Minimum=1
	PostgresGID *int64 `json:"postgresGID,omitempty"`

	// Storage of the data directory, one volume for each instance.
	Storage StorageConfiguration `json:"storage"`

	// PostgreSQL is the server's configuration.
	// +optional
	PostgreSQL PostgresConfiguration `json:"postgresql,omitempty"`

	// Bootstrap says where the data of a new Cluster comes from; an empty database by default.
	// +optional
	Bootstrap *BootstrapConfiguration `json:"bootstrap,omitempty"`

	// ExternalClusters are servers that this Cluster can be copied from.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	ExternalClusters []ExternalCluster `json:"externalClusters,omitempty"`

	// Backup configures archiving and backups.
	// +optional
	Backup *BackupConfiguration `json:"backup,omitempty"`

	// RecoverInPlace takes the data of this Cluster back to a moment; the volumes in use are set aside.
	// +optional
	RecoverInPlace *RecoverInPlace `json:"recoverInPlace,omitempty"`

	// ReplicationSlots configures the slots that the members keep for each other.
	// +optional
	ReplicationSlots *ReplicationSlotsConfiguration `json:"replicationSlots,omitempty"`

	// Affinity: plain Kubernetes affinity, and shorthands for the usual wishes.
	// +optional
	Affinity AffinityConfiguration `json:"affinity,omitempty"`

	// TopologySpreadConstraints of the pods.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// Resources of the PostgreSQL container. shared_buffers and effective_cache_size follow the memory limit unless set.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// PriorityClassName of the pods.
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// SchedulerName of the pods.
	// +optional
	SchedulerName string `json:"schedulerName,omitempty"`

	// ServiceAccountTemplate adds labels and annotations to the Cluster's ServiceAccount (workload identity needs them).
	// +optional
	ServiceAccountTemplate *ServiceAccountTemplate `json:"serviceAccountTemplate,omitempty"`

	// ServiceAccountName uses an existing ServiceAccount in place of an own one; its rights are still granted by us.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// Env is added to the PostgreSQL container's environment. Names with the prefixes PG and CARETAKER_ are reserved.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:XValidation:rule="self.all(e, !e.name.startsWith('PG') && !e.name.startsWith('CARETAKER_') && !e.name.startsWith('POD_'))",message="spec.env: names that start with PG, POD_ or CARETAKER_ are reserved; use postgresql.parameters or another name"
	// +listType=map
	// +listMapKey=name
	Env []corev1.EnvVar `json:"env,omitempty"`

	// EnvFrom is added to the PostgreSQL container's environment.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// ProjectedVolumeTemplate is mounted at /projected in the PostgreSQL container.
	// +optional
	ProjectedVolumeTemplate *corev1.ProjectedVolumeSource `json:"projectedVolumeTemplate,omitempty"`

	// InheritedMetadata is copied to every object that belongs to this Cluster.
	// +optional
	InheritedMetadata *EmbeddedMetadata `json:"inheritedMetadata,omitempty"`

	// Certificates names the user's own TLS secrets; what is not named comes from a CA of our own.
	// +optional
	Certificates *CertificatesConfiguration `json:"certificates,omitempty"`

	// Monitoring configures the metrics endpoint's discovery.
	// +optional
	Monitoring *MonitoringConfiguration `json:"monitoring,omitempty"`

	// Managed objects around the Cluster.
	// +optional
	Managed *ManagedConfiguration `json:"managed,omitempty"`

	// EnableSuperuserAccess keeps a password for the user postgres in the Secret <name>-superuser.
	// +optional
	// +kubebuilder:default=false
	EnableSuperuserAccess *bool `json:"enableSuperuserAccess,omitempty"`

	// SuperuserSecret holds the password (keys username, password) in place of a generated one.
	// +optional
	SuperuserSecret *LocalObjectReference `json:"superuserSecret,omitempty"`

	// EnablePDB makes a PodDisruptionBudget for Clusters of two or more instances.
	// +optional
	// +kubebuilder:default=true
	EnablePDB *bool `json:"enablePDB,omitempty"`

	// PrimaryUpdateStrategy: unsupervised updates the primary last, by itself; supervised waits for the user.
	// +optional
	// +kubebuilder:default=unsupervised
	// +kubebuilder:validation:Enum=unsupervised;supervised
	PrimaryUpdateStrategy PrimaryUpdateStrategy `json:"primaryUpdateStrategy,omitempty"`

	// PrimaryUpdateMethod: with switchover, a replica takes over before the primary is restarted or its pod is replaced;
	// with restart, PostgreSQL of the primary is restarted in place where that is enough.
	// +optional
	// +kubebuilder:default=switchover
	// +kubebuilder:validation:Enum=switchover;restart
	PrimaryUpdateMethod PrimaryUpdateMethod `json:"primaryUpdateMethod,omitempty"`

	// Failover is the timing of automatic failover.
	// +optional
	Failover *FailoverConfiguration `json:"failover,omitempty"`

	// SmartShutdownTimeout is how long, in seconds, an orderly stop waits for clients to leave by themselves.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	SmartShutdownTimeout *int32 `json:"smartShutdownTimeout,omitempty"`

	// StopDelay is how long, in seconds, the whole orderly stop of an instance may take.
	// +optional
	// +kubebuilder:default=120
	// +kubebuilder:validation:Minimum=15
	StopDelay *int32 `json:"stopDelay,omitempty"`

	// StartDelay is how long, in seconds, PostgreSQL may take to start (crash recovery included).
	// +optional
	// +kubebuilder:default=3600
	// +kubebuilder:validation:Minimum=10
	StartDelay *int32 `json:"startDelay,omitempty"`

	// DeletionPolicy says what becomes of the volumes and the term record when the Cluster is deleted: Retain keeps
	// them, and a Cluster of the same name takes them up again; Delete removes them.
	// +optional
	// +kubebuilder:default=Retain
	// +kubebuilder:validation:Enum=Retain;Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// DeletionPolicy says what becomes of a deleted Cluster's volumes.
type DeletionPolicy string

// The deletion policies.
const (
	DeletionPolicyRetain DeletionPolicy = "Retain"
	DeletionPolicyDelete DeletionPolicy = "Delete"
)

// PrimaryUpdateStrategy says whether the primary is updated by itself.
type PrimaryUpdateStrategy string

// The primary update strategies.
const (
	PrimaryUpdateUnsupervised PrimaryUpdateStrategy = "unsupervised"
	PrimaryUpdateSupervised   PrimaryUpdateStrategy = "supervised"
)

// PrimaryUpdateMethod says how the primary is restarted.
type PrimaryUpdateMethod string

// The primary update methods.
const (
	PrimaryUpdateSwitchover PrimaryUpdateMethod = "switchover"
	PrimaryUpdateRestart    PrimaryUpdateMethod = "restart"
)

// LocalObjectReference names an object in the Cluster's namespace.
type LocalObjectReference struct {
	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// EmbeddedMetadata is labels and annotations for objects made by us.
type EmbeddedMetadata struct {
	// Labels to add.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations to add.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// ServiceAccountTemplate is the metadata of the Cluster's ServiceAccount.
type ServiceAccountTemplate struct {
	// Metadata to add.
	// +optional
	Metadata EmbeddedMetadata `json:"metadata,omitempty"`
}

// StorageConfiguration describes the volume of each instance.
//
// +kubebuilder:validation:XValidation:rule="quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",message="spec.storage.size: a volume can grow but not shrink; set it back, or move the data into a new Cluster"
// +kubebuilder:validation:XValidation:rule="!has(self.autoGrow) || !isQuantity(self.autoGrow.limit) || !isQuantity(self.size) || quantity(self.autoGrow.limit).compareTo(quantity(self.size)) >= 0",message="spec.storage.autoGrow.limit: is smaller than spec.storage.size; raise it, or leave autoGrow out"
// +kubebuilder:validation:XValidation:rule="has(self.storageClass) == has(oldSelf.storageClass) && (!has(self.storageClass) || self.storageClass == oldSelf.storageClass)",message="spec.storage.storageClass: cannot change on existing volumes; move the data into a new Cluster"
type StorageConfiguration struct {
	// Size of each volume, such as 10Gi. It can grow.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",message="spec.storage.size: must be a quantity above zero, such as 10Gi"
	Size string `json:"size"`

	// StorageClass of the volumes; the Kubernetes cluster's default if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClass *string `json:"storageClass,omitempty"`

	// ResizeInUseVolumes lets a larger size reach existing volumes.
	// +optional
	// +kubebuilder:default=true
	ResizeInUseVolumes *bool `json:"resizeInUseVolumes,omitempty"`

	// AutoGrow makes the volumes larger by themselves when one runs full.
	// +optional
	AutoGrow *AutoGrowConfiguration `json:"autoGrow,omitempty"`

	// PVCTemplate is the base of each volume claim; size and storageClass override it.
	// +optional
	PVCTemplate *corev1.PersistentVolumeClaimSpec `json:"pvcTemplate,omitempty"`
}

// AutoGrowConfiguration lets volumes grow by themselves: all of them, by a quarter and by at least 1Gi, when one is used
// up to atUsedPercent. The size that they have got is status.storageSize; spec.storage.size stays as it is written.
type AutoGrowConfiguration struct {
	// Limit that they do not grow beyond, such as 100Gi.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",message="spec.storage.autoGrow.limit: must be a quantity above zero, such as 100Gi"
	Limit string `json:"limit"`

	// AtUsedPercent of a volume they grow.
	// +optional
	// +kubebuilder:default=80
	// +kubebuilder:validation:Minimum=50
	// +kubebuilder:validation:Maximum=90
	AtUsedPercent *int32 `json:"atUsedPercent,omitempty"`
}

// PostgresConfiguration is the server's configuration.
type PostgresConfiguration struct {
	// Parameters of postgresql.conf. Names, types and ranges are checked against the major version's own table before
	// anything changes.
	// +optional
	// +kubebuilder:validation:MaxProperties=400
	Parameters map[string]string `json:"parameters,omitempty"`

	// PgHBA rules, placed between the fixed ones and the final "everybody with a password over the network".
	// +optional
	// +kubebuilder:validation:MaxItems=500
	// +listType=atomic
	PgHBA []string `json:"pg_hba,omitempty"`

	// PgIdent user name maps.
	// +optional
	// +kubebuilder:validation:MaxItems=500
	// +listType=atomic
	PgIdent []string `json:"pg_ident,omitempty"`

	// SharedPreloadLibraries are loaded at the server's start.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	// +listType=atomic
	SharedPreloadLibraries []string `json:"shared_preload_libraries,omitempty"`

	// Synchronous replication: how many replicas must have a commit before it is acknowledged.
	// +optional
	Synchronous *SynchronousConfiguration `json:"synchronous,omitempty"`
}

// DataDurability says what happens when too few replicas are left to acknowledge commits.
type DataDurability string

// What happens when too few replicas are left.
const (
	// DurabilityRequired: writes wait until there are enough again.
	DurabilityRequired DataDurability = "required"
	// DurabilityPreferred: the primary goes on alone, and there is no automatic failover until a replica has caught up.
	DurabilityPreferred DataDurability = "preferred"
)

// SynchronousConfiguration is about commits that wait for replicas.
type SynchronousConfiguration struct {
	// Method: any is a quorum, whichever replicas answer first.
	// +optional
	// +kubebuilder:default=any
	// +kubebuilder:validation:Enum=any
	Method string `json:"method,omitempty"`

	// Number of replicas that must have flushed a commit; 0 is asynchronous, and a failover may lose commits. More than
	// there are replicas counts as all of them.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=99
	Number *int32 `json:"number,omitempty"`

	// DataDurability: required makes writes wait when too few replicas are left, preferred goes on without. The default is
	// required from three instances on, preferred for two; a Cluster that is scaled from three to two stays required.
	// +optional
	// +kubebuilder:validation:Enum=required;preferred
	DataDurability DataDurability `json:"dataDurability,omitempty"`
}

// FailoverConfiguration is the timing of automatic failover. Shorter is faster, and more easily triggered by a busy machine.
type FailoverConfiguration struct {
	// HeartbeatInterval between the primary's heartbeats; three that are missed make it suspect.
	// +optional
	// +kubebuilder:default="500ms"
	HeartbeatInterval *metav1.Duration `json:"heartbeatInterval,omitempty"`

	// Promise is for how long a replica that hears the primary promises not to help another; it must be at least four
	// heartbeats.
	// +optional
	// +kubebuilder:default="3s"
	Promise *metav1.Duration `json:"promise,omitempty"`
}

// ReplicationSlotsConfiguration configures the members' slots for each other.
type ReplicationSlotsConfiguration struct {
	// HighAvailability slots, one for each member.
	// +optional
	HighAvailability *HighAvailabilitySlots `json:"highAvailability,omitempty"`

	// UpdateInterval is how often, in seconds, standbys bring their copies of the slots up to date.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	UpdateInterval int32 `json:"updateInterval,omitempty"`
}

// HighAvailabilitySlots are one physical slot for each member.
type HighAvailabilitySlots struct {
	// Enabled keeps the slots.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`
}

// AffinityConfiguration is plain Kubernetes affinity plus shorthands.
type AffinityConfiguration struct {
	corev1.Affinity `json:",inline"`

	// EnablePodAntiAffinity keeps instances on different nodes; see podAntiAffinityType.
	// +optional
	// +kubebuilder:default=true
	EnablePodAntiAffinity *bool `json:"enablePodAntiAffinity,omitempty"`

	// PodAntiAffinityType: preferred spreads where it can, required leaves an instance pending rather than share.
	// +optional
	// +kubebuilder:default=preferred
	// +kubebuilder:validation:Enum=preferred;required
	PodAntiAffinityType string `json:"podAntiAffinityType,omitempty"`

	// TopologyKey to spread over.
	// +optional
	// +kubebuilder:default="kubernetes.io/hostname"
	TopologyKey string `json:"topologyKey,omitempty"`

	// NodeSelector of the pods.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// Tolerations of the pods.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	// +listType=atomic
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
}

// MonitoringConfiguration configures how metrics are found.
type MonitoringConfiguration struct {
	// EnablePodMonitor makes a PodMonitor where the Prometheus operator's API is installed.
	// +optional
	EnablePodMonitor bool `json:"enablePodMonitor,omitempty"`
}

// CertificatesConfiguration names the user's own TLS secrets.
type CertificatesConfiguration struct {
	// ServerTLSSecret (tls.crt, tls.key, and ca.crt unless serverCASecret is set) is the server's certificate.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServerTLSSecret string `json:"serverTLSSecret,omitempty"`

	// ServerCASecret (ca.crt) is the CA that clients verify the server with.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServerCASecret string `json:"serverCASecret,omitempty"`

	// ClientCASecret (ca.crt) is a CA whose client certificates are accepted, beside our own for replication.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClientCASecret string `json:"clientCASecret,omitempty"`

	// ReplicationTLSSecret (tls.crt, tls.key) is the client certificate of the user streaming_replica.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ReplicationTLSSecret string `json:"replicationTLSSecret,omitempty"`

	// ServerAltDNSNames are added to the server certificate that we make.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	// +listType=set
	ServerAltDNSNames []string `json:"serverAltDNSNames,omitempty"`
}

// ManagedConfiguration is the objects around a Cluster.
type ManagedConfiguration struct {
	// Services beside the default ones.
	// +optional
	Services *ManagedServices `json:"services,omitempty"`
}

// ManagedServices adds services, or leaves default ones out.
type ManagedServices struct {
	// DisabledDefaultServices are not made. The read-write service cannot be disabled.
	// +optional
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:XValidation:rule="self.all(s, s != 'rw')",message="spec.managed.services.disabledDefaultServices: the read-write service cannot be left out; remove rw"
	// +listType=set
	DisabledDefaultServices []ServiceSelectorType `json:"disabledDefaultServices,omitempty"`

	// Additional services.
	// +optional
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	Additional []ManagedService `json:"additional,omitempty"`
}

// ServiceSelectorType is which instances a service leads to.
//
// +kubebuilder:validation:Enum=rw;ro;r
type ServiceSelectorType string

// The service selector types: the primary, the replicas, any instance.
const (
	ServiceReadWrite ServiceSelectorType = "rw"
	ServiceReadOnly  ServiceSelectorType = "ro"
	ServiceRead      ServiceSelectorType = "r"
)

// ManagedService is an additional service of a Cluster.
type ManagedService struct {
	// SelectorType: rw, ro or r.
	SelectorType ServiceSelectorType `json:"selectorType"`

	// ServiceTemplate: the name is required; selector and ports are ours unless given ports.
	ServiceTemplate ServiceTemplate `json:"serviceTemplate"`
}

// ServiceTemplate is metadata and spec of an additional service.
type ServiceTemplate struct {
	// Metadata of the service.
	Metadata ServiceTemplateMetadata `json:"metadata"`

	// Spec of the service. The selector is ours.
	// +optional
	Spec corev1.ServiceSpec `json:"spec,omitempty"`
}

// ServiceTemplateMetadata names an additional service.
type ServiceTemplateMetadata struct {
	// Name of the service.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Labels to add.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations to add.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}
