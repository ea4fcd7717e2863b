package cluster

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// report writes the status once, if it changed, and then the events. Events of what was done are written even if the
// status could not be: it will not be done again.
func (r *Reconciler) report(ctx context.Context, view decide.View, plan decide.Plan, done []decide.Action, failure error) error {
	status := statusOf(view, plan, failure)

	var err error

	if reconcile.Classify(failure) != reconcile.ClassConflict {
		err = r.writeStatus(ctx, view.Cluster, status)
	}

	written := status
	if err != nil {
		written = view.Cluster.Status
	}

	for _, e := range eventsOf(view.Cluster.Status, written, done) {
		r.record(view.Cluster, e)
	}

	// Once for each version of the spec.
	if written.ObservedGeneration != view.Cluster.Status.ObservedGeneration {
		for _, note := range view.Certificates.Warnings {
			r.record(view.Cluster, warning("CertificateWarning", "Observe", note, nil))
		}
	}

	return err
}

func (r *Reconciler) record(cluster *v1.Cluster, e event) {
	// A nil reference in the interface would not be nil.
	var related runtime.Object

	if e.related != nil {
		e.related.Namespace = cluster.Namespace
		related = e.related
	}

	r.options.Recorder.Eventf(cluster, related, e.kind, e.reason, e.action, "%s", e.note)
}

func (r *Reconciler) writeStatus(ctx context.Context, cluster *v1.Cluster, status v1.ClusterStatus) error {
	if equality.Semantic.DeepEqual(cluster.Status, status) {
		return nil
	}

	// With the resource version that was read: a status that stands on an old spec must not win.
	updated := cluster.DeepCopy()
	updated.Status = status

	if err := r.client.Status().Update(ctx, updated, client.FieldOwner(naming.FieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write status: %w", err)
	}

	return nil
}

// statusOf is the whole status after a pass. It is pure.
func statusOf(view decide.View, plan decide.Plan, failure error) v1.ClusterStatus {
	status := *plan.Status.DeepCopy()
	status.Conditions = view.Cluster.Status.DeepCopy().Conditions

	writer := conditions.Writer{Conditions: &status.Conditions, Generation: view.Cluster.Generation, Now: view.Now}
	writer.Summarize(outcomeOf(plan, failure))

	for _, feature := range plan.Features {
		if feature.Reason == "" {
			writer.Remove(feature.Type)

			continue
		}

		value := metav1.ConditionFalse
		if feature.True {
			value = metav1.ConditionTrue
		}

		writer.Set(feature.Type, value, feature.Reason, feature.Message)
	}

	return status
}

// outcomeOf puts a failure in place of what the plan would have said.
func outcomeOf(plan decide.Plan, failure error) conditions.Outcome {
	var taken *apply.ConflictError

	var refused *instanceclient.RefusedError

	var expansion *expansionError

	switch {
	case errors.As(failure, &taken):
		return conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonObjectConflict, Message: taken.Error()}
	case errors.As(failure, &refused):
		return conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonInvalidParameters, Message: refused.Error()}
	case errors.As(failure, &expansion):
		return conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonStorageNotExpandable, Message: expansion.Error()}
	}

	switch reconcile.Classify(failure) {
	case reconcile.ClassRetryable:
		return conditions.Outcome{Kind: conditions.Waiting, Reason: v1.ReasonError, Message: "Waiting: trying again to " + failure.Error()}
	case reconcile.ClassPermanent:
		return conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonError, Message: "cannot " + failure.Error()}
	case reconcile.ClassNone, reconcile.ClassConflict:
	}

	return plan.Outcome
}
