package application

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// HasFinalizer says whether an object is kept until what belongs to it has been deleted in order.
func HasFinalizer(object client.Object) bool {
	return controllerutil.ContainsFinalizer(object, naming.FinalizerOrderedDeletion)
}

// EnsureFinalizer keeps an object until RemoveFinalizer. The object gets its new resource version.
func EnsureFinalizer(ctx context.Context, c client.Client, object client.Object) error {
	if HasFinalizer(object) {
		return nil
	}

	before, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", object)
	}

	controllerutil.AddFinalizer(object, naming.FinalizerOrderedDeletion)

	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Patch(ctx, object, patch, client.FieldOwner(naming.FieldOwner)); err != nil {
		return fmt.Errorf("add the finalizer: %w", err)
	}

	return nil
}

// RemoveFinalizer lets an object go.
func RemoveFinalizer(ctx context.Context, c client.Client, live client.Reader, object client.Object) error {
	if err := live.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil
		}

		return fmt.Errorf("read it once more: %w", err)
	}

	before, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", object)
	}

	if !controllerutil.RemoveFinalizer(object, naming.FinalizerOrderedDeletion) {
		return nil
	}

	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Patch(ctx, object, patch, client.FieldOwner(naming.FieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove the finalizer: %w", err)
	}

	return nil
}
