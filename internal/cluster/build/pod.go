package build

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/podspec"
)

// Names of the containers of a pod.
const (
	ContainerPostgres = "postgres"
	ContainerInstall  = "install"
)

// stopMargin, in seconds, is what a pod gets beyond the orderly stop, for the immediate one and for leaving.
const stopMargin = 30

// Well-known user IDs of PostgreSQL images; ours and the official Debian ones have 999.
const (
	uidDefault      = 999
	uidAlpine       = 70
	uidCloudNativPG = 26
)

// Pod of one instance. It is made once and never changed; what makes it outdated is in PodSpecHash.
func Pod(in Input, instance string) *corev1.Pod {
	spec := in.Cluster.Spec
	m := metadata(in.Cluster, instance, naming.InstanceLabels(in.Cluster.Name, instance))
	m.OwnerReferences = []metav1.OwnerReference{ownerReference(in.Cluster)}
	m.Annotations[naming.AnnotationPodSpecHash] = PodSpecHash(in)
	m.Annotations["kubectl.kubernetes.io/default-container"] = ContainerPostgres

	if nonce := in.Cluster.Annotations[naming.AnnotationRestart]; nonce != "" {
		m.Annotations[naming.AnnotationRestart] = nonce
	}

	mountToken, links, grace := true, false, GracePeriod(in.Cluster)

	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: m,
		Spec: corev1.PodSpec{
			Hostname:                      instance,
			Subdomain:                     naming.ServiceMembers(in.Cluster.Name),
			ServiceAccountName:            ServiceAccountName(in),
			AutomountServiceAccountToken:  &mountToken,
			EnableServiceLinks:            &links,
			TerminationGracePeriodSeconds: &grace,
			RestartPolicy:                 corev1.RestartPolicyAlways,
			ImagePullSecrets:              pullSecrets(spec.ImagePullSecrets),
			PriorityClassName:             spec.PriorityClassName,
			SchedulerName:                 spec.SchedulerName,
			NodeSelector:                  spec.Affinity.NodeSelector,
			Tolerations:                   spec.Affinity.Tolerations,
			Affinity:                      affinity(in.Cluster),
			TopologySpreadConstraints:     spec.TopologySpreadConstraints,
			SecurityContext:               podSecurity(in),
			InitContainers:                []corev1.Container{installContainer(in)},
			Containers:                    []corev1.Container{postgresContainer(in, instance)},
			Volumes:                       volumes(in, instance),
		},
	}
}

// GracePeriod is how long, in seconds, a pod of the Cluster may take to stop.
func GracePeriod(cluster *v1.Cluster) int64 { return int64(StopDelay(cluster)) + stopMargin }

// installContainer brings PID 1's binary into the pod, with passwd and group entries for whatever user the pod runs as.
// It has the resources of the container that runs after it: a pod is scheduled for the larger of the two, so that they
// cost nothing, fit any quota, and leave the pod's class of service as the user chose it.
func installContainer(in Input) corev1.Container {
	resources := in.Cluster.Spec.Resources

	return corev1.Container{
		Name:            ContainerInstall,
		Image:           in.Operator.Image,
		ImagePullPolicy: corev1.PullPolicy(in.Operator.PullPolicy),
		Command:         []string{"/caretaker-instance", "install", "--to", instanceapi.BinDir},
		Resources:       corev1.ResourceRequirements{Limits: resources.Limits, Requests: resources.Requests},
		SecurityContext: podspec.ContainerSecurity(),
		VolumeMounts:    []corev1.VolumeMount{{Name: volumeBin, MountPath: instanceapi.BinDir}},
	}
}

