package v1

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WebApp is a web application: pods that serve HTTP on one port, and what belongs around them.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=wa,categories=caretaker
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:selectablefield:JSONPath=`.spec.image`
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Image",type=string,priority=1,JSONPath=`.spec.image`
// +kubebuilder:printcolumn:name="URL",type=string,priority=1,JSONPath=`.status.url`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",message="metadata.name: must start with a letter and hold at most 63 lowercase letters, digits and '-', since the Service has the same name"
type WebApp struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	Spec WebAppSpec `json:"spec"`
	// Status is the state last seen.
	// +optional
	Status WebAppStatus `json:"status,omitempty"`
}

// WebAppList is a list of WebApps.
//
// +kubebuilder:object:root=true
type WebAppList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []WebApp `json:"items"`
}

// WebAppSpec is what a user wants of a WebApp.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ingress) || !has(self.route)",message="spec: ingress and route exclude each other; keep route where the Gateway API is installed, ingress elsewhere"
// +kubebuilder:validation:XValidation:rule="!has(self.autoscaling) || has(self.autoscaling.metrics) || (has(self.resources) && ((has(self.resources.requests) && 'cpu' in self.resources.requests) || (has(self.resources.limits) && 'cpu' in self.resources.limits)))",message="spec.resources.requests.cpu: is required for spec.autoscaling, since its target is a share of the request; set it, or name other metrics"
type WebAppSpec struct {
	// Replicas is the number of pods; with autoscaling, the number to begin with is the autoscaler's minimum.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Replicas int32 `json:"replicas"`

	// Image of the application.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1000
	// +kubebuilder:validation:XValidation:rule="!self.matches('[ \\t\\n]')",message="spec.image: must not hold blanks"
	Image string `json:"image"`

	// ImagePullPolicy of the application's container.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// ImagePullSecrets for the pods.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	ImagePullSecrets []LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// Port that the application listens on, and the Service's port.
	// +optional
	// +kubebuilder:default=8080
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// Command replaces the image's entry point.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	Command []string `json:"command,omitempty"`

	// Args replace the image's arguments.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	Args []string `json:"args,omitempty"`

	// Env of the application's container. It wins over the configuration and the database's connection.
	// +optional
	// +kubebuilder:validation:MaxItems=200
	// +listType=map
	// +listMapKey=name
	Env []corev1.EnvVar `json:"env,omitempty"`

	// EnvFrom takes whole ConfigMaps and Secrets into the environment.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// ConfigRef names an AppConfig whose values become the environment. A change of it restarts the pods one by one.
	// +optional
	ConfigRef *ConfigReference `json:"configRef,omitempty"`

	// Database names a database whose connection is given to the application, as environment and as files. The pods are not
	// made before its credentials are there.
	// +optional
	Database *DatabaseConnection `json:"database,omitempty"`

	// Resources of the application's container.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// SecurityContext of the application's container.
	// +optional
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`

	// Probes of the application's container. Without a readiness probe, a pod is ready when its port is open.
	// +optional
	Probes *Probes `json:"probes,omitempty"`

	// Autoscaling lets the number of pods follow the load; spec.replicas is not looked at then.
	// +optional
	Autoscaling *Autoscaling `json:"autoscaling,omitempty"`

	// Route makes an HTTPRoute of the Gateway API.
	// +optional
	Route *Route `json:"route,omitempty"`

	// Ingress makes an Ingress, where there is no Gateway API.
	// +optional
	Ingress *Ingress `json:"ingress,omitempty"`

	// NetworkPolicy lets nothing but spec.port in.
	// +optional
	NetworkPolicy *NetworkPolicy `json:"networkPolicy,omitempty"`

	// ServiceAccountName of the pods; the namespace's default if empty. Without one, no token of the API is mounted.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// InheritedMetadata is copied to every object that belongs to this WebApp, pods included.
	// +optional
	InheritedMetadata *EmbeddedMetadata `json:"inheritedMetadata,omitempty"`
}

// LocalObjectReference names an object in the WebApp's namespace.
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

// ConfigReference names an AppConfig in the WebApp's namespace.
type ConfigReference struct {
	// Name of the AppConfig.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// MountPath is a directory where the values and templates are there as files, too; none if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=500
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') && self.size() > 1",message="spec.configRef.mountPath: must be an absolute path of a directory, not '/'"
	MountPath string `json:"mountPath,omitempty"`
}

// DatabaseConnection says which database, and how the application learns of it.
type DatabaseConnection struct {
	// Ref names the database.
	Ref DatabaseReference `json:"ref"`

	// EnvPrefix begins the names of the environment: <prefix>_URL, _HOST, _PORT, _NAME, _USER, _PASSWORD.
	// +optional
	// +kubebuilder:default=DATABASE
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	EnvPrefix string `json:"envPrefix,omitempty"`

	// MountPath is the directory of the files, one for each key of the connection Secret.
	// +optional
	// +kubebuilder:default=/var/run/secrets/caretaker.dev/database
	// +kubebuilder:validation:MaxLength=500
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') && self.size() > 1",message="spec.database.mountPath: must be an absolute path of a directory, not '/'"
	MountPath string `json:"mountPath,omitempty"`
}

// DatabaseReference names a database in the WebApp's namespace.
type DatabaseReference struct {
	// Kind of the database.
	// +optional
	// +kubebuilder:default=Cluster
	// +kubebuilder:validation:Enum=Cluster;PostgreSQL;MySQL;Database
	Kind string `json:"kind,omitempty"`

	// Name of the database.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Probes of a container, as Kubernetes has them.
type Probes struct {
	// Liveness restarts the container when it fails.
	// +optional
	Liveness *corev1.Probe `json:"liveness,omitempty"`
	// Readiness takes the pod out of the Service while it fails.
	// +optional
	Readiness *corev1.Probe `json:"readiness,omitempty"`
	// Startup holds the other probes back until it passes.
	// +optional
	Startup *corev1.Probe `json:"startup,omitempty"`
}

// Autoscaling of the pods.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",message="spec.autoscaling.minReplicas: must not be above maxReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.targetCPU) || !has(self.metrics)",message="spec.autoscaling: targetCPU and metrics exclude each other; keep one"
type Autoscaling struct {
	// MinReplicas is the fewest pods.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MinReplicas *int32 `json:"minReplicas,omitempty"`

	// MaxReplicas is the most pods.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxReplicas int32 `json:"maxReplicas"`

	// TargetCPU is the use of CPU to aim at, in percent of the request; 80 if neither it nor metrics are set.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	TargetCPU *int32 `json:"targetCPU,omitempty"`

	// Metrics of the HorizontalPodAutoscaler, in place of targetCPU.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	Metrics []autoscalingv2.MetricSpec `json:"metrics,omitempty"`
}

// Route is how requests reach the WebApp by the Gateway API.
type Route struct {
	// Host of the requests; every host of the gateway if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Host string `json:"host,omitempty"`

	// Path that the requests begin with.
	// +optional
	// +kubebuilder:default=/
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path,omitempty"`

	// Gateway that the requests come in by.
	Gateway GatewayReference `json:"gateway"`
}

