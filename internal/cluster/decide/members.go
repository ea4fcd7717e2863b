package decide

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// What an instance is doing is told by whoever knows best, in this order: its volume (being deleted), its pod (gone,
// leaving, failed, unschedulable, its container not running), PID 1's own report, and last the kubelet's readiness probe.
// Ready is the kubelet's word, since services follow it; PID 1 can only take it back, also by its silence while others
// answer: the word of a kubelet whose node is lost stays what it was for most of a minute.

// States beside those that PID 1 reports.
const (
	stateCreating      = "Creating"
	stateStopping      = "Stopping"
	stateStopped       = "Stopped"
	stateUnschedulable = "Unschedulable"
	stateImageFailed   = "ImagePullFailed"
	stateCrashing      = "Crashing"
	stateUnreachable   = "Unreachable"
)

const (
	// doubtAfter is how long an instance may leave calls unanswered, while others of the Cluster answer, until it is not
	// counted as ready any more. On a busy machine a single timeout means nothing.
	doubtAfter = 5 * time.Second
	// silenceLimit is how long any instance may do so before that is worth a word.
	silenceLimit = 20 * time.Second
)

// memberState is what one instance is doing.
type memberState struct {
	// state in one word, message without the instance's name.
	state, message string
	// reason is for the Cluster's condition; empty when nothing is wrong.
	reason string
	// ready: serves.
	ready bool
	// running: PID 1 runs, as far as the kubelet knows.
	running bool
	// report is the answer of this very pod; nil if there is none.
	report *instanceapi.Status
}

func (f *facts) memberState(name string) memberState {
	pod, volume := f.Pods[name], f.Volumes[name]

	switch {
	case volume != nil && volume.DeletionTimestamp != nil && pod != nil && pod.DeletionTimestamp == nil:
		s := f.podState(name, pod)
		s.message = fmt.Sprintf("its volume is marked for deletion and goes when the pod does; delete pod %s to have a new one cloned", name)

		return s
	case pod == nil:
		if f.hibernating() {
			return memberState{state: stateStopped}
		}

		return memberState{state: stateCreating, message: "its pod is being made"}
	case pod.DeletionTimestamp != nil:
		return memberState{state: stateStopping, message: "it is being stopped", report: f.report(name, pod)}
	default:
		return f.podState(name, pod)
	}
}

func (f *facts) podState(name string, pod *corev1.Pod) memberState {
	if hasEnded(pod) {
		return memberState{
			state: stateStopped, reason: v1.ReasonInstanceUnhealthy,
			message: strings.TrimSpace(fmt.Sprintf("its pod ended (%s) and is made again: %s",
				firstOf(pod.Status.Reason, string(pod.Status.Phase)), pod.Status.Message)),
		}
	}

	if s, found := unscheduled(pod); found {
		return s
	}

	if s, found := f.containerTrouble(name, pod); found {
		return s
	}

	s := memberState{state: string(instanceapi.StateStarting), message: "its pod is starting", running: isRunning(pod)}
	s.ready = isPodReady(pod)
	s.report = f.report(name, pod)

	if s.report == nil {
		return f.silent(name, s)
	}

	s.state, s.message = string(s.report.State), s.report.Message
	s.ready = s.ready && s.report.Ready

	switch {
	case hasGivenUp(s.report):
		s.reason = v1.ReasonInstanceUnhealthy
	case s.report.State == instanceapi.StateRunning && !s.ready && s.message == "":
		s.message = "PostgreSQL runs, but is not ready yet"
	}

	return s
}

// hasGivenUp: PID 1 says that it cannot go on by itself, or that what it does is no remedy.
func hasGivenUp(report *instanceapi.Status) bool {
	return report != nil && (report.State == instanceapi.StateFailed || report.Protocol != nil && report.Protocol.Deaths > 0)
}

// silent is an instance whose pod runs and that does not answer. Unknown is not missing: what the kubelet says holds.
func (f *facts) silent(name string, s memberState) memberState {
	report, asked := f.Reports[name]
	isLost := f.isLost(name)

	switch {
	case s.ready && !isLost:
		s.state, s.message = string(instanceapi.StateRunning), ""
	case hasStarted(f.Pods[name]):
		s.message = "it does not answer the operator"
	}

	if !asked || !s.running || !isLost && f.Now.Sub(report.SilentSince) < silenceLimit {
		return s
	}

	// A moment, not a duration: a message that moves by itself would be written again with each look.
	s.ready = s.ready && !isLost
	s.state, s.reason = stateUnreachable, v1.ReasonInstanceUnreachable
	s.message = fmt.Sprintf("no answer on port %d since %s; look at its node, its log, and network policies",
		naming.PortStatus, report.SilentSince.UTC().Format("15:04:05 UTC"))

	return s
}

