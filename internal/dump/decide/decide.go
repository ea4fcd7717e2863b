// Package decide says what a Backup of backup.caretaker.dev needs, and what became of its dumps. It is PURE.
//
//	schedule cannot be read    nothing is changed; the user corrects it
//	source or Secret missing   nothing is changed; a CronJob that is there goes on
//	schedule                   the CronJob, as the spec says
//	no schedule, or immediate  one Job, once; again if it failed and was deleted
//	suspended                  no Job; the CronJob is suspended
//
// What became of a dump is what its pod left as last words: see Runs.
package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/dump/build"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/schedule"
)

const (
	// pollUsers is how often to look for what is not watched: the user's Secrets.
	pollUsers = 30 * time.Second
	// longest time until the next look, since clocks are set.
	longest = 10 * time.Minute
)

// Defaults are the operator's configuration.
type Defaults struct {
	// Images with the dump programs, by engine, for sources that are not ours.
	Images map[v1.SourceType]string
	// OperatorImage holds our program; PullPolicy of it.
	OperatorImage, PullPolicy string
}

// View is one snapshot of a Backup and what belongs to it.
type View struct {
	Now      time.Time
	Backup   *v1.Backup
	Defaults Defaults
	// Cluster or MySQL that is the source; nil if there is none of that name, or none is named.
	Cluster *postgresqlv1.Cluster
	MySQL   *databasev1.MySQL
	// Secrets that are named, with their keys; one that does not exist is missing.
	Secrets map[string][]string
	// CronJobs of the Backup.
	CronJobs owned.Objects
	// Jobs of the Backup, and their pods.
	Jobs []batchv1.Job
	Pods []corev1.Pod
}

// Plan is what is to be done, and what is to be told.
type Plan struct {
	Changes []owned.Change
	Status  v1.BackupStatus
	Outcome conditions.Outcome
	// Verified is the condition of that name; nil for none.
	Verified *Verified
	After    time.Duration
}

// Verified is the condition Verified.
type Verified struct {
	Status          metav1.ConditionStatus
	Reason, Message string
}

// Decide makes the Plan.
func Decide(view View) Plan {
	plan := Plan{Status: *view.Backup.Status.DeepCopy()}
	plan.Status.ObservedGeneration = view.Backup.Generation
	plan.Status.DestinationPath = build.DestinationPath(view.Backup)
	plan.Status.NextScheduleTime = nil

	runs := Runs(view.Jobs, view.Pods)
	plan.remember(runs)
	plan.Verified = plan.verification(view)

	next, problem := view.next()
	if problem == nil && !next.IsZero() {
		plan.Status.NextScheduleTime = moment(next)
		plan.After = min(next.Sub(view.Now)+time.Second, longest)
	}

	var in build.Input
	if problem == nil {
		in, problem = view.input()
	}

	if problem != nil {
		plan.Outcome, plan.After = *problem, pollUsers

		return plan
	}

	plan.change(view, in)
	plan.Outcome = plan.outcome(view, runs)

	return plan
}

// next is when the next dump is due; zero for none.
func (v View) next() (time.Time, *conditions.Outcome) {
	if v.Backup.Spec.Schedule == "" {
		return time.Time{}, nil
	}

	parsed, err := schedule.Parse(v.Backup.Spec.Schedule, v.Backup.Spec.TimeZone)
	if err != nil {
		return time.Time{}, stalled(v1.ReasonInvalidSchedule, schedule.Field("spec", err)+": "+err.Error())
	}

	if v.Backup.Spec.Suspend {
		return time.Time{}, nil
	}

	return parsed.Next(v.Now), nil
}

// input is what the Jobs are made from, or why they cannot be.
func (v View) input() (build.Input, *conditions.Outcome) {
	in := build.Input{
		Backup: v.Backup, Image: v.Backup.Spec.Source.Image, OperatorImage: v.Defaults.OperatorImage, PullPolicy: v.Defaults.PullPolicy,
	}

	image, problem := v.image()
	if problem != nil {
		return in, problem
	}

	if in.Image == "" {
		in.Image = image
	}

	if in.Image == "" {
		return in, stalled(v1.ReasonImageNotConfigured, fmt.Sprintf(
			"spec.source.image: the operator has no image with the dump program of %s; name one here", v.Backup.Spec.Source.Type))
	}

	if problem := v.sourceSecret(); problem != nil {
		return in, problem
	}

	return in, v.storeSecret()
}

