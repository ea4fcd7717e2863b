package decide

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const (
	// maxTakedowns is how often the operator takes primaries down for one specification. A change needs one; the others
	// are for what comes between, such as a failover in the middle of a rolling update.
	maxTakedowns = 3
	// takedownsMemory is how long a Cluster that is at rest remembers them: one that finds something to do again and
	// again has no rest.
	takedownsMemory = time.Hour
)

// takeDown says whether the operator may take the primary down, to hand over or to restart, and counts it. A plan that is
// never satisfied would otherwise change primaries for ever, each time at the applications' cost. What for is the end of
// a sentence that begins with the primary.
func (p *planner) takeDown(what string) bool {
	now := metav1.NewTime(p.Now.Truncate(time.Second))
	next := v1.TakedownsStatus{
		Generation: p.Cluster.Generation, Request: p.Cluster.Annotations[naming.AnnotationRestart], Count: 1, Run: p.primaryRun(), Since: now, At: now,
	}

	last := p.Cluster.Status.Takedowns
	if last == nil || last.Generation != next.Generation || last.Request != next.Request {
		p.takedowns = &next

		return true
	}

	// An instance that could not ask its PostgreSQL just now does not know when that was started.
	switch {
	case last.Run == next.Run, strings.HasPrefix(last.Run, next.Run+"/"):
		return true
	case strings.HasPrefix(next.Run, last.Run+"/"):
		known := *last
		known.Run, p.takedowns = next.Run, &known

		return true
	}

	if last.Count >= maxTakedowns {
		p.stall(v1.ReasonNoProgress, fmt.Sprintf(
			"Stopped: the primary was taken down %d times since %s, and still %s %s. It might go on for ever, so nothing more is done about it; "+
				"look at status.members and the instances' logs, then change the spec, or annotate the Cluster with a new value of %s to try again (%s)",
			last.Count, last.Since.UTC().Format("15:04 MST"), p.primary, what, naming.AnnotationRestart, p.readiness()))

		return false
	}

	next.Count, next.Since = last.Count+1, last.Since
	p.takedowns = &next

	return true
}

// primaryRun names one run of the primary's PostgreSQL.
func (p *planner) primaryRun() string {
	run := p.primary
	if p.Record != nil {
		run = fmt.Sprintf("%s/%d", run, p.Record.Spec.Term)
	}

	if report := p.states[p.primary].report; report != nil && report.StartedAt != nil {
		run += "/" + report.StartedAt.UTC().Format(time.RFC3339)
	}

	return run
}

// forgetTakedowns: the Cluster has been at rest for long.
func (p *planner) forgetTakedowns() {
	if p.takedowns != nil && p.plan.Outcome.Kind == conditions.Done && p.Now.Sub(p.takedowns.At.Time) > takedownsMemory {
		p.takedowns = nil
	}
}
