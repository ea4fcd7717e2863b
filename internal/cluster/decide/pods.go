package decide

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Each member with a volume has a pod.
//
//	missing   made, on the same volume. All at once, also in the first pass: the replicas wait for the primary themselves
//	ended     (evicted, node shut down) deleted, so that it can be made again
//	leaving   waited for
func (p *planner) pods() {
	for _, name := range p.members {
		pod, volume := p.Pods[name], p.Volumes[name]

		switch {
		case pod == nil:
			if volume != nil && volume.DeletionTimestamp == nil && !build.IsLeftover(p.Cluster, volume) {
				p.act(Apply{Object: build.Pod(p.input, name), New: true})
			}
		case pod.DeletionTimestamp != nil:
			p.taken = true
		case hasEnded(pod):
			p.taken = true
			p.stop(name, "it has ended: "+firstOf(pod.Status.Reason, string(pod.Status.Phase)))
		default:
			p.keepPod(name, pod)
		}
	}
}

// keepPod keeps a pod's metadata up to date: that needs no restart.
func (p *planner) keepPod(name string, pod *corev1.Pod) {
	wanted := build.Pod(p.input, name)

	// What the pod was made from stays as it was made. The restart that the user asked for is noted once it is done,
	// or need not be.
	delete(wanted.Annotations, naming.AnnotationPodSpecHash)

	if !p.isRestarted(name) && (p.isOutdated(name) || !p.isLeave()) {
		delete(wanted.Annotations, naming.AnnotationRestart)
	}

	if patch, differs := metadataPatch(pod, wanted); differs {
		p.act(patch)
	}
}

// isRestarted: nothing waits for a restart, under the configuration that is wanted now.
func (p *planner) isRestarted(name string) bool {
	report := p.states[name].report

	return report != nil && report.ConfigHash == p.hash && len(report.PendingRestart) == 0 && !p.isOutdated(name)
}

// stop deletes a pod in an orderly way.
func (p *planner) stop(name, why string) {
	p.act(DeletePod{Name: name, UID: p.Pods[name].UID, GraceSeconds: build.GracePeriod(p.Cluster), Why: why})
}

// heal is all that is done while the spec is invalid: a lost pod of an established Cluster comes back with what was
// valid last. Everything it mounts is there already.
func (p *planner) heal() {
	if !p.established || p.hibernating() || p.isStoppedInPlace() || p.Cluster.Status.Image == "" {
		return
	}

	input := p.input
	input.Image = p.Cluster.Status.Image

	for _, name := range p.members {
		pod, volume := p.Pods[name], p.Volumes[name]

		switch {
		case volume == nil || volume.DeletionTimestamp != nil:
		case pod == nil:
			p.act(Apply{Object: build.Pod(input, name), New: true})
		case hasEnded(pod) && pod.DeletionTimestamp == nil:
			p.stop(name, "it has ended: "+firstOf(pod.Status.Reason, string(pod.Status.Phase)))
		}
	}
}

// hasEnded: nothing runs in the pod any more, and nothing will.
func hasEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}

func (f *facts) hibernating() bool { return f.Cluster.Annotations[naming.AnnotationHibernate] == "on" }

// serving counts the members that are ready.
func (f *facts) serving() int {
	n := 0

	for _, name := range f.members {
		if f.states[name].ready {
			n++
		}
	}

	return n
}

// readiness is "2 of 3 instances ready".
func (f *facts) readiness() string {
	noun := "instances"
	if f.Cluster.Spec.Instances == 1 {
		noun = "instance"
	}

	return fmt.Sprintf("%d of %d %s ready", f.serving(), f.Cluster.Spec.Instances, noun)
}
