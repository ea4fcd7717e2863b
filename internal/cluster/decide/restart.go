package decide

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// restartRequested is what an instance reports as pending when the user asked for a restart by annotation.
const restartRequested = "restart requested"

// withoutDone leaves out a restart that was asked for but that this pod has followed already: by being replaced in the
// rollout that the request let go on. So does a request that was taken back: only a new value asks for a restart.
func withoutDone(pending []instanceapi.PendingParameter, pod *corev1.Pod) []instanceapi.PendingParameter {
	return slices.DeleteFunc(slices.Clone(pending), func(parameter instanceapi.PendingParameter) bool {
		return parameter.Name == restartRequested &&
			(parameter.Configured == "" || parameter.Configured == pod.Annotations[naming.AnnotationRestart])
	})
}

// Some parameters take effect only when PostgreSQL starts. Instances say which of theirs wait for that; they are then
// restarted in place, one at a time, each only while all others serve:
//
//	usually                            replicas from the highest down, then the primary
//	a hot-standby-sensitive parameter  replicas first when it grows, the primary first when it shrinks: a standby must
//	                                   never have less than its primary (package postgres knows which, and PID 1 keeps a
//	                                   standby at its primary's values until then)
//
// A primary that comes last hands over to a replica instead, and is restarted as one, unless the method is restart. One
// whose values shrink is restarted itself: as a replica it would keep the larger ones, and so does the one that it would
// hand over to.
// The primary waits for the user if the strategy is supervised, unless the restart is what the user asked for.
func (p *planner) restart() {
	pending := p.pendingRestart()
	if len(pending) == 0 || p.taken {
		return
	}

	for _, name := range p.members {
		state := p.states[name]
		if state.ready && state.report != nil && state.report.ConfigHash == p.hash || slices.Contains(pending, name) && name != p.primary {
			continue
		}

		// One that has not heard of the change yet does not say either that it must restart for it, before the primary.
		until := "is ready"
		if state.ready {
			until = "has its new configuration"
		}

		p.wait(v1.ReasonRestarting, fmt.Sprintf("Restarting PostgreSQL: waits until %s %s, %d left to restart (%s)",
			name, until, len(pending), p.readiness()))

		return
	}

	next := pending[0]
	if next == p.primary && !p.mayRestartPrimary() {
		p.say(conditions.Waiting, v1.ReasonWaitingForUser, fmt.Sprintf(
			"Waiting for you: %s takes effect when the primary %s restarts, and primaryUpdateStrategy is supervised; "+
				"annotate the Cluster with a new value of %s to restart it now",
			pendingNames(p.states[next].report), next, naming.AnnotationRestart), afterBlocked)

		return
	}

	if next == p.primary && len(pending) == 1 && !p.primaryFirst() && p.switchesOver() {
		p.handOver("", "is to restart"+because(p.states[next].report))

		return
	}

	if next == p.primary && !p.takeDown("is to restart"+because(p.states[next].report)) {
		return
	}

	p.taken = true
	p.act(Restart{Instance: next, Why: pendingNames(p.states[next].report)})
	p.wait(v1.ReasonRestarting, fmt.Sprintf("Restarting PostgreSQL of %s%s (%s)", next, because(p.states[next].report), p.readiness()))
}

// pendingRestart are the instances to restart in their order. Only one whose configuration is the wanted one counts.
func (p *planner) pendingRestart() []string {
	var names []string

	waits := func(name string) bool {
		report := p.states[name].report

		return report != nil && report.State == instanceapi.StateRunning && report.ConfigHash == p.hash && len(report.PendingRestart) > 0
	}

	for _, name := range slices.Backward(p.members) {
		if name != p.primary && waits(name) {
			names = append(names, name)
		}
	}

	if !waits(p.primary) {
		return names
	}

	if p.primaryFirst() {
		return append([]string{p.primary}, names...)
	}

	return append(names, p.primary)
}

func (p *planner) primaryFirst() bool {
	before, after := map[string]string{}, map[string]string{}
	for _, parameter := range p.states[p.primary].report.PendingRestart {
		before[parameter.Name], after[parameter.Name] = parameter.Running, parameter.Configured
	}

	plan := postgres.RestartOrder(p.major, before, after)

	return len(plan.Steps) > 0 && plan.Steps[0].Order == postgres.OrderPrimaryFirst
}

func (p *planner) mayRestartPrimary() bool {
	if p.Cluster.Spec.PrimaryUpdateStrategy != v1.PrimaryUpdateSupervised {
		return true
	}

	for _, parameter := range p.states[p.primary].report.PendingRestart {
		if parameter.Name == restartRequested {
			return true
		}
	}

	return false
}

// because is why an instance is restarted, as the end of a sentence.
func because(report *instanceapi.Status) string {
	names := pendingNames(report)
	if names == restartRequested {
		return ", as requested by " + naming.AnnotationRestart
	}

	return " for " + names
}

func pendingNames(report *instanceapi.Status) string {
	var names []string
	for _, parameter := range report.PendingRestart {
		names = append(names, parameter.Name)
	}

	slices.Sort(names)

	return strings.Join(slices.Compact(names), ", ")
}
