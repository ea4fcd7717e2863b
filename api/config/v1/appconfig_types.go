package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AppConfig is the configuration of an application in an environment. It becomes the ConfigMap <application>-config, and
// a Secret of the same name for values that are secret; a change restarts the workloads that use them, each once.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=ac,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Application",type=string,JSONPath=`.spec.application`
// +kubebuilder:printcolumn:name="Environment",type=string,JSONPath=`.spec.environment`
// +kubebuilder:printcolumn:name="Version",type=integer,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="metadata.name: must be at most 63 characters long, since it is a label's value"
type AppConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	Spec AppConfigSpec `json:"spec"`
	// Status is the state last seen.
	// +optional
	Status AppConfigStatus `json:"status,omitempty"`
}

// AppConfigList is a list of AppConfigs.
//
// +kubebuilder:object:root=true
type AppConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AppConfig `json:"items"`
}

// Environment that an application runs in.
type Environment string

// The environments.
const (
	EnvironmentDev     Environment = "dev"
	EnvironmentStaging Environment = "staging"
	EnvironmentProd    Environment = "prod"
)

// AppConfigSpec is what a user wants of an AppConfig.
//
// +kubebuilder:validation:XValidation:rule="!has(self.config) || !has(self.templates) || self.config.all(k, !(k in self.templates))",message="spec.templates: a key must not be in spec.config, too; rename one"
// +kubebuilder:validation:XValidation:rule="self.application == oldSelf.application",message="spec.application: cannot be changed, since workloads use the ConfigMap by this name; make a new AppConfig"
type AppConfigSpec struct {
	// Application names the ConfigMap: <application>-config.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=56
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Application string `json:"application"`

	// Environment that the application runs in.
	// +optional
	// +kubebuilder:default=dev
	// +kubebuilder:validation:Enum=dev;staging;prod
	Environment Environment `json:"environment,omitempty"`

	// Config are the values. Each is a template over .Environment, .Application, .Namespace, .Config and .Secrets; .Config
	// are the other values, rendered. A key is made of letters, digits, '-', '_' and '.'.
	// +optional
	// +kubebuilder:validation:MaxProperties=500
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[-._a-zA-Z0-9]{1,253}$'))",message="spec.config: a key holds 1 to 253 letters, digits, '-', '_' and '.'"
	Config map[string]ConfigValue `json:"config,omitempty"`

	// Templates are whole files, such as nginx.conf: templates over the same as Config, each a key of the ConfigMap.
	// +optional
	// +kubebuilder:validation:MaxProperties=50
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[-._a-zA-Z0-9]{1,253}$'))",message="spec.templates: a key holds 1 to 253 letters, digits, '-', '_' and '.'"
	Templates map[string]FileTemplate `json:"templates,omitempty"`

	// Environments override values, each in its environment.
	// +optional
	Environments *Environments `json:"environments,omitempty"`

	// SecretRefs are values of Secrets that templates see as .Secrets.<name>. What is made with one of them is secret, and
	// goes to the Secret <application>-config in place of the ConfigMap.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +listType=map
	// +listMapKey=name
	SecretRefs []SecretReference `json:"secretRefs,omitempty"`

	// HistoryLimit is how many earlier versions are kept to roll back to.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=50
	HistoryLimit *int32 `json:"historyLimit,omitempty"`

	// RollbackTo keeps an earlier version in use, whatever the rest of the spec says, until it is removed. status.history
	// has the versions.
	// +optional
	// +kubebuilder:validation:Minimum=1
	RollbackTo *int64 `json:"rollbackTo,omitempty"`

	// Rollout says whether a change restarts the workloads that use the configuration.
	// +optional
	// +kubebuilder:default=Automatic
	// +kubebuilder:validation:Enum=Automatic;Disabled
	Rollout RolloutPolicy `json:"rollout,omitempty"`
}

// RolloutPolicy says whether a change restarts users.
type RolloutPolicy string

// The rollout policies.
const (
	RolloutAutomatic RolloutPolicy = "Automatic"
	RolloutDisabled  RolloutPolicy = "Disabled"
)

// ConfigValue is one value, a template.
//
// +kubebuilder:validation:MaxLength=65536
type ConfigValue string

// FileTemplate is one file, a template.
//
// +kubebuilder:validation:MaxLength=262144
type FileTemplate string

// Environments override values, each in its environment.
type Environments struct {
	// Dev are the values in the environment dev.
	// +optional
	Dev *EnvironmentOverride `json:"dev,omitempty"`
	// Staging are the values in the environment staging.
	// +optional
	Staging *EnvironmentOverride `json:"staging,omitempty"`
	// Prod are the values in the environment prod.
	// +optional
	Prod *EnvironmentOverride `json:"prod,omitempty"`
}

// EnvironmentOverride is what differs in one environment.
type EnvironmentOverride struct {
	// Config are values that are added to spec.config, or take the place of those there.
	// +optional
	// +kubebuilder:validation:MaxProperties=500
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[-._a-zA-Z0-9]{1,253}$'))",message="spec.environments: a key holds 1 to 253 letters, digits, '-', '_' and '.'"
	Config map[string]ConfigValue `json:"config,omitempty"`
}

// SecretReference is one key of a Secret in the AppConfig's namespace.
type SecretReference struct {
	// Name that templates know the value by.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	Name string `json:"name"`
	// SecretName is the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName"`
	// Key in the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// ConfigVersion is one version of the configuration.
type ConfigVersion struct {
	// Version counts from 1.
	Version int64 `json:"version"`
	// Time when it was made.
	Time metav1.Time `json:"time"`
}

// WorkloadReference is a workload that uses the configuration.
type WorkloadReference struct {
	// Kind of the workload.
	Kind string `json:"kind"`
	// Name of the workload.
	Name string `json:"name"`
}

// AppConfigStatus is the state of an AppConfig.
type AppConfigStatus struct {
	// ObservedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Version that is in use.
	// +optional
	Version int64 `json:"version,omitempty"`

	// RolledOutRevision names the version that every user of the configuration was last told of: the annotation
	// caretaker.dev/config-<application> of pods that were restarted for it.
	// +optional
	RolledOutRevision string `json:"rolledOutRevision,omitempty"`

	// ConfigMapName is the ConfigMap with the values.
	// +optional
	ConfigMapName string `json:"configMapName,omitempty"`

	// SecretName is the Secret with the values that are secret; empty if none is.
	// +optional
	SecretName string `json:"secretName,omitempty"`

	// History are the versions that are kept, the latest first.
	// +optional
	// +listType=map
	// +listMapKey=version
	History []ConfigVersion `json:"history,omitempty"`

	// Workloads used the configuration when it last changed, and were restarted then.
	// +optional
	// +listType=atomic
	Workloads []WorkloadReference `json:"workloads,omitempty"`

	// Conditions: Ready, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
