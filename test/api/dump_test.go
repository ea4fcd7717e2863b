package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/dump"
	"github.com/caretaker-dev/caretaker/internal/dump/build"
	"github.com/caretaker-dev/caretaker/internal/dump/decide"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/plugin"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// newDumpWorld has the Secrets of a database and of a store. Jobs run when the test lets them.
func newDumpWorld(t *testing.T) *shortWorld {
	t.Helper()

	batch := batchv1.SchemeGroupVersion
	w := newShortWorld(t, backupv1.GroupVersion.WithKind("Backup"), batch.WithKind("CronJob"), batch.WithKind("Job"))
	w.make = func(t *testing.T, process *crash.Process) reconciler {
		t.Helper()

		r, err := dump.New(process.Client(), process.Client(), dump.Options{
			Defaults: decide.Defaults{
				OperatorImage: "caretaker:1", PullPolicy: "IfNotPresent",
				Images: map[backupv1.SourceType]string{backupv1.SourcePostgreSQL: "postgres:18", backupv1.SourceMySQL: "mysql:9.7", backupv1.SourceMongoDB: "mongo:8"},
			},
			Clock: clock.RealClock{}, Recorder: w.events,
		})
		if err != nil {
			t.Fatal(err)
		}

		return r
	}

	for name, keys := range map[string][]string{
		"db": {"username", "password"}, "s3": {archiveapi.KeyAccessKeyID, archiveapi.KeyAccessSecretKey},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: map[string]string{}}
		for _, key := range keys {
			secret.StringData[key] = "x"
		}

		if err := w.server.Client.Create(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}

	return w
}

func newDump(change ...func(*backupv1.BackupSpec)) *backupv1.Backup {
	object := &backupv1.Backup{Spec: backupv1.BackupSpec{
		Source:      backupv1.BackupSource{Connection: backupv1.SourceConnection{Host: "db.example.com", Database: "app", SecretName: "db"}},
		Destination: backupv1.BackupDestination{Bucket: "dumps", SecretName: "s3"},
		Schedule:    "0 2 * * *", Retention: "30d",
	}}
	for _, f := range change {
		f(&object.Spec)
	}

	return object
}

