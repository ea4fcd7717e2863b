package build

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// RoleBinding gives Role to the pods' ServiceAccount, be it ours or the user's.
func RoleBinding(in Input) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding"},
		ObjectMeta: meta(in, naming.ServiceAccount(in.Cluster.Name)),
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: naming.ServiceAccount(in.Cluster.Name)},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: ServiceAccountName(in), Namespace: in.Cluster.Namespace}},
	}
}
