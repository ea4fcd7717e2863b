package webapp

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/caretaker-dev/caretaker/internal/webapp/build"
)

// startWatchingRoutes watches HTTPRoutes from the first time on that their kind is there. Only metadata is kept: the
// routes themselves are read when one is needed.
func (r *Reconciler) startWatchingRoutes() error {
	r.routes.Lock()
	defer r.routes.Unlock()

	if r.watchRoutes == nil {
		return nil
	}

	if err := r.watchRoutes(); err != nil {
		return fmt.Errorf("watch HTTPRoutes: %w", err)
	}

	r.watchRoutes = nil

	return nil
}

func watchRoutes(mgr ctrl.Manager, c controller.Controller) error {
	route := &metav1.PartialObjectMetadata{}
	route.SetGroupVersionKind(build.HTTPRouteGVK())

	handle := handler.TypedEnqueueRequestsFromMapFunc[*metav1.PartialObjectMetadata](
		func(ctx context.Context, object *metav1.PartialObjectMetadata) []ctrl.Request {
			return byLabel(ctx, object)
		})

	return c.Watch(source.Kind(mgr.GetCache(), route, handle))
}
