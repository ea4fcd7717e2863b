package decide

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/appstack/build"
	"github.com/caretaker-dev/caretaker/internal/conditions"
)

const (
	// lookAgain is how often to look for what is not watched, such as the Prometheus operator's kinds.
	lookAgain = time.Minute
	// whileDeleting is how often to look whether a part is gone: not all that belongs to one is watched.
	whileDeleting = time.Second
	// DeletionTimeout is how long parts are deleted in order. Then the rest goes in any order, rather than keep a namespace
	// from going.
	DeletionTimeout = 10 * time.Minute
)

// View is everything that a decision stands on.
type View struct {
	Now   time.Time
	Stack *v1.AppStack
	// Owned are the objects of the stack.
	Owned owned.Objects
	// Pods of the stack's parts, the parts' own included, by component. Known while the stack is being deleted.
	Pods map[string]int
	// PodMonitorAPI says whether the kind PodMonitor is installed.
	PodMonitorAPI bool
	// CacheImage is the operator's default.
	CacheImage string
	// NewPassword is a fresh one, for a cache that has none.
	NewPassword string
}

// Plan is what to do and what to tell.
type Plan struct {
	Changes []owned.Change
	Outcome conditions.Outcome
	// Release the stack: nothing is left to be deleted in order.
	Release bool
	// Status without conditions and phase.
	Status v1.AppStackStatus
	// Monitoring is the condition of that name; one without a reason is removed.
	Monitoring Feature
	// Backup is what the database says of its backups; nil if it says nothing.
	Backup *metav1.Condition
	// Verified is what it says of their proofs; nil likewise.
	Verified *metav1.Condition
	// After is when to look again at the latest; 0 for not before something changes.
	After time.Duration
}

// Feature is a condition about one part.
type Feature struct {
	True            bool
	Reason, Message string
}

// Decide what to do with a stack.
func Decide(view View) Plan {
	input := inputOf(view)
	parts := graph(view, input)

	if view.Stack.DeletionTimestamp != nil {
		return teardown(view, parts)
	}

	plan := Plan{After: lookAgain, Monitoring: monitoring(view), Backup: toldBy(view, databasev1.ConditionBackup), Verified: toldBy(view, databasev1.ConditionBackupVerified)}

	if problem := validate(view, input); problem != "" {
		plan.Outcome = conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonInvalidSpec, Message: problem}
		plan.Status = status(view, wantedOf(assess(view, parts)))

		return plan
	}

	states := assess(view, parts)
	plan.Changes = changes(view, parts, states)
	markChanging(states, plan.Changes)

	states = wantedOf(states)
	plan.Status = status(view, states)
	plan.Outcome = summarize(states)

	return plan
}

// validate says what is wrong that the CRD cannot see.
func validate(view View, input build.Input) string {
	if build.HasCache(view.Stack) && build.CacheImageOf(input) == "" {
		return "spec.cache.image: the operator has no default image for caches; name one, or set the chart's value cache.image"
	}

	return ""
}

func inputOf(view View) build.Input {
	input := build.Input{Stack: view.Stack, CacheImage: view.CacheImage, CachePassword: view.NewPassword}

	if secret, ok := view.Owned[owned.Key{Kind: "Secret", Name: build.Name(view.Stack, build.Cache)}].(*corev1.Secret); ok {
		if password := build.CachePasswordOf(secret); password != "" {
			input.CachePassword = password
		}
	}

	input.Storage = storageOf(view)

	return input
}

// changes of the parts that are made or may be made now. What is no longer wanted goes once all that is wanted is written:
// the backend forgets a cache before the cache goes. A part that still waits keeps what it has, which is nothing, or what
// is left of it.
func changes(view View, parts []part, states []state) []owned.Change {
	var objects []owned.Object

	waiting := map[owned.Key]bool{}

	for i, p := range parts {
		switch {
		case !p.wanted || p.unavailable != "":
		case states[i].held:
			for _, object := range p.objects() {
				waiting[owned.Key{Kind: object.GetObjectKind().GroupVersionKind().Kind, Name: object.GetName()}] = true
			}
		default:
			objects = append(objects, p.objects()...)
		}
	}

	return owned.Changes(objects, view.Owned, func(key owned.Key) bool { return waiting[key] })
}

