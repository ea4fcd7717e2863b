package build

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// ServiceAccount of the pods.
func ServiceAccount(in Input) *corev1.ServiceAccount {
	sa := &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: meta(in, naming.ServiceAccount(in.Cluster.Name)),
	}

	if template := in.Cluster.Spec.ServiceAccountTemplate; template != nil {
		maps.Copy(sa.Annotations, template.Metadata.Annotations)

		for key, value := range template.Metadata.Labels {
			if _, ours := naming.CommonLabels(in.Cluster.Name)[key]; !ours {
				sa.Labels[key] = value
			}
		}
	}

	return sa
}

// ServiceAccountName is the one that the pods run as.
func ServiceAccountName(in Input) string {
	if name := in.Cluster.Spec.ServiceAccountName; name != "" {
		return name
	}

	return naming.ServiceAccount(in.Cluster.Name)
}
