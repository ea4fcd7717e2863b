package application

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/caretaker-dev/caretaker/internal/apply"
	"github.com/caretaker-dev/caretaker/internal/apply/diff"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// Reasons that every application kind has.
const (
	// ReasonObjectConflict: the name of an object that is to be made is taken.
	ReasonObjectConflict = "ObjectConflict"
	// ReasonError: the API server refused or failed.
	ReasonError = "Error"
)

// Outcome puts a failure in place of what was planned to be told. It is pure.
func Outcome(planned conditions.Outcome, failure error) conditions.Outcome {
	if taken, ok := errors.AsType[*apply.ConflictError](failure); ok {
		return conditions.Outcome{Kind: conditions.Stalled, Reason: ReasonObjectConflict, Message: taken.Error()}
	}

	switch reconcile.Classify(failure) {
	case reconcile.ClassRetryable:
		return conditions.Outcome{Kind: conditions.Waiting, Reason: ReasonError, Message: "Waiting: trying again to " + failure.Error()}
	case reconcile.ClassPermanent:
		return conditions.Outcome{Kind: conditions.Stalled, Reason: ReasonError, Message: "cannot " + failure.Error()}
	case reconcile.ClassNone, reconcile.ClassConflict:
	}

	return planned
}

// PollUsers is how often to look again for what only the user can solve, and what is not watched.
const PollUsers = 30 * time.Second

// IsUsersToSolve says that a failure is told in the status, and that trying again soon is not worth it.
func IsUsersToSolve(failure error) bool {
	_, taken := errors.AsType[*apply.ConflictError](failure)

	return taken
}

// WriteStatus writes the status of an updated object, with the resource version that was read: a status that stands on an
// old spec must not win. An object that is gone needs none.
func WriteStatus(ctx context.Context, c client.Client, updated client.Object) error {
	if err := c.Status().Update(ctx, updated, client.FieldOwner(naming.FieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write status: %w", err)
	}

	return nil
}

// Events tells of a pass: what was done, and what the conditions show to have happened.
func Events(recorder events.EventRecorder, object client.Object, before, after []metav1.Condition, done []owned.Change) {
	for _, change := range done {
		reason := "Updated"

		switch c := change.(type) {
		case owned.Delete:
			reason = "Deleted"
		case owned.Apply:
			if c.Live == nil {
				reason = "Created"
			} else if c.Replacement != nil {
				reason = "PutRight"
			}
		}

		recorder.Eventf(object, nil, corev1.EventTypeNormal, reason, "Reconcile", "%s", Upper(change.String()))
	}

	stalled := meta.FindStatusCondition(after, conditions.TypeStalled)
	if old := meta.FindStatusCondition(before, conditions.TypeStalled); stalled != nil && (old == nil || old.Message != stalled.Message) {
		recorder.Eventf(object, nil, corev1.EventTypeWarning, stalled.Reason, "Reconcile", "%s", Upper(stalled.Message))
	}

	if meta.IsStatusConditionTrue(after, conditions.TypeReady) && !meta.IsStatusConditionTrue(before, conditions.TypeReady) {
		ready := meta.FindStatusCondition(after, conditions.TypeReady)
		recorder.Eventf(object, nil, corev1.EventTypeNormal, "Ready", "Reconcile", "%s", Upper(ready.Message))
	}
}

// Upper is a sentence with its first letter large.
func Upper(sentence string) string {
	if sentence == "" || sentence[0] < 'a' || sentence[0] > 'z' {
		return sentence
	}

	return string(sentence[0]-'a'+'A') + sentence[1:]
}

// unstructuredOf is a live object with the kind of the wanted one: a patch needs both sides to be of one type.
func unstructuredOf(live, wanted owned.Object) (*unstructured.Unstructured, error) {
	u, err := diff.Unstructured(live)
	if err != nil {
		return nil, fmt.Errorf("convert %s: %w", live.GetName(), err)
	}

	u.SetGroupVersionKind(wanted.GetObjectKind().GroupVersionKind())

	return u, nil
}
