package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AppStack is an application of several parts: database, cache, backend and frontend. Each part is made once those that it
// needs are ready.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=stack,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Components",type=string,JSONPath=`.status.ready`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="URL",type=string,priority=1,JSONPath=`.status.endpoints.url`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 40",message="metadata.name: must be at most 40 characters long, since names of the parts' pods and services are made from it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must start with a letter and hold only lowercase letters, digits and '-', since services are named after it"
type AppStack struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	Spec AppStackSpec `json:"spec"`
	// Status is the state last seen.
	// +optional
	Status AppStackStatus `json:"status,omitempty"`
}

// AppStackList is a list of AppStacks.
//
// +kubebuilder:object:root=true
type AppStackList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AppStack `json:"items"`
}

// AppStackSpec is what a user wants of an AppStack. A part that is left out is not made.
//
// +kubebuilder:validation:XValidation:rule="has(self.database) || has(self.cache) || has(self.backend) || has(self.frontend)",message="spec: names no part; set at least one of database, cache, backend and frontend"
// +kubebuilder:validation:XValidation:rule="!has(self.ingress) || has(self.frontend)",message="spec.ingress: leads to the frontend; set spec.frontend, or leave ingress out"
type AppStackSpec struct {
	// Environment that the stack is for. Its security settings follow it, and templates in config see it.
	// +optional
	Environment Environment `json:"environment,omitempty"`

	// Database of the stack, an own server named after the stack, followed by -db.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.type) || (has(self.type) && self.type == oldSelf.type)",message="spec.database.type: cannot change, since the data would stay behind; create a new stack and move the data"
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.storage) || !has(self.storage) || !isQuantity(self.storage) || !isQuantity(oldSelf.storage) || quantity(self.storage).compareTo(quantity(oldSelf.storage)) >= 0",message="spec.database.storage: a volume can grow but not shrink; set it back, or move the data into a new stack"
	Database *DatabaseSpec `json:"database,omitempty"`

	// Cache of the stack, an own server named after the stack, followed by -cache.
	// +optional
	Cache *CacheSpec `json:"cache,omitempty"`

	// Backend of the stack, a WebApp named after the stack, followed by -backend. It is made once database and cache are
	// ready, and gets their addresses and credentials in its environment.
	// +optional
	Backend *WorkloadSpec `json:"backend,omitempty"`

	// Frontend of the stack, a WebApp named after the stack, followed by -frontend. It is made once the backend is ready,
	// and gets its address in its environment.
	// +optional
	Frontend *WorkloadSpec `json:"frontend,omitempty"`

	// Config is put into the environment of backend and frontend, by way of an AppConfig: values may be templates.
	// +optional
	// +kubebuilder:validation:MaxProperties=256
	Config map[string]string `json:"config,omitempty"`

	// Ingress leads from outside to the frontend. It is made last.
	// +optional
	Ingress *IngressSpec `json:"ingress,omitempty"`

	// Monitoring of the stack.
	// +optional
	Monitoring *MonitoringSpec `json:"monitoring,omitempty"`

	// InheritedMetadata is copied to every object that belongs to this stack, pods included.
	// +optional
	InheritedMetadata *EmbeddedMetadata `json:"inheritedMetadata,omitempty"`
}

// AppStackStatus is the state last seen.
type AppStackStatus struct {
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

	// Endpoints are where the parts answer.
	// +optional
	Endpoints Endpoints `json:"endpoints,omitempty"`

	// Conditions: Ready, Reconciling, Stalled, MonitoringAvailable, BackupScheduled and BackupVerified.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