// image of the source, or the operator's own for its engine.
func (v View) image() (string, *conditions.Outcome) {
	given := v.Backup.Spec.Source
	if given.Connection.ClusterRef == nil {
		return v.Defaults.Images[given.Type], nil
	}

	kind, image, exists := "Cluster", "", v.Cluster != nil
	if exists {
		image = v.Cluster.Status.Image
	}

	if given.Type == v1.SourceMySQL {
		kind, exists = "MySQL", v.MySQL != nil
		if exists {
			image = v.MySQL.Status.Image
		}
	}

	name := given.Connection.ClusterRef.Name

	switch {
	case !exists:
		return "", waiting(v1.ReasonSourceMissing, fmt.Sprintf("spec.source.connection.clusterRef: there is no %s %q in namespace %s; create it, or name another",
			kind, name, v.Backup.Namespace))
	case image == "":
		return "", waiting(v1.ReasonWaitingForSource, fmt.Sprintf("Waiting for %s %s to come up", kind, name))
	default:
		return image, nil
	}
}

func (v View) sourceSecret() *conditions.Outcome {
	field, name := "spec.source.connection.secretName", build.SourceSecret(v.Backup)
	has, exists := v.Secrets[name]

	switch {
	case !exists && v.Backup.Spec.Source.Connection.SecretName == "":
		return waiting(v1.ReasonWaitingForSource, fmt.Sprintf("Waiting for the Secret %s, which comes with %s", name, v.Backup.Spec.Source.Connection.ClusterRef.Name))
	case !exists:
		return missing(field, name, v.Backup.Namespace)
	case v.Backup.Spec.Source.Type == v1.SourceMongoDB && slices.Contains(has, "uri"):
		return nil
	case !slices.Contains(has, "password") || !slices.Contains(has, "username") && !slices.Contains(has, "user"):
		return stalled(v1.ReasonSecretInvalid, fmt.Sprintf("%s: the Secret %q needs the keys username and password; add them", field, name))
	default:
		return nil
	}
}

func (v View) storeSecret() *conditions.Outcome {
	field, name := "spec.destination.secretName", v.Backup.Spec.Destination.SecretName
	if name == "" {
		return nil
	}

	has, exists := v.Secrets[name]
	if !exists {
		return missing(field, name, v.Backup.Namespace)
	}

	store := build.Config(v.Backup).Store.Type
	if keys := archiveapi.MissingStoreKeys(store, func(key string) bool { return slices.Contains(has, key) }); keys != "" {
		return stalled(v1.ReasonSecretInvalid, fmt.Sprintf("%s: the Secret %q needs the keys %s; add them", field, name, keys))
	}

	return nil
}

func missing(field, name, namespace string) *conditions.Outcome {
	return stalled(v1.ReasonSecretMissing, fmt.Sprintf("%s: there is no Secret %q in namespace %s; create it", field, name, namespace))
}

func stalled(reason, message string) *conditions.Outcome {
	return &conditions.Outcome{Kind: conditions.Stalled, Reason: reason, Message: message}
}

func waiting(reason, message string) *conditions.Outcome {
	return &conditions.Outcome{Kind: conditions.Waiting, Reason: reason, Message: message}
}

// change the CronJob, and make the Job that is due at once.
func (plan *Plan) change(view View, in build.Input) {
	var wanted []owned.Object

	plan.Status.CronJob = ""
	if view.Backup.Spec.Schedule != "" {
		plan.Status.CronJob = naming.DumpCronJob(view.Backup.Name)
		wanted = append(wanted, build.CronJob(in))
	}

	plan.Changes = owned.Changes(wanted, view.CronJobs, nil)

	name := naming.DumpImmediateJob(view.Backup.Name)
	exists := slices.ContainsFunc(view.Jobs, func(job batchv1.Job) bool { return job.Name == name })

	if !exists && plan.isDueAtOnce(view) {
		// A Job is made and not changed: only its absence counts.
		plan.Changes = append(plan.Changes, owned.Changes([]owned.Object{build.ImmediateJob(in)}, nil, nil)...)
		exists = true
	}

	if exists {
		plan.Status.ImmediateJob = name
	}
}

func (plan *Plan) isDueAtOnce(view View) bool {
	spec := view.Backup.Spec
	if spec.Suspend || spec.Schedule != "" && !spec.Immediate {
		return false
	}

	made := plan.Status.ImmediateJob

	if plan.Status.LastDump != nil {
		// One that was not to be restored is taken again once the user has deleted its Job; a schedule does so by itself.
		return spec.Schedule == "" && isFalse(plan.Verified) && plan.Status.LastDump.Job == made
	}

	return made == "" || plan.Status.LastFailure != nil && plan.Status.LastFailure.Job == made
}

