package webapp

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
	"github.com/caretaker-dev/caretaker/internal/webapp/decide"
)

// report writes the status once, if it changed, and then the events.
func (r *Reconciler) report(ctx context.Context, view decide.View, plan decide.Plan, done []owned.Change, failure error) error {
	before := view.WebApp.Status
	after := statusOf(view, plan, failure)

	var err error

	if reconcile.Classify(failure) != reconcile.ClassConflict && !equality.Semantic.DeepEqual(before, after) {
		updated := view.WebApp.DeepCopy()
		updated.Status = after
		err = application.WriteStatus(ctx, r.client, updated)
	}

	told := after.Conditions
	if err != nil {
		told = before.Conditions
	} else if before.FirstReadyTime == nil && after.FirstReadyTime != nil {
		r.metrics.ready(view.WebApp, after.FirstReadyTime.Time)
	}

	application.Events(r.options.Recorder, view.WebApp, before.Conditions, told, done)

	return err
}

// statusOf is the whole status after a pass. It is pure.
func statusOf(view decide.View, plan decide.Plan, failure error) v1.WebAppStatus {
	status := *plan.Status.DeepCopy()
	status.Conditions = view.WebApp.Status.DeepCopy().Conditions

	outcome := application.Outcome(plan.Outcome, failure)
	status.Phase = decide.Phase(view, outcome)

	if outcome.Kind == conditions.Done && status.FirstReadyTime == nil {
		now := metav1.NewTime(view.Now).Rfc3339Copy()
		status.FirstReadyTime = &now
	}

	writer := conditions.Writer{Conditions: &status.Conditions, Generation: view.WebApp.Generation, Now: view.Now}
	writer.Summarize(outcome)

	for _, feature := range plan.Features {
		if feature.Reason == "" {
			writer.Remove(feature.Type)

			continue
		}

		writer.Set(feature.Type, feature.Status, feature.Reason, feature.Message)
	}

	return status
}
