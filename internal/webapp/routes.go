package webapp

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
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

	return c.Watch(source.Kind(mgr.GetCache(), route, reconcile.TypedByLabel[*metav1.PartialObjectMetadata](naming.LabelWebApp)))
}
