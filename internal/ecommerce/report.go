package ecommerce

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"

	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/ecommerce/decide"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// report writes the status once, if it changed, and then the events.
func (r *Reconciler) report(ctx context.Context, view decide.View, plan decide.Plan, done []owned.Change, failure error) error {
	before := view.Platform.Status
	after := statusOf(view, plan, failure)

	var err error

	if reconcile.Classify(failure) != reconcile.ClassConflict && !equality.Semantic.DeepEqual(before, after) {
		updated := view.Platform.DeepCopy()
		updated.Status = after
		err = application.WriteStatus(ctx, r.client, updated)
	}

	told := after.Conditions
	if err != nil {
		told = before.Conditions
	}

	application.Events(r.options.Recorder, view.Platform, before.Conditions, told, done)

	return err
}

// statusOf is the whole status after a pass. It is pure.
func statusOf(view decide.View, plan decide.Plan, failure error) v1.EcommercePlatformStatus {
	status := *plan.Status.DeepCopy()
	status.Conditions = view.Platform.Status.DeepCopy().Conditions

	outcome := application.Outcome(plan.Outcome, failure)
	status.Phase = decide.Phase(view, outcome)

	writer := conditions.Writer{Conditions: &status.Conditions, Generation: view.Platform.Generation, Now: view.Now}
	writer.Summarize(outcome)

	writer.Copy(v1.ConditionMonitoring, plan.Monitoring)
	writer.Copy(v1.ConditionBackup, plan.Backup)
	writer.Copy(v1.ConditionBackupVerified, plan.Verified)

	return status
}
