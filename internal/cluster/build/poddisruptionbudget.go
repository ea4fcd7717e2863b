package build

import (
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// PodDisruptionBudget lets a drain take one instance at a time. A single instance has none: it would only block drains.
func PodDisruptionBudget(in Input) *policyv1.PodDisruptionBudget {
	if in.Cluster.Spec.Instances < 2 || !enabled(in.Cluster.Spec.EnablePDB) {
		return nil
	}

	minAvailable := intstr.FromInt32(in.Cluster.Spec.Instances - 1)

	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: meta(in, naming.PodDisruptionBudget(in.Cluster.Name)),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: &minAvailable,
			Selector:     &metav1.LabelSelector{MatchLabels: naming.SelectorLabels(in.Cluster.Name)},
		},
	}
}
