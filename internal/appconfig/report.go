package appconfig

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/internal/appconfig/decide"
	"github.com/caretaker-dev/caretaker/internal/application"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// report writes the status once, if it changed, and then the events.
func (r *Reconciler) report(ctx context.Context, view decide.View, plan decide.Plan, done deeds, failure error) error {
	before := view.Config.Status
	after := statusOf(view, plan, done, failure)

	var err error

	if reconcile.Classify(failure) != reconcile.ClassConflict && !equality.Semantic.DeepEqual(before, after) {
		updated := view.Config.DeepCopy()
		updated.Status = after
		err = application.WriteStatus(ctx, r.client, updated)
	}

	told := after.Conditions
	if err != nil {
		told = before.Conditions
	}

	application.Events(r.options.Recorder, view.Config, before.Conditions, told, done.changes)

	if done.told && len(done.users) > 0 {
		r.options.Recorder.Eventf(view.Config, nil, corev1.EventTypeNormal, "RolledOut", "Reconcile", "%s",
			fmt.Sprintf("Version %d: %d workloads that use it are restarted", after.Version, len(done.users)))
	}

	return err
}

// statusOf is the whole status after a pass. It is pure.
func statusOf(view decide.View, plan decide.Plan, done deeds, failure error) v1.AppConfigStatus {
	status := *plan.Status.DeepCopy()
	status.Conditions = view.Config.Status.DeepCopy().Conditions

	if done.told {
		status.RolledOutRevision, status.Workloads = plan.Rollout, done.users
	}

	// What is in use is what was written, not what was planned.
	if failure != nil {
		before := view.Config.Status
		status.Version, status.History, status.ConfigMapName, status.SecretName = before.Version, before.History, before.ConfigMapName, before.SecretName
	}

	outcome := application.Outcome(plan.Outcome, failure)
	if outcome.Kind == conditions.Done && len(status.Workloads) > 0 {
		outcome.Message += fmt.Sprintf("; %d workloads use it and were restarted for it", len(status.Workloads))
	}

	writer := conditions.Writer{Conditions: &status.Conditions, Generation: view.Config.Generation, Now: view.Now}
	writer.Summarize(outcome)

	if plan.RolledBack {
		writer.Set(v1.ConditionRolledBack, metav1.ConditionTrue, v1.ReasonRequested,
			fmt.Sprintf("version %d is in use until spec.rollbackTo is removed", status.Version))
	} else {
		writer.Remove(v1.ConditionRolledBack)
	}

	return status
}
