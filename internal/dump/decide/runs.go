package decide

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// State of a Run.
type State string

// The states.
const (
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
)

// Run is a Job, by its own word and its pods'.
type Run struct {
	Job   string
	State State
	// Ended is when it did; zero while it runs.
	Ended time.Time
	// Result that a pod left; of a failed run only the error counts.
	Result archiveapi.DumpResult
	// Message says why it failed, or what a running one waits for.
	Message string
}

// Runs are the Jobs, the oldest first. A Job that succeeded without a word from its pod, which is gone, is left out: nothing is known of
// its dump.
func Runs(jobs []batchv1.Job, pods []corev1.Pod) []Run {
	sorted := slices.SortedFunc(slices.Values(jobs), func(a, b batchv1.Job) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})

	var runs []Run

	for _, job := range sorted {
		run := runOf(job, podsOf(job, pods))
		if run.State != Succeeded || run.Result.ID != "" {
			runs = append(runs, run)
		}
	}

	return runs
}

func podsOf(job batchv1.Job, pods []corev1.Pod) []corev1.Pod {
	var own []corev1.Pod

	for _, pod := range pods {
		if pod.Labels[batchv1.JobNameLabel] == job.Name {
			own = append(own, pod)
		}
	}

	slices.SortFunc(own, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })

	return own
}

func runOf(job batchv1.Job, pods []corev1.Pod) Run {
	run := Run{Job: job.Name, State: Running}

	for _, pod := range pods {
		said, message := lastWords(pod)
		if said.ID != "" {
			run.Result = said
		}

		run.Message = message
	}

	for _, condition := range job.Status.Conditions {
		switch {
		case condition.Status != corev1.ConditionTrue:
		case condition.Type == batchv1.JobComplete:
			run.State, run.Ended, run.Message = Succeeded, condition.LastTransitionTime.Time, ""
		case condition.Type == batchv1.JobFailed:
			run.State, run.Ended = Failed, condition.LastTransitionTime.Time
			run.Message = cmp.Or(run.Message, condition.Message)
		}
	}

	return run
}

// lastWords of a pod, and what Kubernetes has against it.
func lastWords(pod corev1.Pod) (said archiveapi.DumpResult, message string) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return said, "its pod cannot be scheduled: " + condition.Message
		}
	}

	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := status.State.Waiting; w != nil && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" {
			return said, "its pod cannot start: " + strings.TrimSpace(w.Reason+": "+w.Message)
		}

		ended := status.State.Terminated
		if ended == nil || ended.ExitCode == 0 && ended.Message == "" {
			continue
		}

		if err := json.Unmarshal([]byte(ended.Message), &said); err != nil {
			said = archiveapi.DumpResult{Error: strings.TrimSpace("its pod ended without a word: " + ended.Reason + " " + ended.Message)}
		}

		return said, said.Error
	}

	return said, strings.TrimSpace(pod.Status.Reason + " " + pod.Status.Message)
}

// remember the newest dump, and the newest failure, beyond the Jobs that told of them.
func (plan *Plan) remember(runs []Run) {
	for _, run := range runs {
		switch last, failed := plan.Status.LastDump, plan.Status.LastFailure; run.State {
		case Succeeded:
			if last == nil || last.ID != run.Result.ID && last.CompletedAt.Time.Before(run.Result.Completed) {
				plan.Status.LastDump = dumpStatus(run)
				plan.Status.Dumps = int32(min(run.Result.Kept, 1<<30)) //nolint:gosec // bounded
			}
		case Failed:
			if failed == nil || failed.Job != run.Job && failed.Time.Time.Before(run.Ended) {
				plan.Status.LastFailure = &v1.DumpFailure{Job: run.Job, Time: *moment(run.Ended), Message: run.Message}
			}
		case Running:
		}
	}
}

func dumpStatus(run Run) *v1.DumpStatus {
	r := run.Result

	return &v1.DumpStatus{
		ID: r.ID, Job: run.Job, Database: r.Database, StartedAt: moment(r.Started), CompletedAt: moment(r.Completed),
		Duration: r.Completed.Sub(r.Started).Round(time.Second).String(), Size: archiveapi.Size(r.StoredBytes),
		StoredBytes: r.StoredBytes, DataBytes: r.DataBytes, Warning: r.Warning,
	}
}
