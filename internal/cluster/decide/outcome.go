package decide

import (
	"fmt"
	"strings"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// When no step had anything to say, the members tell how things stand. The gravest is told, in this order:
//
//	an instance that cannot go on       stalled: PID 1 itself says so
//	a trouble that somebody must solve  image, scheduling, crashing, no answer; retried all the same
//	the primary                         being made, then starting
//	the replicas                        cloning, then starting
//	volumes                             growing, or the primary's full
//	nothing                             ready; and what is served could be lost, where archive or backups are not well
func (p *planner) summarize() {
	if p.decided {
		return
	}

	waking := p.Cluster.Status.Hibernated != nil

	switch name := p.gravest(); {
	case name != "":
		p.trouble(name)
	case !p.states[p.primary].ready || !p.established:
		p.primaryMessage(waking)
	case p.serving() < len(p.members):
		p.replicaMessage()
	case p.expanding() != "":
		p.wait(v1.ReasonExpandingVolumes, fmt.Sprintf("Expanding volumes: %s (%s)", p.expanding(), p.readiness()))
	case p.isFull(p.primary) && p.storageSize() != p.Cluster.Status.StorageSize:
		p.wait(v1.ReasonExpandingVolumes, "Expanding volumes: the primary's is full")
	case p.isFull(p.primary):
		p.say(conditions.Stalled, v1.ReasonVolumeFull, p.fullMessage(p.primary), afterBlocked)
	default:
		p.say(conditions.Done, v1.ReasonReady, p.readiness()+p.unprotected(), p.quiet())
	}
}

// gravest is the member in the worst trouble, the primary before the replicas.
func (p *planner) gravest() string {
	rank := map[string]int{
		v1.ReasonInstanceUnhealthy: 4, v1.ReasonImagePullFailed: 3, v1.ReasonInstanceUnschedulable: 2, v1.ReasonInstanceUnreachable: 1,
	}
	worst, name := 0, ""

	for _, member := range append([]string{p.primary}, p.members...) {
		if r := rank[p.states[member].reason]; r > worst {
			worst, name = r, member
		}
	}

	return name
}

func (p *planner) trouble(name string) {
	state := p.states[name]
	message := fmt.Sprintf("%s: %s (%s)", name, state.message, p.readiness())

	if hasGivenUp(state.report) {
		reason := state.reason
		if name == p.primary && !p.established {
			reason = v1.ReasonBootstrapFailed
		}

		p.stall(reason, message)

		return
	}

	p.say(conditions.Waiting, state.reason, "Waiting for "+message, afterBlocked)
}

func (p *planner) primaryMessage(waking bool) {
	state := p.states[p.primary]
	reason, what := v1.ReasonStartingInstances, firstOf(state.message, "it is starting")

	switch {
	case state.state == string(instanceapi.StateInitializing):
		reason, what = v1.ReasonInitializing, firstOf(state.message, p.bootstrapMethod())
	case waking:
		reason = v1.ReasonWaking
	case !p.established:
		reason, what = v1.ReasonInitializing, firstOf(state.message, "it takes charge")
	}

	p.wait(reason, fmt.Sprintf("Waiting for %s: %s", p.primary, what))
}

func (p *planner) bootstrapMethod() string {
	if p.recoversInPlace {
		return "restoring a backup of this Cluster"
	}

	if p.input.Cluster.Spec.Bootstrap != nil && p.input.Cluster.Spec.Bootstrap.PgBaseBackup != nil {
		return "copying the external server (pg_basebackup)"
	}

	if p.input.Cluster.Spec.Bootstrap != nil && p.input.Cluster.Spec.Bootstrap.Recovery != nil {
		return "restoring a backup"
	}

	return "initializing the database (initdb)"
}

func (p *planner) replicaMessage() {
	var cloning, starting []string

	least := 100

	for _, name := range p.members {
		state := p.states[name]

		switch {
		case state.ready:
		case state.state == string(instanceapi.StateCloning):
			cloning = append(cloning, name)

			if state.report != nil && state.report.Progress != nil {
				least = min(least, *state.report.Progress)
			} else {
				least = 0
			}
		default:
			starting = append(starting, name)
		}
	}

	if len(cloning) > 0 {
		noun := "replicas"
		if len(cloning) == 1 {
			noun = "replica"
		}

		p.wait(v1.ReasonCloningReplicas, fmt.Sprintf("Cloning %d %s from %s (%d%%); %s", len(cloning), noun, p.primary, least/10*10, p.readiness()))

		return
	}

	what := strings.Join(starting, ", ")
	if len(starting) == 1 {
		what += ": " + firstOf(p.states[starting[0]].message, "it is starting")
	}

	p.wait(v1.ReasonStartingInstances, fmt.Sprintf("Waiting for %s (%s)", what, p.readiness()))
}

// troubleOf is what is wrong with a member, for a message about something else.
func (p *planner) troubleOf(name string) string {
	return name + ": " + firstOf(p.states[name].message, "it is not ready")
}
