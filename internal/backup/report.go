package backup

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/decide"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// report writes the status if it changed, with the resource version that was read, and then the events.
func (r *Reconciler) report(ctx context.Context, backup *v1.Backup, plan decide.Plan) error {
	updated := backup.DeepCopy()
	updated.Status = *plan.Status.DeepCopy()
	updated.Status.Conditions = backup.Status.DeepCopy().Conditions

	writer := conditions.Writer{Conditions: &updated.Status.Conditions, Generation: backup.Generation, Now: r.options.Clock.Now()}
	writer.Summarize(plan.Outcome)

	if verdict := plan.Restorable; verdict.Reason != "" {
		value := metav1.ConditionFalse
		if verdict.True {
			value = metav1.ConditionTrue
		}

		writer.Set(v1.ConditionRestorable, value, verdict.Reason, verdict.Message)
	}

	if equality.Semantic.DeepEqual(backup.Status, updated.Status) {
		return nil
	}

	before := backup.Status

	if err := r.client.Status().Update(ctx, updated, client.FieldOwner(naming.FieldOwner)); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil
		}

		return fmt.Errorf("write status: %w", err)
	}

	r.events(backup, before, plan)

	return nil
}

func (r *Reconciler) events(backup *v1.Backup, before v1.BackupStatus, plan decide.Plan) {
	record := func(kind, reason, note string) {
		r.options.Recorder.Eventf(backup, nil, kind, reason, "Backup", "%s", note)
	}
	after := plan.Status

	switch {
	case before.StoppedAt == nil && after.StoppedAt != nil && after.Error == "":
		where := "in the store"
		if after.Snapshot != nil {
			where = "in the snapshot " + after.Snapshot.Name
		}

		record(corev1.EventTypeNormal, "Completed", fmt.Sprintf("%s was taken from %s in %s: %s %s", after.BackupID, after.InstanceID.PodName, after.Duration, after.Size, where))
	case before.StoppedAt == nil && after.StoppedAt != nil:
		record(corev1.EventTypeWarning, "Failed", after.Error)
	case after.Error != "" && before.Error != after.Error:
		record(corev1.EventTypeWarning, "AttemptFailed", after.Error)
	case before.InstanceID == nil && after.InstanceID != nil:
		record(corev1.EventTypeNormal, "Started", "backing up "+after.InstanceID.PodName)
	}

	if expired := plan.Status.Expired; expired != nil && before.Expired == nil {
		record(corev1.EventTypeNormal, "Expired", proof.ExpiredWords(*expired))
	}

	if told := plan.Status.Retention; told != nil && told.Error != "" && before.Retention == nil {
		record(corev1.EventTypeWarning, "RetentionFailed", fmt.Sprintf("retentionPolicy %s could not be followed: %s", told.Policy, told.Error))
	}

	if plan.Left != "" {
		record(corev1.EventTypeWarning, "NotReclaimed", plan.Left)
	}

	if plan.Status.Drill != nil && (before.Drill == nil || !before.Drill.StoppedAt.Equal(plan.Status.Drill.StoppedAt)) {
		if plan.Status.Drill.Succeeded {
			record(corev1.EventTypeNormal, "Verified", "it was restored and checked")
		} else {
			record(corev1.EventTypeWarning, "DrillFailed", plan.Status.Drill.Message)
		}
	}
}