// isLost: others answer, so that it is not the operator that is cut off, and this one has not for a while.
func (f *facts) isLost(name string) bool {
	report, asked := f.Reports[name]
	if !asked || report.Status != nil || f.Now.Sub(report.SilentSince) < doubtAfter {
		return false
	}

	for _, other := range f.Reports {
		if other.Status != nil {
			return true
		}
	}

	return false
}

// hasStarted says whether the startup probe was answered: PID 1 has been there.
func hasStarted(pod *corev1.Pod) bool {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == build.ContainerPostgres {
			return status.Started != nil && *status.Started
		}
	}

	return false
}

// report is the answer of this pod; one of an earlier pod of the same name does not count.
func (f *facts) report(name string, pod *corev1.Pod) *instanceapi.Status {
	status := f.Reports[name].Status
	if status == nil || status.PodUID != "" && status.PodUID != string(pod.UID) {
		return nil
	}

	known := *status
	known.PendingRestart = withoutDone(status.PendingRestart, pod)

	return &known
}

func unscheduled(pod *corev1.Pod) (memberState, bool) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable {
			return memberState{
				state: stateUnschedulable, reason: v1.ReasonInstanceUnschedulable,
				message: fmt.Sprintf("it fits on no node: %s; add capacity, or relax resources, affinity or storage", head(condition.Message)),
			}, true
		}
	}

	return memberState{}, false
}

// containerTrouble is what the kubelet says against a container of a pod.
func (f *facts) containerTrouble(name string, pod *corev1.Pod) (memberState, bool) {
	statuses := append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...)
	for _, status := range statuses {
		waiting := status.State.Waiting
		if waiting == nil {
			continue
		}

		switch waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable":
			return memberState{
				state: stateImageFailed, reason: v1.ReasonImagePullFailed, message: imageMessage(status, waiting),
			}, true
		case "CrashLoopBackOff":
			return memberState{
				state: stateCrashing, reason: v1.ReasonInstanceUnhealthy,
				message: fmt.Sprintf("it keeps crashing%s; look at: kubectl logs -n %s %s -c %s --previous",
					lastWords(status), f.Cluster.Namespace, name, status.Name),
			}, true
		case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			return memberState{
				state: stateCrashing, reason: v1.ReasonInstanceUnhealthy,
				message: fmt.Sprintf("its container %s cannot be started: %s", status.Name, tail(waiting.Message)),
			}, true
		}
	}

	return memberState{}, false
}

func imageMessage(status corev1.ContainerStatus, waiting *corev1.ContainerStateWaiting) string {
	remedy := "correct spec.imageName or spec.imagePullSecrets"
	if status.Name == build.ContainerInstall {
		remedy = "it is the operator's image: correct the operator's settings, or spec.imagePullSecrets"
	}

	return fmt.Sprintf("the image %s cannot be pulled (%s); %s", status.Image, firstOf(tail(firstLine(waiting.Message)), waiting.Reason), remedy)
}

func lastWords(status corev1.ContainerStatus) string {
	terminated := status.LastTerminationState.Terminated
	if terminated == nil {
		return ""
	}

	words := fmt.Sprintf(" (exit code %d", terminated.ExitCode)
	if terminated.Reason != "" && terminated.Reason != "Error" {
		words += ", " + terminated.Reason
	}

	if message := firstLine(terminated.Message); message != "" {
		words += ", " + tail(message)
	}

	return words + ")"
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")

	return line
}

// longest is how much of a text of others is quoted: messages are read in a column.
const longest = 150

// tail is the end of an error, where the cause is.
func tail(text string) string {
	if len(text) <= longest {
		return text
	}

	return "…" + strings.ToValidUTF8(text[len(text)-longest:], "")
}

// head is the beginning of an explanation.
func head(text string) string {
	if len(text) <= longest {
		return text
	}

	return strings.ToValidUTF8(text[:longest], "") + "…"
}

func isPodReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}

	return false
}

func isRunning(pod *corev1.Pod) bool {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == build.ContainerPostgres {
			return status.State.Running != nil
		}
	}

	return false
}