// endJob is the Job controller and the kubelet, at the end of a Job's pod, which left last words.
func (w *shortWorld) endJob(t *testing.T, name string, condition batchv1.JobConditionType, said archiveapi.DumpResult) {
	t.Helper()

	job := &batchv1.Job{}
	if !w.get(t, name, job) {
		t.Fatalf("there is no Job %s", name)
	}

	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name + "-pod", Labels: maps.Clone(job.Spec.Template.Labels)}, Spec: job.Spec.Template.Spec}
	pod.Labels[batchv1.JobNameLabel] = name

	if err := w.server.Client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}

	message, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}

	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: build.Container, Image: "x", ImageID: "x",
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: string(message)}},
	}}

	now := metav1.Now()
	ended := batchv1.JobCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now}
	before := ended
	job.Status.StartTime = &now

	if condition == batchv1.JobComplete {
		job.Status.CompletionTime, before.Type = &now, batchv1.JobSuccessCriteriaMet
	} else {
		before.Type = batchv1.JobFailureTarget
	}

	job.Status.Conditions = []batchv1.JobCondition{before, ended}

	for _, object := range []client.Object{pod, job} {
		if err := w.server.Client.Status().Update(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDump: from the manifest to the CronJob, a dump that fails, and one that succeeds.
func TestDump(t *testing.T) {
	t.Parallel()

	w := newDumpWorld(t)
	w.create(t, newDump(func(spec *backupv1.BackupSpec) { spec.Immediate = true }))
	w.settle(t)

	object, cronJob := &backupv1.Backup{}, &batchv1.CronJob{}
	w.get(t, "shop", object)
	w.get(t, "shop-cronjob", cronJob)
	wantCondition(t, object.Status.Conditions, "Reconciling", backupv1.ReasonDumping, "Waiting for Job shop-immediate")

	if owner := metav1.GetControllerOf(cronJob); cronJob.Spec.Schedule != "0 2 * * *" || owner == nil || owner.UID != object.UID {
		t.Errorf("the CronJob is %+v", cronJob)
	}

	if object.Status.CronJob != "shop-cronjob" || object.Status.NextScheduleTime == nil || object.Status.DestinationPath != "s3://dumps/"+w.namespace+"/shop" {
		t.Errorf("status is %+v", object.Status)
	}

	w.endJob(t, "shop-immediate", batchv1.JobFailed, archiveapi.DumpResult{Error: "pg_dump failed: no such host"})
	w.settle(t)
	w.get(t, "shop", object)
	wantCondition(t, object.Status.Conditions, "Reconciling", backupv1.ReasonDumpFailed, "pg_dump failed: no such host; the next is due at")

	// The user makes a Job by hand, as `kubectl create job --from=cronjob/shop-cronjob by-hand` does it.
	byHand := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "by-hand", Labels: cronJob.Spec.JobTemplate.Labels},
		Spec:       cronJob.Spec.JobTemplate.Spec,
	}
	if err := w.server.Client.Create(t.Context(), byHand); err != nil {
		t.Fatal(err)
	}

	ended := time.Now().Add(time.Minute).Truncate(time.Second).UTC()
	w.endJob(t, "by-hand", batchv1.JobComplete, archiveapi.DumpResult{
		ID: "20261128T020000Z-k3x9qa", Database: "app", Started: ended.Add(-time.Minute), Completed: ended, DataBytes: 4096, StoredBytes: 1536, Kept: 1,
	})
	w.settle(t)
	w.get(t, "shop", object)
	wantCondition(t, object.Status.Conditions, "Ready", backupv1.ReasonScheduled, "the last dump has 1.5Ki")

	if last := object.Status.LastDump; last == nil || last.Job != "by-hand" || last.Duration != "1m0s" || object.Status.Dumps != 1 {
		t.Errorf("status is %+v", object.Status)
	}

	for _, want := range []string{"Warning DumpFailed Dump: Job shop-immediate failed: pg_dump failed", "Normal DumpCompleted Dump: Dump 20261128T020000Z-k3x9qa has 1.5Ki"} {
		if !strings.Contains(strings.Join(w.events.notes, "\n"), want) {
			t.Errorf("no event %q in %v", want, w.events.notes)
		}
	}

	// What somebody changed by hand is put right; what the spec says now is done.
	w.get(t, "shop-cronjob", cronJob)
	cronJob.Spec.Schedule = "0 3 * * *"

	if err := w.server.Client.Update(t.Context(), cronJob); err != nil {
		t.Fatal(err)
	}

	object.Spec.Suspend = true
	if err := w.server.Client.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.get(t, "shop-cronjob", cronJob)
	w.get(t, "shop", object)

	if cronJob.Spec.Schedule != "0 2 * * *" || !*cronJob.Spec.Suspend || object.Status.NextScheduleTime != nil {
		t.Errorf("schedule %s, suspended %v, next %v", cronJob.Spec.Schedule, *cronJob.Spec.Suspend, object.Status.NextScheduleTime)
	}

	object.Spec.Suspend, object.Spec.Schedule = false, ""
	if err := w.server.Client.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	w.settle(t)

	if w.get(t, "shop-cronjob", cronJob) {
		t.Error("without a schedule there still is a CronJob")
	}
}

