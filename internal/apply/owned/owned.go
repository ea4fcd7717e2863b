package owned

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/caretaker-dev/caretaker/internal/apply/diff"
)

// Object is any Kubernetes object.
type Object = diff.Object

// Key of an object in the owner's namespace.
type Key struct{ Kind, Name string }

// Objects are live objects that are the owner's.
type Objects map[Key]Object

// Change is one write: an Apply, a Delete or a Leave. It prints as a sentence's end.
type Change interface {
	fmt.Stringer
	isChange()
}

// Apply writes an object as it should be.
type Apply struct {
	Object Object
	// Live is the object as it is; nil if it is missing.
	Live Object
	// Replacement is Live with all that is wanted in it; set if Live was changed by hand, which applying alone cannot undo
	// in lists.
	Replacement Object
}

// Delete removes an object that is no longer wanted.
type Delete struct {
	Object Object
	// Kind of it: objects that were read through a typed client do not say.
	Kind string
}

// Leave makes fields that were applied so far stay as they are when they are applied no longer: Kubernetes would set them
// back to its defaults, unless another field manager has them.
type Leave struct {
	// Fields of the live object, with its resource version: an object of these fields alone.
	Fields *unstructured.Unstructured
	// To is the field manager that has them from now on.
	To string
	// What the fields are, such as "the replicas of Deployment web".
	What string
}

func (Apply) isChange()  {}
func (Delete) isChange() {}
func (Leave) isChange()  {}

func (a Apply) String() string {
	what := a.Object.GetObjectKind().GroupVersionKind().Kind + " " + a.Object.GetName()

	switch {
	case a.Live == nil:
		return "create " + what
	case a.Replacement != nil:
		return "put right " + what
	default:
		return "update " + what
	}
}

func (l Leave) String() string { return "leave " + l.What + " as they are" }

func (d Delete) String() string { return "delete " + d.Kind + " " + d.Object.GetName() }

// Changes are the writes that turn live into wanted: the wanted objects in their order, then the surplus ones. The wanted
// objects are stamped here (see diff.Stamp) and need their kind set. keep says which objects stay even though they are
// not wanted, such as those with data; nil for none.
func Changes(wanted []Object, live Objects, keep func(Key) bool) []Change {
	var changes []Change

	names := map[Key]bool{}

	for _, object := range wanted {
		key := Key{object.GetObjectKind().GroupVersionKind().Kind, object.GetName()}
		names[key] = true

		if change, ok := change(object, live[key]); ok {
			changes = append(changes, change)
		}
	}

	surplus := slices.SortedFunc(maps.Keys(live), func(a, b Key) int { return strings.Compare(a.Kind+"/"+a.Name, b.Kind+"/"+b.Name) })

	for _, key := range surplus {
		if names[key] || keep != nil && keep(key) || live[key].GetDeletionTimestamp() != nil {
			continue
		}

		changes = append(changes, Delete{Object: live[key], Kind: key.Kind})
	}

	return changes
}

// change is none for an object that is as it should be. Objects are made of plain API types: they can be encoded.
func change(wanted, live Object) (Apply, bool) {
	if err := diff.Stamp(wanted); err != nil {
		panic(err)
	}

	if live == nil {
		return Apply{Object: wanted}, true
	}

	if differs, err := diff.Differs(wanted, live); err == nil && !differs {
		return Apply{}, false
	}

	apply := Apply{Object: wanted, Live: live}
	if wanted.GetAnnotations()[diff.Annotation] == live.GetAnnotations()[diff.Annotation] {
		apply.Replacement = replacement(wanted, live)
	}

	return apply, true
}

// replacement is the live object with all that is wanted in it: what others added to our lists is gone, what Kubernetes or
// others have set elsewhere stays. It is nil if it cannot be made; applying then has to do.
func replacement(wanted, live Object) Object {
	want, err := diff.Unstructured(wanted)
	if err != nil {
		return nil
	}

	have, err := diff.Unstructured(live)
	if err != nil {
		return nil
	}

	unstructured.RemoveNestedField(want.Object, "metadata", "creationTimestamp")
	overlay(have.Object, want.Object)

	return have
}

// overlay puts a map over another, deeply; lists and values are replaced as a whole.
func overlay(under, over map[string]any) {
	for key, value := range over {
		above, isMap := value.(map[string]any)
		below, wasMap := under[key].(map[string]any)

		if isMap && wasMap {
			overlay(below, above)
		} else {
			under[key] = value
		}
	}
}
