package v1

import (
	corev1 "k8s.io/api/core/v1"

	appsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
)

// DatabaseType is a database server.
//
// +kubebuilder:validation:Enum=postgresql;mysql
type DatabaseType string

// The database servers.
const (
	PostgreSQL DatabaseType = "postgresql"
	MySQL      DatabaseType = "mysql"
)

// DatabaseSpec is the database of an application.
//
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || self.replicas != 2 || !has(self.type) || self.type != 'mysql'",message="spec.database.replicas: a MySQL group of 2 stops when either server is lost, since it has no majority then; use 1 or 3"
// +kubebuilder:validation:XValidation:rule="!has(self.backup) || !has(self.backup.verification) || has(self.type) && self.type == 'mysql'",message="spec.database.backup.verification: restores dumps, which a mysql has; drills prove the backups of a postgresql: set spec.backup.drill of the Cluster <metadata.name>-db"
type DatabaseSpec struct {
	// Type of the server.
	// +kubebuilder:default=postgresql
	Type DatabaseType `json:"type,omitempty"`

	// Version of the server, such as "17" for PostgreSQL. The operator's default version if not set.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+([.][0-9]+)*$')",message="spec.database.version: must be a version number in quotes, such as \"17\""
	Version string `json:"version,omitempty"`

	// Storage of each instance, rounded up to whole Gi. It can grow later, not shrink.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",message="spec.database.storage: must be a quantity above zero, such as 10Gi"
	Storage string `json:"storage,omitempty"`

	// Replicas is the number of servers: one primary, the rest replicas.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5
	Replicas *int32 `json:"replicas,omitempty"`

	// Backup of the database.
	// +optional
	Backup *databasev1.BackupSpec `json:"backup,omitempty"`

	// Resources of each server.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
}

// CacheSpec is the cache of an application: one Valkey server, which speaks Redis' protocol.
type CacheSpec struct {
	// Enabled switches the cache on.
	// +kubebuilder:default=true
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// Image of Valkey or Redis. The default is set in the operator's configuration.
	// +optional
	// +kubebuilder:validation:MaxLength=1000
	Image string `json:"image,omitempty"`

	// Resources of the server. It uses at most three quarters of the memory limit for data, and forgets what was used the
	// longest time ago when that is full.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
}

// WorkloadSpec is a part of an application that runs an image.
type WorkloadSpec struct {
	// Replicas is the number of pods.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Replicas *int32 `json:"replicas,omitempty"`

	// Image to run.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1000
	Image string `json:"image"`

	// Port that the image listens on.
	// +kubebuilder:default=8080
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// Env is added to the environment, over what the stack sets: DATABASE_* and CACHE_* of the backend, BACKEND_* of the
	// frontend.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	// +listType=map
	// +listMapKey=name
	Env []corev1.EnvVar `json:"env,omitempty"`

	// Resources of the container.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// Probes of the container. Without a readiness probe, a pod is ready when its port is open.
	// +optional
	Probes *appsv1.Probes `json:"probes,omitempty"`
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

// IngressSpec is how an application is reached from outside.
type IngressSpec struct {
	// Host that the frontend answers for.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="spec.ingress.host: must be a DNS name in lower case, such as shop.example.com"
	Host string `json:"host"`

	// ClassName of the ingress controller; the cluster's default if not set.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`

	// Annotations of the Ingress, such as the issuer that cert-manager is to ask.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// TLS says that the host is served over TLS.
	// +optional
	TLS *IngressTLS `json:"tls,omitempty"`
}

// IngressTLS is the certificate of a host.
type IngressTLS struct {
	// SecretName holds tls.crt and tls.key. The stack's name followed by -tls if not set.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`
}

// MonitoringSpec says whether Prometheus is told of an application.
type MonitoringSpec struct {
	// Enabled makes a PodMonitor for the backend's pods, where the API of the Prometheus operator is installed.
	// +kubebuilder:default=true
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// Path of the backend's metrics page.
	// +kubebuilder:default=/metrics
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="spec.monitoring.path: must begin with /, such as /metrics"
	Path string `json:"path,omitempty"`
}

// ComponentStatus is what is known of one component.
type ComponentStatus struct {
	// Name of the component: database, cache, config, backend, frontend, ingress or monitoring.
	Name string `json:"name"`

	// Kind and Resource name the object that the component consists of.
	// +optional
	Kind string `json:"kind,omitempty"`
	// Resource is that object's name.
	// +optional
	Resource string `json:"resource,omitempty"`

	// Ready says whether the component is ready and as it was asked for.
	Ready bool `json:"ready"`

	// State is one word: Ready, Waiting (for another component), Deploying, Degraded (it was ready before), Stalled,
	// Unavailable (what it needs is not installed; nothing waits for it) or Deleting.
	State string `json:"state"`

	// Message says what the component waits for, or what is wrong.
	// +optional
	Message string `json:"message,omitempty"`
}

// The states of a component.
const (
	StateReady       = "Ready"
	StateWaiting     = "Waiting"
	StateDeploying   = "Deploying"
	StateDegraded    = "Degraded"
	StateStalled     = "Stalled"
	StateUnavailable = "Unavailable"
	StateDeleting    = "Deleting"
)

// Endpoints are where an application and its parts answer.
type Endpoints struct {
	// URL of the frontend from outside, where there is an ingress.
	// +optional
	URL string `json:"url,omitempty"`
	// Frontend is the URL of the frontend inside the cluster.
	// +optional
	Frontend string `json:"frontend,omitempty"`
	// Backend is the URL of the backend inside the cluster.
	// +optional
	Backend string `json:"backend,omitempty"`
	// Database is the host and port of the database.
	// +optional
	Database string `json:"database,omitempty"`
	// Cache is the host and port of the cache.
	// +optional
	Cache string `json:"cache,omitempty"`
}
