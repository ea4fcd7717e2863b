package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const (
	// CachePort is the port of Redis' protocol.
	CachePort = 6379
	// cacheUser is the uid of the official images of Valkey and Redis, and of ours.
	cacheUser = 999
	// cacheConfig is the Secret's key with the server's configuration.
	cacheConfig = "valkey.conf"
	// cacheConfigDir is where the server reads it.
	cacheConfigDir = "/etc/caretaker-cache"
	// cacheDataShare of the memory limit is for data, in percent; the rest is for connections and fragmentation.
	cacheDataShare = 75
	// cachePasswordKey is the Secret's key with the password.
	cachePasswordKey = "password"
)

// CacheObjects are the cache: one server without a volume, since what it holds is made again from the database.
func CacheObjects(in Input) []owned.Object {
	return []owned.Object{CacheSecret(in), cacheService(in), cacheBudget(in), cacheStatefulSet(in)}
}

func cacheMeta(in Input) metav1.ObjectMeta {
	meta := Owner(in.Stack).Meta(Name(in.Stack, Cache))
	maps.Copy(meta.Labels, Inherited(in.Stack, Cache))

	return meta
}

func cacheSelector(stack *v1.AppStack) map[string]string {
	return map[string]string{naming.LabelStack: stack.Name, naming.LabelComponent: Cache}
}

// CacheHost is the cache's name in DNS.
func CacheHost(stack *v1.AppStack) string {
	return Name(stack, Cache) + "." + stack.Namespace + ".svc"
}

// CacheSecret holds how to connect, and the server's configuration, which has the password in it.
func CacheSecret(in Input) *corev1.Secret {
	host := CacheHost(in.Stack)

	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: cacheMeta(in),
		Type:       corev1.SecretTypeOpaque,
		Data: map[string][]byte{
			cachePasswordKey: []byte(in.CachePassword),
			"host":           []byte(host),
			"port":           fmt.Appendf(nil, "%d", CachePort),
			"uri":            fmt.Appendf(nil, "redis://:%s@%s:%d/0", url.QueryEscape(in.CachePassword), host, CachePort),
			cacheConfig:      []byte(cacheConfiguration(in)),
		},
	}
}

func cacheConfiguration(in Input) string {
	limit := cacheResources(in).Limits[corev1.ResourceMemory]
	memory := limit.Value() / 100 * cacheDataShare

	return strings.Join([]string{
		fmt.Sprintf("port %d", CachePort),
		"requirepass " + in.CachePassword,
		fmt.Sprintf("maxmemory %d", memory),
		"maxmemory-policy allkeys-lru",
		"dir /data",
		// Nothing is kept over a restart: what is old would be worse than what is missing.
		`save ""`,
		"appendonly no",
		"",
	}, "\n")
}

func cacheResources(in Input) corev1.ResourceRequirements {
	resources := *in.Stack.Spec.Cache.Resources.DeepCopy()

	if resources.Limits == nil {
		resources.Limits = corev1.ResourceList{}
	}

	if _, ok := resources.Limits[corev1.ResourceMemory]; !ok {
		resources.Limits[corev1.ResourceMemory] = resource.MustParse("256Mi")
	}

	if resources.Requests == nil {
		resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")}

		if limit := resources.Limits[corev1.ResourceMemory]; limit.Cmp(resources.Requests[corev1.ResourceMemory]) < 0 {
			resources.Requests[corev1.ResourceMemory] = limit
		}
	}

	return resources
}

func cacheService(in Input) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: cacheMeta(in),
		Spec: corev1.ServiceSpec{
			Selector: cacheSelector(in.Stack),
			Ports:    []corev1.ServicePort{{Name: "redis", Port: CachePort, TargetPort: intstr.FromString("redis"), Protocol: corev1.ProtocolTCP}},
		},
	}
}

// cacheBudget lets a node be drained: the one pod comes back elsewhere, empty.
func cacheBudget(in Input) *policyv1.PodDisruptionBudget {
	one := intstr.FromInt32(1)

	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: cacheMeta(in),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: &one,
			Selector:       &metav1.LabelSelector{MatchLabels: cacheSelector(in.Stack)},
		},
	}
}

// CacheImageOf is the image of the stack's cache.
func CacheImageOf(in Input) string {
	if image := in.Stack.Spec.Cache.Image; image != "" {
		return image
	}

	return in.CacheImage
}

// cacheProgram: an image of Redis has no program of Valkey's name.
func cacheProgram(image string) string {
	if name := image[strings.LastIndex(image, "/")+1:]; strings.HasPrefix(name, "redis") {
		return "redis-server"
	}

	return "valkey-server"
}

func cacheStatefulSet(in Input) *appsv1.StatefulSet {
	image := CacheImageOf(in)
	sum := sha256.Sum256([]byte(cacheConfiguration(in)))
	labels := cacheMeta(in).Labels
	annotated := map[string]string{naming.AnnotationConfigHash: hex.EncodeToString(sum[:8])}
	maps.Copy(annotated, annotations(in.Stack))

	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: cacheMeta(in),
		Spec: appsv1.StatefulSetSpec{
			ServiceName: Name(in.Stack, Cache),
			Replicas:    new(int32(1)),
			Selector:    &metav1.LabelSelector{MatchLabels: cacheSelector(in.Stack)},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotated},
				Spec: corev1.PodSpec{
					AutomountServiceAccountToken: new(false),
					// An empty cache is no loss that a long goodbye would avoid.
					TerminationGracePeriodSeconds: new(int64(5)),
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: new(true), RunAsUser: new(int64(cacheUser)), RunAsGroup: new(int64(cacheUser)), FSGroup: new(int64(cacheUser)),
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{cacheContainer(in, image)},
					Volumes: []corev1.Volume{
						{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
						{Name: "config", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
							SecretName: Name(in.Stack, Cache), Items: []corev1.KeyToPath{{Key: cacheConfig, Path: cacheConfig}},
						}}},
					},
				},
			},
		},
	}
}

func cacheContainer(in Input, image string) corev1.Container {
	return corev1.Container{
		Name:      Cache,
		Image:     image,
		Command:   []string{cacheProgram(image), cacheConfigDir + "/" + cacheConfig},
		Ports:     []corev1.ContainerPort{{Name: "redis", ContainerPort: CachePort, Protocol: corev1.ProtocolTCP}},
		Resources: cacheResources(in),
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("redis")}},
			PeriodSeconds: 2,
		},
		SecurityContext: restricted(),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "data", MountPath: "/data"}, {Name: "config", MountPath: cacheConfigDir, ReadOnly: true},
		},
	}
}

// restricted is what the Pod Security Standard of that name asks of a container.
func restricted() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsNonRoot:             new(true),
		AllowPrivilegeEscalation: new(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

// CachePasswordOf is the password in the cache's Secret; empty if there is none.
func CachePasswordOf(secret *corev1.Secret) string { return string(secret.Data[cachePasswordKey]) }
