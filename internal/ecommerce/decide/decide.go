package decide

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	appstack "github.com/caretaker-dev/caretaker/internal/appstack/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
)

// DeletionTimeout is how long the AppStack's end is waited for: longer than the AppStack waits for its parts.
const DeletionTimeout = appstack.DeletionTimeout + 2*time.Minute

// View is everything that a decision stands on.
type View struct {
	Now      time.Time
	Platform *v1.EcommercePlatform
	// Stack of the platform's name; nil if there is none.
	Stack *v1.AppStack
}

// Plan is what to do and what to tell.
type Plan struct {
	Changes []owned.Change
	Outcome conditions.Outcome
	// Release the platform: its AppStack is gone.
	Release bool
	// Status without conditions and phase.
	Status v1.EcommercePlatformStatus
	// Monitoring is the AppStack's condition of that name; nil for none.
	Monitoring *metav1.Condition
	// Backup and Verified are the AppStack's conditions BackupScheduled and BackupVerified; nil for none.
	Backup, Verified *metav1.Condition
	// After is when to look again at the latest; 0 for not before something changes.
	After time.Duration
}

// Decide what to do with a platform.
func Decide(view View) Plan {
	platform, live := view.Platform, view.Stack
	plan := Plan{Status: v1.EcommercePlatformStatus{ObservedGeneration: platform.Generation}}

	if live != nil && !Owner(platform).IsOurs(live) {
		if platform.DeletionTimestamp != nil {
			plan.Release = true

			return plan
		}

		plan.Outcome = conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonObjectConflict, Message: fmt.Sprintf(
			"an AppStack %s exists that was not made for this EcommercePlatform; it is left alone. Choose another metadata.name here", live.Name)}

		return plan
	}

	if live != nil {
		plan.Status.Ready, plan.Status.Components, plan.Status.Endpoints = live.Status.Ready, live.Status.Components, live.Status.Endpoints
		plan.Monitoring = meta.FindStatusCondition(live.Status.Conditions, v1.ConditionMonitoring)
		plan.Backup = meta.FindStatusCondition(live.Status.Conditions, v1.ConditionBackup)
		plan.Verified = meta.FindStatusCondition(live.Status.Conditions, v1.ConditionBackupVerified)
	}

	if platform.DeletionTimestamp != nil {
		return teardown(view, plan)
	}

	if live != nil && live.DeletionTimestamp != nil {
		plan.Outcome = conditions.Outcome{
			Kind: conditions.Waiting, Reason: v1.ReasonDeleting, Message: "Waiting for the AppStack of this name before to be gone: " + told(live),
		}

		return plan
	}

	if problem := shrinks(platform, live); problem != "" {
		plan.Outcome = conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonInvalidSpec, Message: problem}

		return plan
	}

	objects := owned.Objects{}
	if live != nil {
		objects[owned.Key{Kind: "AppStack", Name: live.Name}] = live
	}

	plan.Changes = owned.Changes([]owned.Object{stack(platform, live)}, objects, nil)
	plan.Outcome = standing(platform, live, len(plan.Changes) > 0)

	return plan
}

// standing is the AppStack's word, unless it is about what was before.
//
//nolint:revive // the flag is the fact that the decision stands on
func standing(platform *v1.EcommercePlatform, live *v1.AppStack, changing bool) conditions.Outcome {
	if live == nil {
		return conditions.Outcome{Kind: conditions.Waiting, Reason: v1.ReasonDeploying, Message: "Creating the AppStack"}
	}

	ready := meta.FindStatusCondition(live.Status.Conditions, v1.ConditionReady)
	if changing || ready == nil || ready.ObservedGeneration < live.Generation {
		return conditions.Outcome{Kind: conditions.Waiting, Reason: v1.ReasonDeploying, Message: "Deploying a change"}
	}

	if stalled := meta.FindStatusCondition(live.Status.Conditions, v1.ConditionStalled); stalled != nil && stalled.Status == metav1.ConditionTrue {
		return conditions.Outcome{Kind: conditions.Stalled, Reason: stalled.Reason, Message: stalled.Message}
	}

	if ready.Status == metav1.ConditionTrue {
		return conditions.Outcome{Kind: conditions.Done, Reason: v1.ReasonReady, Message: ready.Message + incomplete(platform)}
	}

	return conditions.Outcome{Kind: conditions.Waiting, Reason: ready.Reason, Message: told(live)}
}

// incomplete says which parts of a shop are not made, since they have no image.
func incomplete(platform *v1.EcommercePlatform) string {
	var missing []string

	for _, w := range []struct {
		field string
		spec  *v1.ShopWorkloadSpec
	}{{"spec.backend.image", platform.Spec.Backend}, {"spec.frontend.image", platform.Spec.Frontend}} {
		if w.spec == nil || w.spec.Image == "" {
			missing = append(missing, w.field)
		}
	}

	if len(missing) == 0 {
		return ""
	}

	return "; " + strings.Join(missing, " and ") + " not set"
}

// told is the AppStack's message at full length.
func told(live *v1.AppStack) string {
	for _, kind := range []string{v1.ConditionStalled, v1.ConditionReconciling, v1.ConditionReady} {
		if condition := meta.FindStatusCondition(live.Status.Conditions, kind); condition != nil {
			return condition.Message
		}
	}

	return "it says nothing yet"
}

// teardown deletes the AppStack, which deletes its parts in order, and waits for it.
func teardown(view View, plan Plan) Plan {
	live := view.Stack

	if live == nil {
		plan.Release = true
		plan.Outcome = conditions.Outcome{Kind: conditions.Resting, Reason: v1.ReasonDeleting, Message: "Deleted: no part is left"}

		return plan
	}

	if live.DeletionTimestamp == nil {
		plan.Changes = []owned.Change{owned.Delete{Object: live, Kind: "AppStack"}}
		plan.Outcome = conditions.Outcome{Kind: conditions.Resting, Reason: v1.ReasonDeleting, Message: "Deleting: frontend first, database last"}

		return plan
	}

	plan.Outcome = conditions.Outcome{Kind: conditions.Resting, Reason: v1.ReasonDeleting, Message: told(live)}

	left := DeletionTimeout - view.Now.Sub(view.Platform.DeletionTimestamp.Time)
	plan.Release, plan.After = left <= 0, max(left, 0)

	return plan
}

// Phase is the outcome in one word.
func Phase(view View, outcome conditions.Outcome) string {
	switch {
	case view.Platform.DeletionTimestamp != nil:
		return v1.PhaseDeleting
	case outcome.Kind == conditions.Done:
		return v1.PhaseRunning
	case outcome.Kind == conditions.Stalled:
		return v1.PhaseFailed
	case outcome.Reason == v1.ReasonDegraded:
		return v1.PhaseDegraded
	default:
		return v1.PhaseDeploying
	}
}
