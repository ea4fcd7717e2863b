package decide

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// A pod is outdated when what it was made from has changed (build.PodSpecHash); the operator's own version is no part of
// that. Outdated pods are replaced on their volumes, one at a time:
//
//  1. those that do not serve anyway: there is nothing to lose, and the change may be what cures them.
//     The primary only if PID 1 does not run or has given up: a crash recovery is not to be cut short
//  2. the replicas, the highest first, each only while all others serve
//  3. the primary, if the strategy is unsupervised or the user has said so. Before its pod is replaced it hands over to a
//     replica, and so is one itself: with the method switchover on the operator's request, which waits for the right
//     moment; with restart as part of its orderly stop
//
// A replica that does not come up again therefore ends the rollout after one, until the user corrects the change.
func (p *planner) rollout() {
	outdated := p.outdated()
	if len(outdated) == 0 {
		return
	}

	for _, name := range outdated {
		if p.isBroken(name) && !p.taken {
			p.replace(name)

			return
		}
	}

	if unready := p.unready(); unready != "" || p.taken {
		p.taken = true

		if unready != "" && p.states[unready].reason != "" {
			return // The trouble of that instance is what is to be told.
		}

		p.wait(v1.ReasonRollingUpdate, fmt.Sprintf("Rolling update: waits until %s is ready, %d left to replace (%s)",
			firstOf(unready, "the replaced instance"), len(outdated), p.readiness()))

		return
	}

	next := outdated[0]
	if next == p.primary && !p.mayReplacePrimary() {
		p.say(conditions.Waiting, v1.ReasonWaitingForUser, fmt.Sprintf(
			"Waiting for you: the primary %s is the last to be updated, and primaryUpdateStrategy is supervised; "+
				"annotate the Cluster with a new value of %s to replace it now, or set the strategy to unsupervised",
			next, naming.AnnotationRestart), afterBlocked)

		return
	}

	if next == p.primary && p.switchesOver() {
		p.handOver("", "is to be replaced")

		return
	}

	if next == p.primary && !p.takeDown("is to be replaced") {
		return
	}

	p.replace(next)
}

func (p *planner) replace(name string) {
	p.taken = true
	p.stop(name, "its specification has changed")
	p.wait(v1.ReasonRollingUpdate, fmt.Sprintf("Rolling update: %s is being replaced (%s)", name, p.readiness()))
}

// outdated are the pods to replace in their order: replicas from the highest down, then the primary.
func (p *planner) outdated() []string {
	var names []string

	for _, name := range slices.Backward(p.members) {
		if name != p.primary && p.isOutdated(name) {
			names = append(names, name)
		}
	}

	if p.isOutdated(p.primary) {
		names = append(names, p.primary)
	}

	return names
}

func (f *facts) isOutdated(name string) bool {
	pod := f.Pods[name]

	return pod != nil && pod.DeletionTimestamp == nil &&
		(pod.Annotations[naming.AnnotationPodSpecHash] != f.specHash || f.cannotStart(name, pod) || build.LacksCopies(f.input, pod))
}

// cannotStart: nothing has ever run in the pod but an init container that is not the wanted one. The operator's own part
// of a pod does not make it outdated, but a pod that this part keeps from starting would stay so for ever.
func (f *facts) cannotStart(name string, pod *corev1.Pod) bool {
	for _, status := range pod.Status.ContainerStatuses {
		if status.State.Waiting == nil || status.RestartCount > 0 || status.LastTerminationState.Terminated != nil {
			return false
		}
	}

	for _, status := range pod.Status.InitContainerStatuses {
		if waiting := status.State.Waiting; waiting != nil && waiting.Reason != "PodInitializing" && waiting.Reason != "ContainerCreating" {
			wanted, has := build.Pod(f.input, name).Spec.InitContainers[0], pod.Spec.InitContainers[0]

			return wanted.Image != has.Image || !slices.Equal(wanted.Command, has.Command)
		}
	}

	return false
}

// isBroken says whether nothing is lost by taking the instance down.
func (p *planner) isBroken(name string) bool {
	state := p.states[name]
	if state.ready {
		return false
	}

	if name != p.primary {
		return true
	}

	return !state.running || hasGivenUp(state.report)
}

// unready is a member that does not serve; empty if all do.
func (p *planner) unready() string {
	for _, name := range p.members {
		if !p.states[name].ready {
			return name
		}
	}

	return ""
}

// mayReplacePrimary: by strategy, or because the user annotated the Cluster after this pod was made or last restarted.
func (p *planner) mayReplacePrimary() bool {
	if p.Cluster.Spec.PrimaryUpdateStrategy != v1.PrimaryUpdateSupervised {
		return true
	}

	asked := p.Cluster.Annotations[naming.AnnotationRestart]

	return asked != "" && asked != p.Pods[p.primary].Annotations[naming.AnnotationRestart]
}

// isLeave says whether the request for a restart is the leave that a supervised rollout waits for. What was replaced in
// it already is as good as restarted.
func (p *planner) isLeave() bool {
	return p.Cluster.Spec.PrimaryUpdateStrategy == v1.PrimaryUpdateSupervised && p.isOutdated(p.primary) && p.mayReplacePrimary()
}
