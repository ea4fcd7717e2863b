package build

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Role is all that PID 1 may do: keep the Cluster's term record and label its own pod. Nothing else is asked of the API
// server, since configuration, certificates and credentials come as mounted volumes.
func Role(in Input) *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"},
		ObjectMeta: meta(in, naming.ServiceAccount(in.Cluster.Name)),
		Rules: []rbacv1.PolicyRule{
			{
				APIGroups:     []string{v1.GroupVersion.Group},
				Resources:     []string{"clusterterms"},
				ResourceNames: []string{naming.ClusterTerm(in.Cluster.Name)},
				Verbs:         []string{"get", "update", "patch"},
			},
			{
				APIGroups:     []string{""},
				Resources:     []string{"pods"},
				ResourceNames: in.Members,
				Verbs:         []string{"get", "patch"},
			},
		},
	}
}
