package decide

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/caretaker-dev/caretaker/internal/cluster/build"
)

// replacement is the live object with all that we want in it: what others added to our lists is gone, what Kubernetes
// allocated stays. It is nil for kinds that need none.
func replacement(wanted, live build.Object) build.Object {
	switch w := wanted.(type) {
	case *corev1.Service:
		return replaced(live, w, func(l *corev1.Service) { replaceService(&l.Spec, w.Spec) })
	case *corev1.ConfigMap:
		return replaced(live, w, func(l *corev1.ConfigMap) { l.Data, l.BinaryData = w.Data, nil })
	case *corev1.Secret:
		return replaced(live, w, func(l *corev1.Secret) { l.Data = w.Data })
	case *rbacv1.Role:
		return replaced(live, w, func(l *rbacv1.Role) { l.Rules = w.Rules })
	case *rbacv1.RoleBinding:
		return replaced(live, w, func(l *rbacv1.RoleBinding) { l.Subjects = w.Subjects })
	case *policyv1.PodDisruptionBudget:
		return replaced(live, w, func(l *policyv1.PodDisruptionBudget) { l.Spec = w.Spec })
	default:
		return nil
	}
}

func replaced[T build.Object](live build.Object, wanted T, change func(T)) build.Object {
	copied, ok := live.DeepCopyObject().(T)
	if !ok {
		return nil
	}

	labels, annotations := maps.Clone(copied.GetLabels()), maps.Clone(copied.GetAnnotations())
	if labels == nil {
		labels = map[string]string{}
	}

	if annotations == nil {
		annotations = map[string]string{}
	}

	maps.Copy(labels, wanted.GetLabels())
	maps.Copy(annotations, wanted.GetAnnotations())

	copied.SetLabels(labels)
	copied.SetAnnotations(annotations)
	copied.SetOwnerReferences(wanted.GetOwnerReferences())
	change(copied)

	return copied
}

// replaceService keeps addresses and node ports.
func replaceService(live *corev1.ServiceSpec, wanted corev1.ServiceSpec) {
	nodePorts := map[string]int32{}
	for _, port := range live.Ports {
		nodePorts[port.Name] = port.NodePort
	}

	live.Selector, live.Type, live.PublishNotReadyAddresses = wanted.Selector, wanted.Type, wanted.PublishNotReadyAddresses
	live.Ports = nil

	for _, port := range wanted.Ports {
		if port.NodePort == 0 && wanted.Type != corev1.ServiceTypeClusterIP {
			port.NodePort = nodePorts[port.Name]
		}

		live.Ports = append(live.Ports, port)
	}
}