// TestDumpOfCluster takes the Cluster's image and Secret, and waits for both.
func TestDumpOfCluster(t *testing.T) {
	t.Parallel()

	w := newDumpWorld(t)
	w.create(t, newDump(func(spec *backupv1.BackupSpec) {
		spec.Source.Connection = backupv1.SourceConnection{ClusterRef: &backupv1.ClusterReference{Name: "shop"}}
	}))

	object, cronJob := &backupv1.Backup{}, &batchv1.CronJob{}
	want := func(reason, message string) {
		t.Helper()
		w.settle(t)
		w.get(t, "shop", object)
		wantCondition(t, object.Status.Conditions, "Reconciling", reason, message)
	}
	want(backupv1.ReasonSourceMissing, `there is no Cluster "shop"`)

	cluster := &postgresqlv1.Cluster{Spec: postgresqlv1.ClusterSpec{Instances: 1, Storage: postgresqlv1.StorageConfiguration{Size: "1Gi"}}}
	w.create(t, cluster)
	want(backupv1.ReasonWaitingForSource, "Waiting for Cluster shop to come up")

	cluster.Status.Image = "postgres:17"
	if err := w.server.Client.Status().Update(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}

	want(backupv1.ReasonWaitingForSource, "Waiting for the Secret shop-app")

	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: naming.SecretApp("shop")}, StringData: map[string]string{"username": "app", "password": "x"},
	}
	if err := w.server.Client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.get(t, "shop-cronjob", cronJob)
	w.get(t, "shop", object)
	wantCondition(t, object.Status.Conditions, "Ready", backupv1.ReasonScheduled, "no dump yet")

	if image := cronJob.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image; image != "postgres:17" {
		t.Errorf("the image is %s", image)
	}
}

// TestDumpWithoutTheStoresSecret goes to a volume, or to a store that the pods' own identity opens.
func TestDumpWithoutTheStoresSecret(t *testing.T) {
	t.Parallel()

	for name, change := range map[string]func(*backupv1.BackupDestination){
		"a volume": func(to *backupv1.BackupDestination) {
			*to = backupv1.BackupDestination{
				Type: backupv1.DestinationVolume, PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "dumps"},
			}
		},
		"the pods' own identity": func(to *backupv1.BackupDestination) { to.SecretName = "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newDumpWorld(t)
			w.create(t, newDump(func(spec *backupv1.BackupSpec) { change(&spec.Destination) }))
			w.settle(t)

			object := &backupv1.Backup{}
			w.get(t, "shop", object)
			wantCondition(t, object.Status.Conditions, "Ready", backupv1.ReasonScheduled, "no dump yet")

			if !w.get(t, "shop-cronjob", &batchv1.CronJob{}) {
				t.Error("there is no CronJob")
			}
		})
	}
}

// TestDumpLeavesCronJobsAlone that were not made for it.
func TestDumpLeavesCronJobsAlone(t *testing.T) {
	t.Parallel()

	w := newDumpWorld(t)
	other := build.CronJob(build.Input{Backup: newDump(), Image: "x", OperatorImage: "x"})
	other.ObjectMeta = metav1.ObjectMeta{Namespace: w.namespace, Name: "shop-cronjob"}
	other.Spec.Schedule = "0 5 * * *"

	if err := w.server.Client.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}

	w.create(t, newDump())
	w.settle(t)

	object := &backupv1.Backup{}
	w.get(t, "shop", object)
	w.get(t, "shop-cronjob", other)
	wantCondition(t, object.Status.Conditions, "Stalled", "ObjectConflict", "CronJob "+w.namespace+"/shop-cronjob exists")

	if other.Spec.Schedule != "0 5 * * *" || len(other.OwnerReferences) > 0 {
		t.Errorf("the CronJob was taken over: %+v", other)
	}
}

// TestDumpCrashAfterEveryWrite kills the controller after each single write.
func TestDumpCrashAfterEveryWrite(t *testing.T) {
	t.Parallel()

	for name, start := range map[string]func(t *testing.T) *shortWorld{
		"create": func(t *testing.T) *shortWorld {
			t.Helper()

			w := newDumpWorld(t)
			w.create(t, newDump(func(spec *backupv1.BackupSpec) { spec.Immediate = true }))

			return w
		},
		"the dump ends, and there is no schedule any more": func(t *testing.T) *shortWorld {
			t.Helper()

			w := newDumpWorld(t)
			w.create(t, newDump(func(spec *backupv1.BackupSpec) { spec.Immediate = true }))
			w.settle(t)
			w.endJob(t, "shop-immediate", batchv1.JobComplete, archiveapi.DumpResult{ID: "x", Started: time.Unix(60, 0), Completed: time.Unix(120, 0)})

			object := &backupv1.Backup{}
			w.get(t, "shop", object)
			object.Spec.Schedule = ""

			if err := w.server.Client.Update(t.Context(), object); err != nil {
				t.Fatal(err)
			}

			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash.AfterEveryWrite(t, func(t *testing.T) crash.World {
				t.Helper()

				return start(t)
			})
		})
	}
}

