package decide

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// How soon to look again. Pods, volumes and the record are watched; what PID 1 reports is polled.
const (
	// afterMoving: something is under way, and a second less waited is a second gained.
	afterMoving = 500 * time.Millisecond
	// afterSlow: after patience, something that was expected to end soon has not.
	afterSlow = 2 * time.Second
	patience  = 2 * time.Minute
	// afterBlocked: something is under way that nobody expects to end soon.
	afterBlocked = 5 * time.Second
	// afterSilence: an instance did not answer, and it is to be known soon whether it is lost.
	afterSilence = time.Second
	// afterQuiet: also finds out about the user's secrets, which are not watched.
	afterQuiet = 10 * time.Second
)

// Plan is what to do about a Cluster and what to say about it.
type Plan struct {
	// Actions in their order; the first failure ends a pass.
	Actions []Action
	// Outcome of the pass if all of them succeed.
	Outcome conditions.Outcome
	// After is when to look again at the latest.
	After time.Duration
	// Status is what is seen, without conditions.
	Status v1.ClusterStatus
	// Features are the conditions beside Ready, Reconciling and Stalled.
	Features []Feature
}

// Feature is a condition of a single feature; one with an empty Reason is to be absent.
type Feature struct {
	Type    string
	True    bool
	Reason  string
	Message string
}

// planner collects a Plan. The first to say what is waited for is heard.
type planner struct {
	facts

	plan    Plan
	decided bool
	// late are actions that come last.
	late []Action
	// taken: an instance is being taken down, or just came back and is not ready yet; no other may follow.
	taken bool
	// switched is what became of the last switchover.
	switched *v1.SwitchoverStatus
	// takedowns of primaries so far.
	takedowns *v1.TakedownsStatus
	// inPlace is how the last recovery in place is going.
	inPlace *v1.RecoverInPlaceStatus
	// ended: the remaining steps are not for this pass.
	ended bool
}

// Decide makes the Plan for a View.
func Decide(view View) Plan {
	p := &planner{facts: newFacts(view)}
	p.switched, p.takedowns = view.Cluster.Status.LastSwitchover, view.Cluster.Status.Takedowns
	p.inPlace = view.Cluster.Status.RecoverInPlace.DeepCopy()

	switch problem := p.validate(); {
	case p.Cluster.DeletionTimestamp != nil:
		// The garbage collector does the rest.
		p.end(conditions.Resting, v1.ReasonDeleting, "the Cluster is being deleted", afterQuiet)
	case p.Cluster.Annotations[naming.AnnotationPaused] == "true":
		p.end(conditions.Resting, v1.ReasonPaused,
			fmt.Sprintf("paused by annotation, %s; remove %s to go on", p.readiness(), naming.AnnotationPaused), afterQuiet)
	case problem != nil:
		p.end(conditions.Stalled, problem.reason, problem.message, afterQuiet)
		p.heal()
	default:
		if problem := p.checkCertificates(); problem != nil {
			p.stall(problem.reason, problem.message)
		}

		p.run()
	}

	p.act(p.late...)
	p.plan.Features = p.features() // the summary tells of them
	p.summarize()
	p.forgetTakedowns()
	p.tellInPlace()
	p.plan.Status = p.status()

	return p.plan
}

func (p *planner) run() {
	steps := []func(*planner){
		(*planner).recoverInPlace,
		(*planner).record,
		(*planner).objects,
		(*planner).volumes,
		(*planner).hibernate,
		(*planner).pods,
		(*planner).scaleDown,
		(*planner).rollout,
		(*planner).switchover,
		(*planner).configure,
		(*planner).passwords,
		(*planner).restart,
	}

	for _, step := range steps {
		if step(p); p.ended {
			return
		}
	}
}

func (p *planner) act(actions ...Action) { p.plan.Actions = append(p.plan.Actions, actions...) }

// say sets the outcome, unless an earlier step already has.
func (p *planner) say(kind conditions.Kind, reason, message string, after time.Duration) {
	if p.decided {
		return
	}

	if kind == conditions.Waiting && after == afterMoving && p.waitingFor() > patience {
		after = afterSlow
	}

	p.decided = true
	p.plan.Outcome = conditions.Outcome{Kind: kind, Reason: reason, Message: message}
	p.plan.After = after
}

// waitingFor is how long something has been under way.
func (p *planner) waitingFor() time.Duration {
	reconciling := meta.FindStatusCondition(p.Cluster.Status.Conditions, v1.ConditionReconciling)
	if reconciling == nil {
		return 0
	}

	return p.Now.Sub(reconciling.LastTransitionTime.Time)
}

// wait says what is under way.
func (p *planner) wait(reason, message string) {
	p.say(conditions.Waiting, reason, message, afterMoving)
}

// stall says what only the user can solve.
func (p *planner) stall(reason, message string) {
	p.say(conditions.Stalled, reason, message, afterQuiet)
}

// end says something and leaves out the remaining steps.
func (p *planner) end(kind conditions.Kind, reason, message string, after time.Duration) {
	p.say(kind, reason, message, after)
	p.ended = true
}
