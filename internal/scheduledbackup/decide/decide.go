// Package decide says which Backup a ScheduledBackup makes next. It is PURE.
//
//	suspended          none; what was due meanwhile is not made up for
//	new                one at once if immediate
//	due                one for the last of the moments that have passed, if several were missed
//	made already       it is written down: the operator ended before it could
//	one still runs     it waits, and so does the moment
//	no Cluster         it waits
package decide

import (
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/schedule"
)

const (
	afterWaiting = 5 * time.Second
	// longest time until the next look, since clocks are set.
	longest = 10 * time.Minute
)

// View is what a decision stands on.
type View struct {
	Now      time.Time
	Schedule *v1.ScheduledBackup
	// Cluster is nil if there is none of that name.
	Cluster *v1.Cluster
	// Backups that were made before.
	Backups []v1.Backup
}

// Plan is what to do, and what to say.
type Plan struct {
	// Create is the Backup to make; nil for none.
	Create  *v1.Backup
	Status  v1.ScheduledBackupStatus
	Outcome conditions.Outcome
	After   time.Duration
}

// Decide makes the Plan.
func Decide(view View) Plan {
	plan := Plan{Status: *view.Schedule.Status.DeepCopy()}
	plan.Status.ObservedGeneration = view.Schedule.Generation

	parsed, err := schedule.Parse(view.Schedule.Spec.Schedule, view.Schedule.Spec.TimeZone)

	switch {
	case err != nil:
		plan.Status.NextScheduleTime = nil
		plan.Outcome = conditions.Outcome{Kind: conditions.Stalled, Reason: v1.ReasonInvalidSchedule, Message: schedule.Field("spec", err) + ": " + err.Error()}
	case view.Schedule.Spec.Suspend != nil && *view.Schedule.Spec.Suspend:
		plan.Status.NextScheduleTime, plan.Status.LastCheckTime = nil, nil
		plan.Outcome = conditions.Outcome{Kind: conditions.Resting, Reason: v1.ReasonSuspended, Message: "suspended; no backup is taken until spec.suspend is false"}
	default:
		plan.follow(view, parsed)
	}

	return plan
}

func (plan *Plan) follow(view View, parsed schedule.Schedule) {
	next := parsed.Next(view.Now)
	plan.Status.NextScheduleTime = moment(next)
	plan.After = min(next.Sub(view.Now), longest)

	due := view.due(parsed)
	if due.IsZero() {
		if plan.Status.LastCheckTime == nil {
			plan.Status.LastCheckTime = moment(view.Now)
		}

		plan.Outcome = conditions.Outcome{Kind: conditions.Done, Reason: v1.ReasonScheduled, Message: "the next backup is due at " + next.UTC().Format(time.RFC3339)}

		return
	}

	// The operator may have ended after it was made, before it could say so.
	if name := naming.ScheduledBackup(view.Schedule.Name, due); slices.ContainsFunc(view.Backups, func(b v1.Backup) bool { return b.Name == name }) {
		plan.made(name, due, next)

		return
	}

	if running := view.running(); running != "" {
		plan.wait(v1.ReasonBackupRunning, "Waiting: Backup "+running+" still runs, and the next one is due since "+due.UTC().Format(time.RFC3339))

		return
	}

	if view.Cluster == nil {
		plan.wait(v1.ReasonClusterMissing, fmt.Sprintf("Waiting: there is no Cluster %q in namespace %s; create it, or delete this ScheduledBackup",
			view.Schedule.Spec.Cluster.Name, view.Schedule.Namespace))

		return
	}

	plan.Create = build(view, due)
	plan.made(plan.Create.Name, due, next)
}

func (plan *Plan) made(name string, due, next time.Time) {
	plan.Status.LastScheduleTime, plan.Status.LastBackup = moment(due), name
	plan.Status.LastCheckTime = moment(due)
	plan.Outcome = conditions.Outcome{Kind: conditions.Done, Reason: v1.ReasonScheduled, Message: "Backup " + name + " was made; the next one is due at " + next.UTC().Format(time.RFC3339)}
}

func (plan *Plan) wait(reason, message string) {
	plan.Outcome = conditions.Outcome{Kind: conditions.Waiting, Reason: reason, Message: message}
	plan.After = afterWaiting
}

// due is the moment that a Backup is to be made for; zero for none.
func (v View) due(parsed schedule.Schedule) time.Time {
	status := v.Schedule.Status

	if immediate := v.Schedule.Spec.Immediate; immediate != nil && *immediate && status.LastBackup == "" {
		return v.Schedule.CreationTimestamp.UTC()
	}

	if status.LastCheckTime == nil {
		return time.Time{}
	}

	return parsed.Last(status.LastCheckTime.Time, v.Now)
}

// running is a Backup of this schedule that has not ended and is not stuck; empty if there is none.
func (v View) running() string {
	for _, backup := range v.Backups {
		stalled := slices.ContainsFunc(backup.Status.Conditions, func(c metav1.Condition) bool {
			return c.Type == v1.ConditionStalled && c.Status == metav1.ConditionTrue
		})
		if backup.Status.StoppedAt == nil && backup.DeletionTimestamp == nil && !stalled {
			return backup.Name
		}
	}

	return ""
}

// Labels of the Backups of a ScheduledBackup.
func Labels(of *v1.ScheduledBackup) map[string]string {
	// A label's value is shorter than a name may be.
	const longestValue = 63

	return map[string]string{naming.LabelScheduledBackup: of.Name[:min(len(of.Name), longestValue)]}
}

func build(view View, due time.Time) *v1.Backup {
	given := view.Schedule.Spec
	labels := Labels(view.Schedule)
	maps.Copy(labels, map[string]string{naming.LabelCluster: given.Cluster.Name, "app.kubernetes.io/managed-by": "caretaker"})

	backup := &v1.Backup{
		TypeMeta: metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "Backup"},
		ObjectMeta: metav1.ObjectMeta{
			Name: naming.ScheduledBackup(view.Schedule.Name, due), Namespace: view.Schedule.Namespace, Labels: labels,
		},
		Spec: v1.BackupSpec{
			Cluster: given.Cluster, Method: given.Method, Target: given.Target, Online: given.Online,
			OnlineConfiguration: given.OnlineConfiguration, ReclaimPolicy: given.ReclaimPolicy,
		},
	}

	switch given.BackupOwnerReference {
	case v1.BackupOwnerSelf:
		backup.OwnerReferences = []metav1.OwnerReference{owner("ScheduledBackup", view.Schedule)}
	case v1.BackupOwnerCluster:
		backup.OwnerReferences = []metav1.OwnerReference{owner("Cluster", view.Cluster)}
	case v1.BackupOwnerNone:
	}

	return backup
}

func owner(kind string, object metav1.Object) metav1.OwnerReference {
	controller := true

	return metav1.OwnerReference{
		APIVersion: v1.GroupVersion.String(), Kind: kind, Name: object.GetName(), UID: object.GetUID(), Controller: &controller,
	}
}

func moment(t time.Time) *metav1.Time {
	rounded := metav1.NewTime(t.Truncate(time.Second))

	return &rounded
}
