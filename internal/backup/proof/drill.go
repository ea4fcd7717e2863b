package proof

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// DrillResult is nil while a drill goes on. A pod that ended without a word has failed.
func DrillResult(pod *corev1.Pod) *v1.DrillStatus {
	if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		return nil
	}

	result := &v1.DrillStatus{Message: "the drill's pod " + pod.Name + " ended without a word: " + pod.Status.Reason + " " + pod.Status.Message}
	ended := pod.CreationTimestamp

	for _, status := range pod.Status.ContainerStatuses {
		if terminated := status.State.Terminated; terminated != nil {
			ended = terminated.FinishedAt

			var said v1.DrillStatus
			if err := json.Unmarshal([]byte(terminated.Message), &said); err == nil {
				result = &said
			}
		}
	}

	if result.StartedAt == nil {
		result.StartedAt = drillBegan(pod)
	}

	rounded := metav1.NewTime(ended.Truncate(time.Second))
	result.StoppedAt = &rounded

	return result
}

// drillBegan is when the pod was made, and not before the drill was due: where the API server's clock is behind the operator's,
// the drill would be due once more.
func drillBegan(pod *corev1.Pod) *metav1.Time {
	began := pod.CreationTimestamp

	if due, ok := naming.DrillDue(pod.Name); ok && due.After(began.Time) {
		began = metav1.NewTime(due)
	}

	return &began
}
