package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
)

// Environment that an application is for.
//
// +kubebuilder:validation:Enum=development;staging;production
type Environment string

// The environments.
const (
	Development Environment = "development"
	Staging     Environment = "staging"
	Production  Environment = "production"
)

// EcommercePlatform is a shop: frontend, backend, database and cache, made as its environment asks for.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=shop,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Environment",type=string,JSONPath=`.spec.environment`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Components",type=string,JSONPath=`.status.ready`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="URL",type=string,priority=1,JSONPath=`.status.endpoints.url`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 40",message="metadata.name: must be at most 40 characters long, since names of the parts' pods and services are made from it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must start with a letter and hold only lowercase letters, digits and '-', since services are named after it"
type EcommercePlatform struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	// +kubebuilder:default={}
	// +optional
	Spec EcommercePlatformSpec `json:"spec,omitempty"`
	// Status is the state last seen.
	// +optional
	Status EcommercePlatformStatus `json:"status,omitempty"`
}

// EcommercePlatformList is a list of EcommercePlatforms.
//
// +kubebuilder:object:root=true
type EcommercePlatformList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []EcommercePlatform `json:"items"`
}

// EcommercePlatformSpec is what a user wants of a shop. What is not set follows the environment.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ingress) || (has(self.frontend) && has(self.frontend.image) && self.frontend.image.size() > 0)",message="spec.ingress: leads to the frontend; set spec.frontend.image, or leave ingress out"
type EcommercePlatformSpec struct {
	// Environment that the shop is for: it sets the database's instances, storage and backups, and how strict the security
	// settings are.
	// +kubebuilder:default=development
	// +optional
	Environment Environment `json:"environment,omitempty"`

	// Frontend of the shop.
	// +optional
	Frontend *ShopWorkloadSpec `json:"frontend,omitempty"`

	// Backend of the shop.
	// +optional
	Backend *ShopWorkloadSpec `json:"backend,omitempty"`

	// Database of the shop. The shop always has one.
	// +kubebuilder:default={}
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.type) || (has(self.type) && self.type == oldSelf.type)",message="spec.database.type: cannot change, since the data would stay behind; create a new platform and move the data"
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.storage) || !has(self.storage) || !isQuantity(self.storage) || !isQuantity(oldSelf.storage) || quantity(self.storage).compareTo(quantity(oldSelf.storage)) >= 0",message="spec.database.storage: a volume can grow but not shrink; set it back, or move the data into a new platform"
	Database DatabaseSpec `json:"database,omitempty"`

	// Cache of the shop, on unless switched off.
	// +kubebuilder:default={}
	// +optional
	Cache CacheSpec `json:"cache,omitempty"`

	// Monitoring of the shop, on unless switched off.
	// +kubebuilder:default={}
	// +optional
	Monitoring MonitoringSpec `json:"monitoring,omitempty"`

	// Config is put into the environment of backend and frontend; values may be templates.
	// +optional
	// +kubebuilder:validation:MaxProperties=256
	Config map[string]string `json:"config,omitempty"`

	// Ingress leads from outside to the frontend.
	// +optional
	Ingress *IngressSpec `json:"ingress,omitempty"`
}

// ShopWorkloadSpec is the frontend or the backend of a shop. Without an image it is not made.
type ShopWorkloadSpec struct {
	// Replicas is the number of pods.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Replicas *int32 `json:"replicas,omitempty"`

	// Image to run.
	// +optional
	// +kubebuilder:validation:MaxLength=1000
	Image string `json:"image,omitempty"`

	// Port that the image listens on.
	// +kubebuilder:default=8080
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// Env is added to the environment.
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

// EcommercePlatformStatus is the state last seen.
type EcommercePlatformStatus struct {
	// ObservedGeneration is the spec's generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase is one word for people who watch, derived from the conditions: Pending, Deploying, Running, Degraded, Failed or
	// Deleting.
	// +optional
	Phase string `json:"phase,omitempty"`

	// Ready counts the components that are ready, such as 3/4.
	// +optional
	Ready string `json:"ready,omitempty"`

	// Components in the order in which they need each other.
	// +optional
	// +listType=map
	// +listMapKey=name
	Components []ComponentStatus `json:"components,omitempty"`

	// Endpoints are where the shop and its parts answer.
	// +optional
	Endpoints Endpoints `json:"endpoints,omitempty"`

	// Conditions: Ready, Reconciling, Stalled, MonitoringAvailable, BackupScheduled and BackupVerified.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
