package build

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// BackendObject is the stack's backend. Of the database it learns as every WebApp does, of the cache by CACHE_URL, _HOST,
// _PORT and _PASSWORD.
func BackendObject(in Input) *appsv1.WebApp {
	var env []corev1.EnvVar

	if HasCache(in.Stack) {
		for _, e := range [][2]string{{"CACHE_URL", "uri"}, {"CACHE_HOST", "host"}, {"CACHE_PORT", "port"}, {"CACHE_PASSWORD", cachePasswordKey}} {
			env = append(env, corev1.EnvVar{Name: e[0], ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: Name(in.Stack, Cache)}, Key: e[1],
			}}})
		}
	}

	webapp := workload(in, Backend, in.Stack.Spec.Backend, env)

	if in.Stack.Spec.Database != nil {
		webapp.Spec.Database = &appsv1.DatabaseConnection{Ref: appsv1.DatabaseReference{
			Kind: DatabaseKind(in.Stack), Name: Name(in.Stack, Database),
		}}
	}

	return webapp
}

// FrontendObject is the stack's frontend. Of the backend it learns by BACKEND_URL, _HOST and _PORT.
func FrontendObject(in Input) *appsv1.WebApp {
	var env []corev1.EnvVar

	if backend := in.Stack.Spec.Backend; backend != nil {
		env = []corev1.EnvVar{
			{Name: "BACKEND_URL", Value: URL(in.Stack, Backend)},
			{Name: "BACKEND_HOST", Value: Name(in.Stack, Backend)},
			{Name: "BACKEND_PORT", Value: fmt.Sprint(Port(backend))},
		}
	}

	return workload(in, Frontend, in.Stack.Spec.Frontend, env)
}

// URL of a workload within the Kubernetes cluster.
func URL(stack *v1.AppStack, component string) string {
	spec := stack.Spec.Backend
	if component == Frontend {
		spec = stack.Spec.Frontend
	}

	return fmt.Sprintf("http://%s.%s.svc:%d", Name(stack, component), stack.Namespace, Port(spec))
}

// Port of a workload; the CRD's default for objects that were made past it.
func Port(spec *v1.WorkloadSpec) int32 {
	if spec.Port == 0 {
		return defaultPort
	}

	return spec.Port
}

const defaultPort = 8080

func workload(in Input, component string, spec *v1.WorkloadSpec, env []corev1.EnvVar) *appsv1.WebApp {
	replicas := int32(1)
	if spec.Replicas != nil {
		replicas = *spec.Replicas
	}

	meta := Owner(in.Stack).Meta(Name(in.Stack, component))
	meta.Labels[naming.LabelComponent] = component

	webapp := &appsv1.WebApp{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.GroupVersion.String(), Kind: "WebApp"},
		ObjectMeta: meta,
		Spec: appsv1.WebAppSpec{
			Replicas:          replicas,
			Image:             spec.Image,
			Port:              Port(spec),
			Env:               over(env, spec.Env),
			Resources:         spec.Resources,
			Probes:            spec.Probes,
			InheritedMetadata: &appsv1.EmbeddedMetadata{Labels: Inherited(in.Stack, component), Annotations: annotations(in.Stack)},
		},
	}

	if len(in.Stack.Spec.Config) > 0 {
		webapp.Spec.ConfigRef = &appsv1.ConfigReference{Name: Name(in.Stack, Config)}
	}

	if isStrict(in.Stack) {
		webapp.Spec.SecurityContext = restricted()
		webapp.Spec.NetworkPolicy = networkPolicy(in.Stack, component)
	}

	return webapp
}

// networkPolicy lets the stack's own pods and Prometheus reach the backend, and everybody the frontend. Without a frontend,
// the backend is what others use.
func networkPolicy(stack *v1.AppStack, component string) *appsv1.NetworkPolicy {
	policy := &appsv1.NetworkPolicy{Enabled: new(true)}

	if component == Backend && stack.Spec.Frontend != nil {
		policy.From = []networkingv1.NetworkPolicyPeer{
			{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{naming.LabelStack: stack.Name}}},
			{
				NamespaceSelector: &metav1.LabelSelector{},
				PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "prometheus"}},
			},
		}
	}

	return policy
}

// over puts the user's variables over ours.
func over(ours, users []corev1.EnvVar) []corev1.EnvVar {
	var env []corev1.EnvVar

	for _, variable := range ours {
		if !slices.ContainsFunc(users, func(u corev1.EnvVar) bool { return u.Name == variable.Name }) {
			env = append(env, variable)
		}
	}

	return append(env, users...)
}
