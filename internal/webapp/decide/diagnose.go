package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/webapp/build"
)

// diagnose says why pods do not serve, and what to do, the most certain trouble first:
//
//	the API server refuses pods (quota, Pod Security)  Stalled
//	the image cannot be pulled                         Stalled
//	the kubelet refuses the container                  Stalled
//	the container ends again and again                 Stalled
//	no node has room                                   Waiting; Stalled past the Deployment's deadline: nodes may be added
//	the readiness probe fails                          Waiting; Stalled past the Deployment's deadline
//
// A trouble that goes away is seen at once, since pods are watched.
func diagnose(view View, live *appsv1.Deployment) (conditions.Outcome, bool) {
	if message := refused(live); message != "" {
		return stalled(v1.ReasonPodsRefused, "the API server refuses the pods: "+message+"; adapt spec.securityContext or spec.resources, or the limits of the namespace"), true
	}

	pods := slices.SortedFunc(slices.Values(view.Pods), func(a, b corev1.Pod) int {
		// The latest are those of the current version.
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})

	for _, look := range []func(corev1.Pod) (conditions.Outcome, bool){image, container, crash, schedule, unready} {
		for _, pod := range pods {
			if pod.DeletionTimestamp != nil {
				continue
			}

			if trouble, ok := look(pod); ok {
				return past(live, trouble), true
			}
		}
	}

	return conditions.Outcome{}, false
}

// past the Deployment's deadline nobody should go on waiting without a look.
func past(live *appsv1.Deployment, trouble conditions.Outcome) conditions.Outcome {
	for _, condition := range live.Status.Conditions {
		if condition.Type == appsv1.DeploymentProgressing && condition.Reason == "ProgressDeadlineExceeded" {
			trouble.Kind = conditions.Stalled
		}
	}

	return trouble
}

func refused(live *appsv1.Deployment) string {
	for _, condition := range live.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return condition.Message
		}
	}

	return ""
}

// state of the application's container; false while the kubelet has not said anything.
func state(pod corev1.Pod) (corev1.ContainerStatus, bool) {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == build.Container {
			return status, true
		}
	}

	return corev1.ContainerStatus{}, false
}

func reason(pod corev1.Pod) (string, string) {
	status, _ := state(pod)
	if status.State.Waiting == nil {
		return "", ""
	}

	return status.State.Waiting.Reason, status.State.Waiting.Message
}

func image(pod corev1.Pod) (conditions.Outcome, bool) {
	why, message := reason(pod)

	switch why {
	case "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable":
		return stalled(v1.ReasonImagePullFailed, fmt.Sprintf("pod %s cannot pull the image %q: %s; correct spec.image, or name credentials in spec.imagePullSecrets",
			pod.Name, pod.Spec.Containers[0].Image, short(message, why))), true
	default:
		return conditions.Outcome{}, false
	}
}

func container(pod corev1.Pod) (conditions.Outcome, bool) {
	why, message := reason(pod)

	switch why {
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
	default:
		return conditions.Outcome{}, false
	}

	remedy := "correct spec.env, spec.envFrom, spec.command or spec.securityContext"

	switch {
	case strings.Contains(message, "runAsNonRoot") || strings.Contains(message, "run as root"):
		remedy = "set spec.securityContext.runAsUser to a user that the image works under, or use an image that does not run as root"
	case strings.Contains(message, "not found") || strings.Contains(message, "couldn't find key"):
		remedy = "make what is missing, or correct spec.env and spec.envFrom"
	}

	return stalled(v1.ReasonContainerRefused, fmt.Sprintf("the container of pod %s cannot start: %s; %s", pod.Name, short(message, why), remedy)), true
}

func crash(pod corev1.Pod) (conditions.Outcome, bool) {
	status, found := state(pod)
	if why, _ := reason(pod); !found || why != "CrashLoopBackOff" {
		return conditions.Outcome{}, false
	}

	how, remedy := "ends again and again", "look at: kubectl logs --previous -n "+pod.Namespace+" "+pod.Name

	if ended := status.LastTerminationState.Terminated; ended != nil {
		how = fmt.Sprintf("ended with exit code %d", ended.ExitCode)

		if ended.Reason == "OOMKilled" {
			how, remedy = "was killed for want of memory", "raise spec.resources.limits.memory"
		}
	}

	return stalled(v1.ReasonCrashLoop, fmt.Sprintf("the container of pod %s %s, %d restarts; %s", pod.Name, how, status.RestartCount, remedy)), true
}

func schedule(pod corev1.Pod) (conditions.Outcome, bool) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return waiting(v1.ReasonUnschedulable, fmt.Sprintf("Waiting for a node for pod %s: %s; add nodes, or lower spec.resources.requests",
				pod.Name, short(condition.Message, condition.Reason))), true
		}
	}

	return conditions.Outcome{}, false
}

// unready is a pod that runs, and has been started before: one that starts for the first time deserves a moment.
func unready(pod corev1.Pod) (conditions.Outcome, bool) {
	status, found := state(pod)

	switch {
	case !found || status.Ready || status.State.Running == nil:
		return conditions.Outcome{}, false
	case status.RestartCount > 0:
		return waiting(v1.ReasonNotReady, fmt.Sprintf("Waiting for pod %s: it runs again after %d restarts and is not ready; look at: kubectl logs --previous -n %s %s",
			pod.Name, status.RestartCount, pod.Namespace, pod.Name)), true
	default:
		return waiting(v1.ReasonNotReady, fmt.Sprintf("Waiting for pod %s: it runs and is not ready; its readiness probe must pass, and the application must listen on spec.port",
			pod.Name)), true
	}
}

// maxDetail is how much of what others say is repeated.
const maxDetail = 300

func short(message, otherwise string) string {
	message = strings.TrimSuffix(strings.Join(strings.Fields(message), " "), ".")
	if message == "" {
		return otherwise
	}

	if len(message) > maxDetail {
		return strings.ToValidUTF8(message[:maxDetail], "") + "…"
	}

	return message
}

func stalled(reason, message string) conditions.Outcome {
	return conditions.Outcome{Kind: conditions.Stalled, Reason: reason, Message: message}
}
