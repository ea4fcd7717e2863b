package build

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// ClusterTerm is the record of a Cluster that has no primary yet: the named instance may initialize the data.
func ClusterTerm(cluster *v1.Cluster, bootstrapInstance string) *v1.ClusterTerm {
	m := metadata(cluster, naming.ClusterTerm(cluster.Name), naming.CommonLabels(cluster.Name))
	m.OwnerReferences = durableOwner(cluster)

	return &v1.ClusterTerm{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "ClusterTerm"},
		ObjectMeta: m,
		Spec:       v1.ClusterTermSpec{Term: 0, Bootstrap: bootstrapInstance},
	}
}