// refusedDump sends a row of a Backup of backup.caretaker.dev: no CronJob is made.
func refusedDump(t *testing.T, row refusal) {
	t.Helper()

	w := newDumpWorld(t)

	for _, given := range row.Given {
		object := &unstructured.Unstructured{}
		if err := json.Unmarshal(given, &object.Object); err != nil {
			t.Fatalf("decode given object: %v", err)
		}

		object.SetNamespace(w.namespace)

		if err := w.server.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}

	w.create(t, row.object(t, w.namespace, row.Create))
	w.settle(t)

	if w.get(t, "shop-cronjob", &batchv1.CronJob{}) {
		t.Error("a CronJob was made")
	}

	object := &backupv1.Backup{}
	w.get(t, "shop", object)

	stalled := meta.FindStatusCondition(object.Status.Conditions, "Stalled")
	if stalled == nil || stalled.Reason != row.Reason || !row.matches(stalled.Message) {
		t.Errorf("refused otherwise\n got: %+v\nwant: %s: %s", stalled, row.Reason, row.Message)
	}
}

// TestDumpSample: the sample is taken as it is written, and kubectl get shows it under the name dumps.
func TestDumpSample(t *testing.T) {
	t.Parallel()

	w := newDumpWorld(t)

	content, err := os.ReadFile("../../config/samples/dump.yaml")
	if err != nil {
		t.Fatal(err)
	}

	object := decode(t, content)
	object.SetNamespace(w.namespace)

	if err := client.WithFieldValidation(w.server.Client, "Strict").Create(t.Context(), object); err != nil {
		t.Fatalf("refused: %v", err)
	}

	mapping, err := w.server.Client.RESTMapper().RESTMapping(backupv1.GroupVersion.WithKind("Backup").GroupKind(), "v1")
	if err != nil || mapping.Resource.Resource != "dumps" {
		t.Errorf("the plural is %v: %v", mapping, err)
	}
}

// TestPluginRestoresDumps: the Job is made from the CronJob's template, and its end is told.
func TestPluginRestoresDumps(t *testing.T) {
	t.Parallel()

	w := newDumpWorld(t)
	w.create(t, newDump())
	w.settle(t)

	kube, err := plugin.NewKube(w.server.Config)
	if err != nil {
		t.Fatal(err)
	}

	var out bytes.Buffer

	restoration := plugin.DumpRestoration{
		API: kube, Clock: clock.RealClock{}, Out: &out, Backup: types.NamespacedName{Namespace: w.namespace, Name: "shop"},
		Restore: build.Restore{Dump: "latest", Database: "copy"}, NoWait: true, Timeout: time.Minute,
	}
	if err := restoration.Run(t.Context()); err != nil {
		t.Fatal(err)
	}

	jobs := &batchv1.JobList{}
	if err := w.server.Client.List(t.Context(), jobs, client.InNamespace(w.namespace)); err != nil || len(jobs.Items) != 1 {
		t.Fatalf("%d Jobs, %v", len(jobs.Items), err)
	}

	if !strings.Contains(out.String(), jobs.Items[0].Name+" restores dump latest of shop") || !strings.HasPrefix(jobs.Items[0].Name, "shop-restore-") {
		t.Errorf("it said %q of Job %s", out.String(), jobs.Items[0].Name)
	}

	// A restore is no dump.
	w.settle(t)

	object := &backupv1.Backup{}
	w.get(t, "shop", object)

	if !meta.IsStatusConditionTrue(object.Status.Conditions, "Ready") || object.Status.LastDump != nil {
		t.Errorf("status is %+v", object.Status)
	}

	restoration.Backup.Name = "other"
	if err := restoration.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "see kubectl get dumps") {
		t.Errorf("a Backup that is not there: %v", err)
	}
}
