package appstack

import (
	"context"

	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/appstack/build"
	"github.com/caretaker-dev/caretaker/internal/appstack/decide"
)

// act makes the changes in their order, up to the first failure. The finalizer comes before the first of them: parts are
// deleted in order, or not made.
func (r *Reconciler) act(ctx context.Context, view decide.View, plan decide.Plan) ([]owned.Change, error) {
	if view.Stack.DeletionTimestamp == nil && len(plan.Changes) > 0 {
		if err := application.EnsureFinalizer(ctx, r.client, view.Stack); err != nil {
			return nil, err
		}
	}

	return application.Writer{Client: r.client, Live: r.live}.Do(ctx, build.Owner(view.Stack), plan.Changes)
}
