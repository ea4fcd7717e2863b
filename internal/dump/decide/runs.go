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
	"github.com/caretaker-dev/caretaker/internal/dump/build"
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

			// A pod that ended in the midst of its test restore has left a dump.
			if run.Result.ID == "" {
				run.Message = cmp.Or(run.Message, condition.Message)
			}
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

		// The container beside the dump's has nothing to say, and ends when that has.
		ended := status.State.Terminated
		if ended == nil || ended.ExitCode == 0 && ended.Message == "" || status.Name == build.ScratchContainer {
			continue
		}

		if err := json.Unmarshal([]byte(ended.Message), &said); err != nil {
			said = archiveapi.DumpResult{Error: "its pod ended without a word: " + cmp.Or(against(pod), strings.TrimSpace(ended.Reason+" "+ended.Message))}
		}

		if said.Test != nil && said.Test.Completed.IsZero() && ended.ExitCode != 0 {
			said.Test.Completed = ended.FinishedAt.Time
			said.Test.Error = strings.TrimSpace(said.Test.Error + ": its pod ended meanwhile: " + cmp.Or(against(pod), ended.Reason))
		}

		return said, said.Error
	}

	return said, against(pod)
}

// against a pod is what Kubernetes ended it for, such as an eviction, which says more than how its containers ended; empty if nothing.
func against(pod corev1.Pod) string {
	if pod.Status.Reason == "" {
		return pod.Status.Message
	}

	return strings.TrimSuffix(pod.Status.Reason+": "+pod.Status.Message, ": ")
}

// remember the newest dump, and the newest failure, beyond the Jobs that told of them.
func (plan *Plan) remember(runs []Run) {
	for _, run := range runs {
		if run.State == Running {
			continue
		}

		if last := plan.Status.LastDump; run.Result.ID != "" && (last == nil || last.ID != run.Result.ID && last.CompletedAt.Time.Before(run.Result.Completed)) {
			plan.Status.LastDump = dumpStatus(run)
			plan.Status.Dumps = int32(min(run.Result.Kept, 1<<30)) //nolint:gosec // bounded
			plan.verified(run.Result)
		}

		failed := plan.Status.LastFailure
		if run.State == Failed && run.Message != "" && (failed == nil || failed.Job != run.Job && failed.Time.Time.Before(run.Ended)) {
			plan.Status.LastFailure = &v1.DumpFailure{Job: run.Job, Time: *moment(run.Ended), Message: run.Message}
		}
	}
}

// verified takes over what came of a test restore. A newer dump without one says nothing about an older dump's.
func (plan *Plan) verified(dump archiveapi.DumpResult) {
	test := dump.Test
	if test == nil {
		return
	}

	status := &v1.VerificationStatus{
		DumpID: dump.ID, At: moment(test.Completed), Duration: test.Completed.Sub(test.Started).Round(time.Second).String(),
		Result: v1.VerificationSucceeded, Message: test.String(), Tables: test.Tables, Rows: test.Rows, Checks: test.Checks,
	}

	if test.Error == "" {
		plan.Status.LastVerifiedAt = status.At
	} else {
		status.Result = v1.VerificationFailed
	}

	plan.Status.LastVerification = status
}

func dumpStatus(run Run) *v1.DumpStatus {
	r := run.Result

	return &v1.DumpStatus{
		ID: r.ID, Job: run.Job, Database: r.Database, StartedAt: moment(r.Started), CompletedAt: moment(r.Completed),
		Duration: r.Completed.Sub(r.Started).Round(time.Second).String(), Size: archiveapi.Size(r.StoredBytes),
		StoredBytes: r.StoredBytes, DataBytes: r.DataBytes, Warning: r.Warning,
	}
}
