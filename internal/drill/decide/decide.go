// Package decide says when a drill begins, and which throw-away instances go. It is PURE.
//
//	one runs           it is waited for
//	one has ended      it goes once its result is in the Backup's status
//	due                one for the newest complete Backup; moments that were missed count once
package decide

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/schedule"
)

const (
	// deadline of a drill, in seconds: a day.
	deadline = 24 * 60 * 60
	longest  = 10 * time.Minute
	// afterRunning: pods are watched.
	afterRunning = time.Minute
)

// View is what a decision stands on.
type View struct {
	Now      time.Time
	Cluster  *v1.Cluster
	Operator build.Operator
	// Backups that name the Cluster.
	Backups []v1.Backup
	// Pods of drills of this Cluster.
	Pods []corev1.Pod
}

// Plan is what to do.
type Plan struct {
	Create *corev1.Pod
	Delete []corev1.Pod
	After  time.Duration
}

// Decide makes the Plan.
func Decide(view View) Plan {
	var plan Plan

	running := false

	for _, pod := range view.Pods {
		switch {
		case pod.DeletionTimestamp != nil:
		case pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed:
			running = true
		case view.isTold(&pod):
			plan.Delete = append(plan.Delete, pod)
		default:
			// The Backup's controller reads it first.
			running = true
		}
	}

	given := view.Cluster.Spec.Backup
	if given == nil || given.Drill == nil || view.Cluster.DeletionTimestamp != nil {
		return plan
	}

	parsed, err := schedule.Parse(given.Drill.Schedule, given.Drill.TimeZone)
	if err != nil {
		// The Cluster's condition BackupVerified says so.
		return plan
	}

	plan.After = min(parsed.Next(view.Now).Sub(view.Now), longest)

	if running {
		plan.After = afterRunning

		return plan
	}

	due := parsed.Last(view.last(), view.Now)
	newest := proof.Newest(view.Cluster, view.Backups)

	if due.IsZero() || newest == nil {
		return plan
	}

	if place, isKnown := build.BackupPlace(newest); isKnown {
		plan.Create = pod(view, newest, place, due)
	}

	return plan
}

// isTold: the result of a pod is in its Backup's status, or there is no such Backup any more.
func (v View) isTold(pod *corev1.Pod) bool {
	for _, backup := range v.Backups {
		if backup.Name == pod.Annotations[naming.AnnotationDrillBackup] {
			// By what the pod itself says: its creation is the API server's time, its end the node's.
			told, result := backup.Status.Drill, proof.DrillResult(pod)

			return told != nil && told.StoppedAt != nil && result != nil && !told.StoppedAt.Before(result.StoppedAt)
		}
	}

	return true
}

// last is since when a drill can be due.
func (v View) last() time.Time {
	last := v.Cluster.CreationTimestamp.Time

	note := func(at *metav1.Time) {
		if at != nil && at.After(last) {
			last = at.Time
		}
	}

	for _, pod := range v.Pods {
		note(&pod.CreationTimestamp)
	}

	if drill := proof.LastDrill(v.Cluster, v.Backups); drill != nil {
		note(drill.StartedAt)
	}

	return last
}

// pod is a throw-away instance. It has none of the Cluster's labels that services and budgets select by.
func pod(view View, backup *v1.Backup, place build.Place, due time.Time) *corev1.Pod {
	cluster := view.Cluster
	given := cluster.Spec.Backup.Drill

	in := build.Input{Cluster: cluster, Image: cluster.Status.Image, Major: int(cluster.Status.Major), Operator: view.Operator}

	made := build.DrillPod(in, place, build.Drill{
		Name:      naming.Drill(cluster.Name, due),
		Config:    config(cluster, backup, place),
		Size:      size(cluster, given),
		Class:     class(cluster, given),
		Resources: given.Resources,
		Deadline:  deadline,
	})
	made.Annotations[naming.AnnotationDrillBackup] = backup.Name

	return made
}

func config(cluster *v1.Cluster, backup *v1.Backup, place build.Place) string {
	given := cluster.Spec.Backup.Drill
	told := instanceapi.Drill{
		Recovery: instanceapi.Recovery{
			Archive:  place.Archive(instanceapi.RecoveryArchiveDir, instanceapi.RecoveryVolumeDir),
			BackupID: backup.Status.BackupID,
		},
		Major: int(backup.Status.Major), Libraries: cluster.Spec.PostgreSQL.SharedPreloadLibraries,
		Amcheck: given.Amcheck == nil || *given.Amcheck,
	}

	for _, check := range given.Checks {
		told.Checks = append(told.Checks, instanceapi.DrillCheck{Name: check.Name, Database: check.Database, SQL: check.SQL})
	}

	encoded, err := json.Marshal(told)
	if err != nil {
		// Strings and numbers always encode.
		panic(err)
	}

	return string(encoded)
}

func size(cluster *v1.Cluster, given *v1.DrillConfiguration) resource.Quantity {
	if given.Size != nil {
		return *given.Size
	}

	return build.StorageSize(cluster)
}

func class(cluster *v1.Cluster, given *v1.DrillConfiguration) *string {
	if given.StorageClass != nil {
		return given.StorageClass
	}

	return cluster.Spec.Storage.StorageClass
}