// verification is what the condition Verified says.
func (plan *Plan) verification(view View) *Verified {
	given, test, last := view.Backup.Spec.Verification, plan.Status.LastVerification, plan.Status.LastDump

	switch {
	case given == nil || !given.TestRestore:
		return nil
	case last == nil:
		return &Verified{metav1.ConditionUnknown, v1.ReasonNotVerified, "there is no dump yet"}
	case test == nil || test.DumpID != last.ID:
		return &Verified{metav1.ConditionUnknown, v1.ReasonNotVerified, "dump " + last.ID + " was taken without a test restore; the next one will have one"}
	case test.Result == v1.VerificationFailed:
		return &Verified{metav1.ConditionFalse, v1.ReasonVerificationFailed, "dump " + last.ID + " is in the store, but " + test.Message}
	default:
		return &Verified{metav1.ConditionTrue, v1.ReasonVerified, "dump " + last.ID + " was " + test.Message}
	}
}

// makesJob says whether the dump that is due at once is about to be taken.
func (plan *Plan) makesJob() bool {
	return slices.ContainsFunc(plan.Changes, func(change owned.Change) bool {
		apply, ok := change.(owned.Apply)

		return ok && apply.Object.GetObjectKind().GroupVersionKind().Kind == "Job"
	})
}

func isFalse(v *Verified) bool { return v != nil && v.Status == metav1.ConditionFalse }

// LastFailed is the newest failure, if no dump has succeeded since; nil if there is none.
func LastFailed(status v1.BackupStatus) *v1.DumpFailure {
	last, failed := status.LastDump, status.LastFailure
	if failed == nil || last != nil && !last.CompletedAt.Before(&failed.Time) {
		return nil
	}

	return failed
}

// outcome says how the dumps stand.
func (plan *Plan) outcome(view View, runs []Run) conditions.Outcome {
	last, failed := plan.Status.LastDump, LastFailed(plan.Status)
	due := ""

	if next := plan.Status.NextScheduleTime; next != nil {
		due = "; the next is due at " + next.UTC().Format(time.RFC3339)
	}

	if view.Backup.Spec.Suspend {
		return conditions.Outcome{Kind: conditions.Resting, Reason: v1.ReasonSuspended, Message: "suspended; no dump is taken until spec.suspend is false"}
	}

	for _, run := range runs {
		if run.State == Running && (last == nil || failed != nil || run.Message != "") {
			return *waiting(v1.ReasonDumping, strings.TrimSuffix("Waiting for Job "+run.Job+": "+run.Message, ": "))
		}
	}

	switch {
	case failed != nil && due != "":
		return *waiting(v1.ReasonDumpFailed, fmt.Sprintf("the last dump failed at %s: %s%s", failed.Time.UTC().Format(time.RFC3339), failed.Message, due))
	case failed != nil:
		return *stalled(v1.ReasonDumpFailed, fmt.Sprintf("the dump failed at %s: %s; correct it, and delete the Job %s to have it taken again",
			failed.Time.UTC().Format(time.RFC3339), failed.Message, failed.Job))
	case isFalse(plan.Verified) && due != "":
		return *waiting(v1.ReasonVerificationFailed, plan.Verified.Message+due)
	case isFalse(plan.Verified):
		return *stalled(v1.ReasonVerificationFailed, fmt.Sprintf("%s; correct it, and delete the Job %s to have another dump taken", plan.Verified.Message, last.Job))
	case last == nil && plan.makesJob():
		return *waiting(v1.ReasonDumping, "Waiting for Job "+naming.DumpImmediateJob(view.Backup.Name))
	case last == nil && due != "":
		return conditions.Outcome{Kind: conditions.Done, Reason: v1.ReasonScheduled, Message: "no dump yet" + due}
	case last == nil:
		return *waiting(v1.ReasonDumping, "Waiting for Job "+naming.DumpImmediateJob(view.Backup.Name))
	default:
		reason := v1.ReasonCompleted
		if due != "" {
			reason = v1.ReasonScheduled
		}

		return conditions.Outcome{Kind: conditions.Done, Reason: reason, Message: fmt.Sprintf("the last dump has %s%s", last.Size, due)}
	}
}

func moment(t time.Time) *metav1.Time {
	rounded := metav1.NewTime(t.Truncate(time.Second))

	return &rounded
}
