package build

import (
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// PodDisruptionBudget lets a drain take one pod at a time. A single pod has none: it would only block drains. Pods that do
// not serve anyway do not block either.
func PodDisruptionBudget(in Input) *policyv1.PodDisruptionBudget {
	if minReplicas(in.WebApp) < 2 {
		return nil
	}

	one, always := intstr.FromInt32(1), policyv1.AlwaysAllow

	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: Owner(in.WebApp).Meta(in.WebApp.Name),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable:             &one,
			Selector:                   &metav1.LabelSelector{MatchLabels: SelectorLabels(in.WebApp)},
			UnhealthyPodEvictionPolicy: &always,
		},
	}
}