// markChanging: what a part says of itself is about the time before a change that is made now.
func markChanging(states []state, changes []owned.Change) {
	for _, change := range changes {
		apply, ok := change.(owned.Apply)
		if !ok || apply.Live == nil {
			continue
		}

		for i := range states {
			s := &states[i]
			if s.Kind == apply.Object.GetObjectKind().GroupVersionKind().Kind && s.Resource == apply.Object.GetName() && s.Ready {
				s.Ready, s.State, s.Message = false, v1.StateDeploying, "a change is being made"
			}
		}
	}
}

// summarize tells of the gravest part, or of the first that is under way.
func summarize(states []state) conditions.Outcome {
	ready, total := count(states)
	tally := fmt.Sprintf(" (%d of %d components ready)", ready, total)

	if s, ok := first(states, func(s state) bool { return s.State == v1.StateStalled }); ok {
		return conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonComponentStalled, Message: s.title() + ": " + s.Message + tally}
	}

	if s, ok := first(states, func(s state) bool { return s.State == v1.StateDegraded }); ok {
		return conditions.Outcome{Kind: conditions.Waiting, Reason: v1.ReasonDegraded, Message: s.title() + " is degraded: " + s.Message + tally}
	}

	if s, ok := first(states, func(s state) bool { return s.State == v1.StateDeploying }); ok {
		return conditions.Outcome{Kind: conditions.Waiting, Reason: v1.ReasonDeploying, Message: "Waiting for " + s.title() + ": " + s.Message + tally}
	}

	// No part waits for nothing; this is for a graph that somebody got wrong.
	if s, ok := first(states, func(s state) bool { return s.held }); ok {
		return conditions.Outcome{Kind: conditions.Waiting, Reason: v1.ReasonDeploying, Message: s.title() + " " + s.Message + tally}
	}

	names := make([]string, 0, len(states))

	for _, s := range states {
		if s.Ready {
			names = append(names, s.Name)
		}
	}

	return conditions.Outcome{Kind: conditions.Done, Reason: v1.ReasonReady, Message: list(names) + areReady(len(names))}
}

func areReady(n int) string {
	if n == 1 {
		return " is ready"
	}

	return " are ready"
}

// list joins names as in a sentence.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}

	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func first(states []state, match func(state) bool) (state, bool) {
	for _, s := range states {
		if match(s) {
			return s, true
		}
	}

	return state{}, false
}

// count of the parts that are ready, of those that count.
func count(states []state) (ready, total int) {
	for _, s := range states {
		if s.State == v1.StateUnavailable {
			continue
		}

		total++

		if s.Ready {
			ready++
		}
	}

	return ready, total
}

func status(view View, states []state) v1.AppStackStatus {
	ready, total := count(states)
	s := v1.AppStackStatus{
		ObservedGeneration: view.Stack.Generation,
		Ready:              fmt.Sprintf("%d/%d", ready, total),
		Endpoints:          endpoints(view),
	}

	for _, component := range states {
		s.Components = append(s.Components, component.ComponentStatus)
	}

	return s
}

func monitoring(view View) Feature {
	switch {
	case !build.HasMonitoring(view.Stack):
		return Feature{}
	case !view.PodMonitorAPI:
		return Feature{
			Reason:  v1.ReasonPodMonitorMissing,
			Message: "the kind PodMonitor is not installed: install the Prometheus operator, or set spec.monitoring.enabled to false",
		}
	default:
		return Feature{True: true, Reason: v1.ReasonPodMonitorMade, Message: "the PodMonitor " + build.Name(view.Stack, build.Monitoring) + " scrapes the backend"}
	}
}

// toldBy the database is a condition of it on its backups. A preset asks for them, so that nobody may look at the database itself
// to see that there is nowhere to put them.
func toldBy(view View, condition string) *metav1.Condition {
	switch database := view.Owned[databaseKey(view)].(type) {
	case *databasev1.PostgreSQL:
		return meta.FindStatusCondition(database.Status.Conditions, condition)
	case *databasev1.MySQL:
		return meta.FindStatusCondition(database.Status.Conditions, condition)
	default:
		return nil
	}
}

// Phase is the outcome in one word.
func Phase(view View, plan Plan, outcome conditions.Outcome) string {
	switch {
	case view.Stack.DeletionTimestamp != nil:
		return v1.PhaseDeleting
	case outcome.Kind == conditions.Done:
		return v1.PhaseRunning
	case outcome.Kind == conditions.Stalled:
		return v1.PhaseFailed
	case outcome.Reason == v1.ReasonDegraded:
		return v1.PhaseDegraded
	case len(view.Owned) == 0 && len(plan.Changes) == 0:
		return v1.PhasePending
	default:
		return v1.PhaseDeploying
	}
}
