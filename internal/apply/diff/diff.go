package diff

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Annotation holds the hash of an object as it was last asked for.
const Annotation = "caretaker.dev/applied-hash"

// Object is any Kubernetes object.
type Object interface {
	metav1.Object
	runtime.Object
}

// Unstructured is an object as it is sent: without status and without nulls.
func Unstructured(object Object) (*unstructured.Unstructured, error) {
	if u, ok := object.(*unstructured.Unstructured); ok {
		return u.DeepCopy(), nil
	}

	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("convert to unstructured: %w", err)
	}

	delete(content, "status")

	u := &unstructured.Unstructured{Object: content}
	prune(u.Object)

	return u, nil
}

// prune removes nulls: they would be applied as "this field must be empty".
func prune(m map[string]any) {
	for key, value := range m {
		switch v := value.(type) {
		case nil:
			delete(m, key)
		case map[string]any:
			prune(v)
		case []any:
			for _, item := range v {
				if child, ok := item.(map[string]any); ok {
					prune(child)
				}
			}
		}
	}
}

// Stamp annotates an object with its own hash.
func Stamp(object Object) error {
	u, err := Unstructured(object)
	if err != nil {
		return err
	}

	// Maps are encoded with sorted keys: the same object gives the same bytes.
	encoded, err := json.Marshal(u.Object)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}

	sum := sha256.Sum256(encoded)

	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}

	annotations[Annotation] = hex.EncodeToString(sum[:8])
	object.SetAnnotations(annotations)

	return nil
}

// Differs says whether a live object must be applied again to be what is desired.
func Differs(desired, live Object) (bool, error) {
	want, err := Unstructured(desired)
	if err != nil {
		return false, err
	}

	have, err := Unstructured(live)
	if err != nil {
		return false, err
	}

	// Objects read through a typed client come without these.
	delete(want.Object, "apiVersion")
	delete(want.Object, "kind")

	// Others may own the object too. That we want to own it no more is in the hash.
	unstructured.RemoveNestedField(want.Object, "metadata", "ownerReferences")

	return !ownedBy(desired.GetOwnerReferences(), live.GetOwnerReferences()) || !contains(want.Object, have.Object, path{}), nil
}

func ownedBy(wanted, owners []metav1.OwnerReference) bool {
	for _, owner := range wanted {
		if !slices.ContainsFunc(owners, func(o metav1.OwnerReference) bool { return o.UID == owner.UID }) {
			return false
		}
	}

	return true
}

// contains says whether everything in want is in have. Lists must be of the same length, since order matters in most;
// their items may carry more than we asked for. Under is the path to it by its last two keys.
func contains(want, have any, under path) bool {
	switch w := want.(type) {
	case map[string]any:
		return containsMap(w, have, under)
	case []any:
		h, ok := have.([]any)
		if !ok {
			return len(w) == 0 && have == nil
		}

		if len(w) != len(h) {
			return false
		}

		for i := range w {
			if !contains(w[i], h[i], under) {
				return false
			}
		}

		return true
	default:
		return reflect.DeepEqual(want, have) || under.isQuantity() && sameQuantity(want, have)
	}
}

func containsMap(want map[string]any, have any, under path) bool {
	h, ok := have.(map[string]any)
	if !ok {
		return len(want) == 0 && have == nil
	}

	for key, value := range want {
		if !contains(value, h[key], path{parent: under.key, key: key}) {
			return false
		}
	}

	return true
}

type path struct{ parent, key string }

// isQuantity: elsewhere 1000 and 1k are two values, and a hash such as 12e0448800001234 is a number with more digits than
// there is memory for.
func (p path) isQuantity() bool {
	switch p.parent {
	case "limits", "requests":
		return true
	case "data", "stringData", "annotations", "labels", "matchLabels":
		return false
	}

	return slices.Contains([]string{"sizeLimit", "averageValue", "divisor"}, p.key)
}

// sameQuantity knows that 1024Mi is 1Gi: the API server writes quantities in its own way.
func sameQuantity(want, have any) bool {
	w, ok := want.(string)
	if !ok {
		return false
	}

	h, ok := have.(string)
	if !ok {
		return false
	}

	a, errA := resource.ParseQuantity(w)
	b, errB := resource.ParseQuantity(h)

	return errA == nil && errB == nil && a.Cmp(b) == 0
}
