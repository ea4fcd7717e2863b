package build

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const (
	defaultTopologyKey     = "kubernetes.io/hostname"
	antiAffinityRequired   = "required"
	preferredAntiAffinity  = 100
	defaultAntiAffinityTyp = "preferred"
)

// affinity is the user's own, and beside it the anti-affinity that keeps instances on different nodes: preferred by
// default, so that a small Kubernetes cluster can run a Cluster at all.
func affinity(cluster *v1.Cluster) *corev1.Affinity {
	given := cluster.Spec.Affinity
	result := given.Affinity.DeepCopy()

	if enabled(given.EnablePodAntiAffinity) {
		if result.PodAntiAffinity == nil {
			result.PodAntiAffinity = &corev1.PodAntiAffinity{}
		}

		spread(result.PodAntiAffinity, given, cluster.Name)
	}

	if result.NodeAffinity == nil && result.PodAffinity == nil && result.PodAntiAffinity == nil {
		return nil
	}

	return result
}

func spread(anti *corev1.PodAntiAffinity, given v1.AffinityConfiguration, cluster string) {
	term := corev1.PodAffinityTerm{
		LabelSelector: &metav1.LabelSelector{MatchLabels: naming.SelectorLabels(cluster)},
		TopologyKey:   or(given.TopologyKey, defaultTopologyKey),
	}

	if or(given.PodAntiAffinityType, defaultAntiAffinityTyp) == antiAffinityRequired {
		anti.RequiredDuringSchedulingIgnoredDuringExecution = append(anti.RequiredDuringSchedulingIgnoredDuringExecution, term)

		return
	}

	anti.PreferredDuringSchedulingIgnoredDuringExecution = append(anti.PreferredDuringSchedulingIgnoredDuringExecution,
		corev1.WeightedPodAffinityTerm{Weight: preferredAntiAffinity, PodAffinityTerm: term})
}