func postgresContainer(in Input, instance string) corev1.Container {
	spec := in.Cluster.Spec

	return corev1.Container{
		Name:            ContainerPostgres,
		Image:           in.Image,
		ImagePullPolicy: spec.ImagePullPolicy,
		Command:         []string{instanceapi.Binary, "instance"},
		Env:             environment(in, instance),
		EnvFrom:         spec.EnvFrom,
		Resources:       spec.Resources,
		SecurityContext: podspec.ContainerSecurity(),
		VolumeMounts:    mounts(in, instance),
		Ports: []corev1.ContainerPort{
			{Name: portNamePostgreSQL, ContainerPort: naming.PortPostgreSQL, Protocol: corev1.ProtocolTCP},
			{Name: portNameStatus, ContainerPort: naming.PortStatus, Protocol: corev1.ProtocolTCP},
			{Name: portNameMetrics, ContainerPort: naming.PortMetrics, Protocol: corev1.ProtocolTCP},
		},
		StartupProbe:   probe(instanceapi.PathStartupz, 1, 120),
		LivenessProbe:  liveness(),
		ReadinessProbe: probe(instanceapi.PathReadyz, 1, 3),
	}
}

func environment(in Input, instance string) []corev1.EnvVar {
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
		}}
	}

	ours := []corev1.EnvVar{
		{Name: instanceapi.EnvCluster, Value: in.Cluster.Name},
		field(instanceapi.EnvPodName, "metadata.name"),
		field(instanceapi.EnvNamespace, "metadata.namespace"),
		field(instanceapi.EnvPodUID, "metadata.uid"),
		field(instanceapi.EnvPodIP, "status.podIP"),
		field(instanceapi.EnvNodeName, "spec.nodeName"),
	}

	// No reason for a restart (see podInputs): it stays what it was when the volume was made.
	if mark := in.Snapshots[instance]; mark != "" {
		ours = append(ours, corev1.EnvVar{Name: instanceapi.EnvSnapshot, Value: mark})
	}

	return append(ours, in.Cluster.Spec.Env...)
}

// stuckGrace is how long, in seconds, a PID 1 may take to stop that fails its liveness probe: it hangs, and will not stop
// PostgreSQL in order, whatever time it gets.
const stuckGrace = 5

func liveness() *corev1.Probe {
	grace := int64(stuckGrace)
	asked := probe(instanceapi.PathHealthz, 10, 6)
	asked.TerminationGracePeriodSeconds = &grace

	return asked
}

// probe asks PID 1. Readiness is asked every second: it is what the services wait for after a start.
func probe(path string, periodSeconds, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstrPort(portNameStatus), Scheme: corev1.URISchemeHTTPS,
		}},
		PeriodSeconds:    periodSeconds,
		TimeoutSeconds:   5,
		FailureThreshold: failures,
	}
}

func podSecurity(in Input) *corev1.PodSecurityContext {
	uid, gid := userID(in), groupID(in)
	nonRoot := true
	onRootMismatch := corev1.FSGroupChangeOnRootMismatch

	return &corev1.PodSecurityContext{
		RunAsNonRoot: &nonRoot,
		RunAsUser:    &uid,
		RunAsGroup:   &gid,
		FSGroup:      &gid,
		// Walking over a large data directory at each start would take minutes.
		FSGroupChangePolicy: &onRootMismatch,
		SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// userID is the user that the image's files belong to. We mount passwd and group entries for any, so a wrong guess
// still works as long as the programs can be run by everybody, which holds for all images that we know.
func userID(in Input) int64 {
	if uid := in.Cluster.Spec.PostgresUID; uid != nil {
		return *uid
	}

	switch {
	case strings.Contains(in.Image, "cloudnative-pg"):
		return uidCloudNativPG
	case strings.Contains(in.Image, "alpine"):
		return uidAlpine
	default:
		return uidDefault
	}
}

func groupID(in Input) int64 {
	if gid := in.Cluster.Spec.PostgresGID; gid != nil {
		return *gid
	}

	return userID(in)
}

func pullSecrets(references []v1.LocalObjectReference) []corev1.LocalObjectReference {
	var secrets []corev1.LocalObjectReference
	for _, reference := range references {
		secrets = append(secrets, corev1.LocalObjectReference{Name: reference.Name})
	}

	return secrets
}
