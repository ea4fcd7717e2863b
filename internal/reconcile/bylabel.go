package reconcile

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
)

// ByLabel has the object reconciled that another one names in a label, in its own namespace.
func ByLabel(label string) handler.EventHandler { return TypedByLabel[client.Object](label) }

// TypedByLabel is ByLabel for objects of one type.
func TypedByLabel[T client.Object](label string) handler.TypedEventHandler[T, ctrl.Request] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, object T) []ctrl.Request {
		name := object.GetLabels()[label]
		if name == "" {
			return nil
		}

		return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
	})
}
