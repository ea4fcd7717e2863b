package build

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Container is the name of the application's container.
const Container = "webapp"

const (
	// revisionHistoryLimit is how many ReplicaSets are kept for kubectl rollout undo.
	revisionHistoryLimit = 5
	// drainSeconds a pod goes on after it was told to stop: proxies on other nodes need a moment to hear of it.
	drainSeconds = 3
)

// Deployment runs the pods. With autoscaling the number of replicas is the autoscaler's, and left unset. No pod is taken
// away before its successor serves.
func Deployment(in Input) *appsv1.Deployment {
	webapp := in.WebApp
	none, surge := intstr.FromInt32(0), intstr.FromString("25%")

	deployment := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: Owner(webapp).Meta(webapp.Name),
		Spec: appsv1.DeploymentSpec{
			RevisionHistoryLimit: new(int32(revisionHistoryLimit)),
			Selector:             &metav1.LabelSelector{MatchLabels: SelectorLabels(webapp)},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &none, MaxSurge: &surge},
			},
			Template: podTemplate(in),
		},
	}

	deployment.Labels["app"] = webapp.Name

	if webapp.Spec.Autoscaling == nil {
		deployment.Spec.Replicas = new(webapp.Spec.Replicas)
	}

	return deployment
}

func podTemplate(in Input) corev1.PodTemplateSpec {
	spec := in.WebApp.Spec
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: podLabels(in.WebApp), Annotations: map[string]string{}},
		Spec: corev1.PodSpec{
			Containers:         []corev1.Container{container(in)},
			Volumes:            volumes(in),
			ServiceAccountName: spec.ServiceAccountName,
			SecurityContext:    &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
				MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
				LabelSelector: &metav1.LabelSelector{MatchLabels: SelectorLabels(in.WebApp)},
			}},
		},
	}

	maps.Copy(template.Annotations, Owner(in.WebApp).Annotations)

	if in.Database != nil {
		template.Annotations[naming.AnnotationDatabaseHash] = in.Database.Hash
	}

	if spec.ServiceAccountName == "" {
		// The application has no account of its own, so it does not talk to the API.
		template.Spec.AutomountServiceAccountToken = new(false)
	}

	for _, secret := range spec.ImagePullSecrets {
		template.Spec.ImagePullSecrets = append(template.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secret.Name})
	}

	return template
}

func container(in Input) corev1.Container {
	spec := in.WebApp.Spec
	c := corev1.Container{
		Name:            Container,
		Image:           spec.Image,
		ImagePullPolicy: spec.ImagePullPolicy,
		Command:         spec.Command,
		Args:            spec.Args,
		Ports:           []corev1.ContainerPort{{Name: portName, ContainerPort: spec.Port, Protocol: corev1.ProtocolTCP}},
		Env:             env(in),
		EnvFrom:         envFrom(in),
		Resources:       spec.Resources,
		SecurityContext: spec.SecurityContext,
		VolumeMounts:    mounts(in),
		Lifecycle:       &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: drainSeconds}}},
	}

	if probes := spec.Probes; probes != nil {
		c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = probes.Liveness, probes.Readiness, probes.Startup
	}

	if c.ReadinessProbe == nil {
		c.ReadinessProbe = &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString(portName)}},
			PeriodSeconds: 2,
		}
	}

	return c
}
