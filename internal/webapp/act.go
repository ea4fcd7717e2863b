package webapp

import (
	"context"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/webapp/build"
	"github.com/caretaker-dev/caretaker/internal/webapp/decide"
)

// act makes the changes in their order, up to the first failure.
func (r *Reconciler) act(ctx context.Context, webapp *v1.WebApp, plan decide.Plan) ([]owned.Change, error) {
	return application.Writer{Client: r.client, Live: r.live}.Do(ctx, build.Owner(webapp), plan.Changes)
}
