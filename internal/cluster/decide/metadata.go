package decide

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/caretaker-dev/caretaker/internal/cluster/build"
)

// metadataPatch is what brings the live object's labels, annotations and owners to the wanted ones; false if nothing
// does. Labels and annotations that others added stay.
func metadataPatch(live, wanted build.Object) (PatchMetadata, bool) {
	patch := PatchMetadata{
		Object:      live,
		Labels:      missing(wanted.GetLabels(), live.GetLabels()),
		Annotations: missing(wanted.GetAnnotations(), live.GetAnnotations()),
	}
	differs := len(patch.Labels) > 0 || len(patch.Annotations) > 0

	if !sameOwners(wanted.GetOwnerReferences(), live.GetOwnerReferences()) {
		differs = true
	}

	// A merge patch replaces lists as a whole: what it leaves out would be removed.
	patch.OwnerReferences = wanted.GetOwnerReferences()

	return patch, differs
}

func missing(wanted, have map[string]string) map[string]string {
	result := maps.Clone(wanted)
	maps.DeleteFunc(result, func(key, value string) bool {
		current, ok := have[key]

		return ok && current == value
	})

	return result
}

func sameOwners(a, b []metav1.OwnerReference) bool {
	if len(a) != len(b) {
		return false
	}

	for i := range a {
		if a[i].UID != b[i].UID {
			return false
		}
	}

	return true
}