// GatewayReference names a Gateway.
type GatewayReference struct {
	// Name of the Gateway.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Namespace of the Gateway; the WebApp's if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// SectionName is the Gateway's listener; all if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SectionName string `json:"sectionName,omitempty"`
}

// Ingress is how requests reach the WebApp by an ingress controller.
type Ingress struct {
	// Host of the requests.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Host string `json:"host"`

	// Path that the requests begin with.
	// +optional
	// +kubebuilder:default=/
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path,omitempty"`

	// ClassName names the ingress controller; the cluster's default if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`

	// TLSSecretName holds the certificate for the host; plain HTTP if empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	TLSSecretName string `json:"tlsSecretName,omitempty"`

	// Annotations for the ingress controller.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// NetworkPolicy of the pods.
type NetworkPolicy struct {
	// Enabled makes the NetworkPolicy.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// From are the sources that may reach spec.port; anybody if empty.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	// +listType=atomic
	From []networkingv1.NetworkPolicyPeer `json:"from,omitempty"`
}

// Phase is the state of a WebApp in one word, for people. It follows from the conditions and drives nothing.
type Phase string

// The phases.
const (
	// PhasePending: the pods are not asked for yet.
	PhasePending Phase = "Pending"
	// PhaseDeploying: pods start or are replaced.
	PhaseDeploying Phase = "Deploying"
	// PhaseRunning: all wanted pods of the current version serve.
	PhaseRunning Phase = "Running"
	// PhaseFailed: nothing goes on until the user acts.
	PhaseFailed Phase = "Failed"
)

// WebAppStatus is the state of a WebApp.
type WebAppStatus struct {
	// ObservedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase is the state in one word: Pending, Deploying, Running or Failed.
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// Replicas is the number of pods.
	// +optional
	Replicas int32 `json:"replicas"`

	// ReadyReplicas is the number of pods that serve.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`

	// UpdatedReplicas is the number of pods of the current version.
	// +optional
	UpdatedReplicas int32 `json:"updatedReplicas"`

	// URL is where the WebApp is reached: from outside where it has a route or an ingress, from inside the cluster otherwise.
	// +optional
	URL string `json:"url,omitempty"`

	// Selector selects the pods; for the scale subresource.
	// +optional
	Selector string `json:"selector,omitempty"`

	// FirstReadyTime is when the WebApp was ready for the first time.
	// +optional
	FirstReadyTime *metav1.Time `json:"firstReadyTime,omitempty"`

	// Conditions: Ready, Reconciling, Stalled, and one for each dependency.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
