package apply

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/caretaker-dev/caretaker/internal/apply/diff"
)

// Applier writes objects.
type Applier struct {
	// Client writes.
	Client client.Client
	// Live reads from the API server, past any cache: a cache that holds our objects only cannot tell whether the name
	// of a new one is taken.
	Live client.Reader
	// Owner is the field manager.
	Owner string
	// For is what the objects are made for, such as "this Cluster".
	For string
	// Ours says whether a live object is ours to change.
	Ours func(live client.Object) bool
	// Visible says whether a live object is one that the cache holds.
	Visible func(live client.Object) bool
}

// ConflictError says that an object's name is taken by an object that is not ours.
type ConflictError struct {
	Kind, Namespace, Name string
	// For is what the name is needed for, such as "this Cluster".
	For string
}

// Error names the object and the remedy.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s %s/%s exists and was not made for %s; it is left alone. Delete it, or choose another name for %s",
		e.Kind, e.Namespace, e.Name, e.For, e.For)
}

// ErrStale says that an object exists that was not there when last seen. What was decided without it, such as a fresh
// password, must not be written.
var ErrStale = errors.New("the object exists already")

// Create applies an object that was not there when last seen. It fails with a *ConflictError when its name is taken, and
// with ErrStale when the cache is behind.
func (a Applier) Create(ctx context.Context, desired client.Object) error {
	u, err := diff.Unstructured(desired)
	if err != nil {
		return fmt.Errorf("convert %s: %w", desired.GetName(), err)
	}

	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(u.GroupVersionKind())

	err = a.Live.Get(ctx, client.ObjectKeyFromObject(u), live)
	switch {
	case err == nil && !a.Ours(live):
		return &ConflictError{Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName(), For: a.For}
	case err == nil && a.Visible(live):
		return fmt.Errorf("create %s %s: %w", u.GetKind(), u.GetName(), ErrStale)
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("get %s %s: %w", u.GetKind(), u.GetName(), err)
	}

	return a.apply(ctx, u)
}

// Update applies an object that is ours. With a resource version it fails with a conflict if the live object has another.
func (a Applier) Update(ctx context.Context, desired client.Object, resourceVersion string) error {
	u, err := diff.Unstructured(desired)
	if err != nil {
		return fmt.Errorf("convert %s: %w", desired.GetName(), err)
	}

	u.SetResourceVersion(resourceVersion)

	return a.apply(ctx, u)
}

// Replace turns the live object into another, where applying cannot undo what others did to it: applying leaves alone
// what others added to lists, a merge patch writes lists as a whole. It fails with a conflict if the object has changed.
func (a Applier) Replace(ctx context.Context, live, object client.Object) error {
	patch := client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{})

	copied, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", object)
	}

	if err := a.Client.Patch(ctx, copied, patch, client.FieldOwner(a.Owner)); err != nil {
		return fmt.Errorf("replace what was changed by hand: %w", err)
	}

	return nil
}

func (a Applier) apply(ctx context.Context, u *unstructured.Unstructured) error {
	err := a.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u),
		client.FieldOwner(a.Owner), client.ForceOwnership, client.DisableReadYourWritesConsistency)
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", u.GetKind(), u.GetName(), err)
	}

	return nil
}
