package application

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/caretaker-dev/caretaker/internal/apply"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// Owned reads what an owner has, of the given kinds. The client may read from a cache that holds our objects only.
func Owned(ctx context.Context, reader client.Reader, owner owned.Owner, lists map[string]client.ObjectList) (owned.Objects, error) {
	objects := owned.Objects{}

	for kind, list := range lists {
		err := reader.List(ctx, list, client.InNamespace(owner.Object.GetNamespace()), client.MatchingLabels(owner.SelectorLabels()))
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}

		items, err := meta.ExtractList(list)
		if err != nil {
			return nil, fmt.Errorf("read list of %s: %w", kind, err)
		}

		for _, item := range items {
			if object, ok := item.(client.Object); ok && owner.IsOurs(object) {
				objects[owned.Key{Kind: kind, Name: object.GetName()}] = object
			}
		}
	}

	return objects, nil
}

// Get reads one object; false if there is none.
func Get(ctx context.Context, reader client.Reader, namespace, name string, into client.Object) (bool, error) {
	err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
	if apierrors.IsNotFound(err) {
		return false, nil
	}

	if err != nil {
		return false, fmt.Errorf("get %T %s: %w", into, name, err)
	}

	return true, nil
}

// Writer makes changes.
type Writer struct {
	// Client writes.
	Client client.Client
	// Live reads from the API server, past any cache.
	Live client.Reader
}

// Do makes the changes in their order, up to the first failure. It returns those that were made.
func (w Writer) Do(ctx context.Context, owner owned.Owner, changes []owned.Change) ([]owned.Change, error) {
	applier := apply.Applier{
		Client: w.Client, Live: w.Live, Owner: naming.FieldOwner, For: "this " + owner.GVK.Kind,
		Ours:    func(live client.Object) bool { return owner.IsOurs(live) },
		Visible: func(live client.Object) bool { return owner.HasLabels(live) },
	}

	var done []owned.Change

	for _, change := range changes {
		if err := w.do(ctx, applier, change); err != nil {
			return done, fmt.Errorf("%s: %w", change, err)
		}

		log.FromContext(ctx).Info("Done", "action", change.String())

		done = append(done, change)
	}

	return done, nil
}

func (w Writer) do(ctx context.Context, applier apply.Applier, change owned.Change) error {
	switch c := change.(type) {
	case owned.Apply:
		return write(ctx, applier, c)
	case owned.Delete:
		uid := c.Object.GetUID()
		// In the background: what it owns goes too, and nothing waits for that.
		options := &client.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: new(metav1.DeletePropagationBackground)}

		return client.IgnoreNotFound(w.Client.Delete(ctx, c.Object, options))
	case owned.Leave:
		// Not forced: another manager that has the fields with these values shares them.
		return client.IgnoreNotFound(w.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(c.Fields), client.FieldOwner(c.To)))
	default:
		panic(fmt.Sprintf("unknown change %T", change))
	}
}

func write(ctx context.Context, applier apply.Applier, c owned.Apply) error {
	switch {
	case c.Live == nil:
		err := applier.Create(ctx, c.Object)
		if errors.Is(err, apply.ErrStale) {
			return fmt.Errorf("%w: %w", reconcile.ErrStale, err)
		}

		return err
	case c.Replacement != nil:
		live, err := unstructuredOf(c.Live, c.Object)
		if err != nil {
			return err
		}

		return applier.Replace(ctx, live, c.Replacement)
	default:
		return applier.Update(ctx, c.Object, "")
	}
}
