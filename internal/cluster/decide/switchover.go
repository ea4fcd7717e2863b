package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const (
	// switchoverPatience is how long a switchover may take until it counts as failed.
	switchoverPatience = time.Minute
	// switchoverAttempts is how often a primary is asked that was elected again, since no replica had its whole log in time.
	// Each costs the clients a gap.
	switchoverAttempts = 2
)

// The annotation asks for a switchover; the primary does it, and the record shows that it is done. Each value of the
// annotation is asked for once:
//
//	a new value, another instance leads already      Completed
//	            no such replica, or it is not ready  Refused
//	            otherwise                            the primary is asked: InProgress
//	InProgress, and another leads                    Completed
//	            the same leads, in a later term      asked a second time, then Failed
//	            for a minute                         Failed
func (p *planner) switchover() {
	request := p.Cluster.Annotations[naming.AnnotationSwitchover]
	last := p.Cluster.Status.LastSwitchover
	p.switched = last

	switch {
	case request == "":
	case last == nil || last.Request != request:
		p.beginSwitchover(request)
	case last.Result == v1.SwitchoverInProgress:
		p.followSwitchover(*last)
	}
}

func (p *planner) beginSwitchover(request string) {
	target := targetOf(request)
	state := v1.SwitchoverStatus{Request: request, From: p.primary, StartedAt: metav1.NewTime(p.Now.Truncate(time.Second))}
	p.switched = &state

	refuse := func(format string, args ...any) {
		state.Result, state.Message = v1.SwitchoverRefused, fmt.Sprintf(format, args...)
	}

	switch {
	case target == p.primary:
		state.Result, state.To = v1.SwitchoverCompleted, target
	case target != "" && !slices.Contains(p.members, target):
		refuse("%s is no instance of this Cluster", target)
	case target != "" && !p.states[target].ready:
		refuse("%s is not ready: %s", target, firstOf(p.states[target].message, "it does not stream"))
	case len(p.members) < 2:
		refuse("there is no other instance")
	case p.taken || !p.states[p.primary].ready, target != "" && p.memberID(target) == "":
		p.switched = p.Cluster.Status.LastSwitchover // it waits until nothing else is under way, and who is wanted has answered
	case !p.hasVoters():
		p.switched = p.Cluster.Status.LastSwitchover
		p.wait(v1.ReasonSwitchingOver, fmt.Sprintf("Switching over: waits until a replica of %s has caught up (%s)", p.primary, p.readiness()))
	default:
		p.askSwitchover(&state)
	}
}

// targetOf a request is the instance that it names; empty for any.
func targetOf(request string) string {
	target, _, _ := strings.Cut(request, "/")

	return target
}

// askSwitchover has the primary hand over, in the term that the record has now.
func (p *planner) askSwitchover(state *v1.SwitchoverStatus) {
	target := targetOf(state.Request)
	state.Result, state.Term = v1.SwitchoverInProgress, p.Record.Spec.Term
	state.Attempts++
	p.taken = true
	p.act(Switchover{Instance: p.primary, Request: state.Request, Target: p.memberID(target), TargetName: target})
	p.waitSwitchover(*state)
}

func (p *planner) waitSwitchover(state v1.SwitchoverStatus) {
	p.wait(v1.ReasonSwitchingOver, fmt.Sprintf("Switching over from %s (%s)", state.From, p.readiness()))
}

func (p *planner) followSwitchover(state v1.SwitchoverStatus) {
	p.switched = &state

	switch {
	case p.primary != state.From:
		state.Result, state.To, state.Message = v1.SwitchoverCompleted, p.primary, ""

		if target := targetOf(state.Request); target != "" && target != p.primary {
			state.Message = fmt.Sprintf("%s had not all of %s's log in time; give the annotation a new value to ask again", target, state.From)
		}
	case p.Now.Sub(state.StartedAt.Time) > switchoverPatience:
		state.Result, state.Message = v1.SwitchoverFailed, "the primary has not handed over within "+switchoverPatience.String()
	case p.electedAgain(state) && state.Attempts >= switchoverAttempts:
		state.Result = v1.SwitchoverFailed
		state.Message = fmt.Sprintf("no replica had all that %s has written within seconds, %d times, so it leads again: "+
			"see to the replicas' lag, and give the annotation a new value", state.From, state.Attempts)
	case p.electedAgain(state) && p.states[p.primary].ready && p.hasVoters():
		p.askSwitchover(&state)
	default:
		p.taken = true
		p.waitSwitchover(state)
	}
}

// electedAgain says whether the primary stopped for this switchover, and had to lead again.
func (p *planner) electedAgain(state v1.SwitchoverStatus) bool {
	return p.established && state.Term > 0 && p.Record.Spec.Term > state.Term
}

// switchesOver says whether the primary is to hand over before it is taken down.
func (p *planner) switchesOver() bool {
	return len(p.members) > 1 && p.Cluster.Spec.PrimaryUpdateMethod != v1.PrimaryUpdateRestart
}

// handOver has the primary hand over before it is taken down, to the instance named or to any. It is asked in each pass
// until it has done so. Why is the end of a sentence that begins with the primary.
func (p *planner) handOver(to, why string) {
	report := p.states[p.primary].report
	isAble := p.states[p.primary].ready && report != nil && report.Role == instanceapi.RolePrimary && p.hasVoters()

	if !p.taken && isAble {
		if !p.takeDown(why) {
			return
		}

		p.act(Switchover{Instance: p.primary, Request: plannedRequest, Target: p.memberID(to), TargetName: to})
	}

	p.wait(v1.ReasonSwitchingOver, fmt.Sprintf("Switching over from %s, which %s (%s)", p.primary, why, p.readiness()))
	p.taken = true
}

// hasVoters says whether anybody else may lead.
func (p *planner) hasVoters() bool { return p.Record != nil && len(p.Record.Spec.Voters) > 0 }

// plannedRequest is what the record calls a switchover that no annotation asked for.
const plannedRequest = "operator"

func (p *planner) memberID(name string) string {
	if report := p.states[name].report; report != nil {
		return report.MemberID
	}

	return ""
}

// syncReplication says whether commits are where they are wanted before they are acknowledged.
func (p *planner) syncReplication() Feature {
	feature := Feature{Type: v1.ConditionSyncReplication}

	wanted := build.Acks(p.Cluster, len(p.members))
	if wanted < 1 || p.Record == nil || !p.established {
		return feature
	}

	durability := build.Durability(p.Cluster, len(p.members))

	switch record := p.Record.Spec; {
	case int(record.Acks) >= wanted:
		feature.True, feature.Reason = true, v1.ReasonSynchronous
		feature.Message = fmt.Sprintf("a commit is on %d of %d replicas before it is acknowledged (%s)", record.Acks, len(record.Voters), durability)
	case p.Cluster.Status.DataDurability != "" && durability == v1.DurabilityPreferred:
		feature.Reason = v1.ReasonDegraded
		feature.Message = "too few replicas are left: commits are not waited for, and there is no automatic failover until one has caught up"
	default:
		feature.Reason, feature.Message = v1.ReasonNotSynchronousYet, "replicas are being set up: commits are not waited for yet"
	}

	return feature
}
