package build

import (
	"maps"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
)

// gibibyte in bytes.
const gibibyte = 1 << 30

// DatabaseKind is the kind of the stack's database.
func DatabaseKind(stack *v1.AppStack) string {
	if stack.Spec.Database.Type == v1.MySQL {
		return "MySQL"
	}

	return "PostgreSQL"
}

// DatabaseObject is the stack's database.
func DatabaseObject(in Input) owned.Object {
	spec := in.Stack.Spec.Database
	meta := Owner(in.Stack).Meta(Name(in.Stack, Database))
	maps.Copy(meta.Labels, Inherited(in.Stack, Database))

	kind := metav1.TypeMeta{APIVersion: databasev1.GroupVersion.String(), Kind: DatabaseKind(in.Stack)}
	storage := Storage(spec.Storage, in.Storage)

	if spec.Type == v1.MySQL {
		return &databasev1.MySQL{TypeMeta: kind, ObjectMeta: meta, Spec: databasev1.MySQLSpec{
			Version: spec.Version, Storage: storage, Replicas: spec.Replicas, Backup: spec.Backup, Resources: spec.Resources,
		}}
	}

	return &databasev1.PostgreSQL{TypeMeta: kind, ObjectMeta: meta, Spec: databasev1.PostgreSQLSpec{
		Version: spec.Version, Storage: storage, Replicas: spec.Replicas, Backup: spec.Backup, Resources: spec.Resources,
	}}
}

// Storage is what is asked for in whole Gi, rounded up, and not less than what is there: a volume cannot shrink, and what
// is asked for may be a preset. Quantities that are none are not changed: the API server says what is wrong with them.
func Storage(wanted, have string) string {
	if wanted == "" {
		return have
	}

	want, err := resource.ParseQuantity(wanted)
	if err != nil {
		return wanted
	}

	size := strconv.FormatInt((want.Value()+gibibyte-1)/gibibyte, 10) + "Gi"

	if is, err := resource.ParseQuantity(have); err == nil && is.Cmp(resource.MustParse(size)) > 0 {
		return have
	}

	return size
}
