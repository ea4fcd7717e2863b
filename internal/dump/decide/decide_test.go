package decide

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
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
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// newView is a Backup of a host, every night, for which everything is there.
func newView(change ...func(*View)) View {
	v := View{
		Now: now,
		Backup: &v1.Backup{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "nightly", UID: "1", Generation: 3},
			Spec: v1.BackupSpec{
				Source: v1.BackupSource{
					Type:       v1.SourcePostgreSQL,
					Connection: v1.SourceConnection{Host: "db.example.com", Database: "app", SecretName: "db"},
				},
				Destination: v1.BackupDestination{Type: v1.DestinationS3, Bucket: "dumps", SecretName: "s3"},
				Schedule:    "0 2 * * *", Retention: "30d",
			},
		},
		Defaults: Defaults{OperatorImage: "caretaker:1", Images: map[v1.SourceType]string{v1.SourcePostgreSQL: "postgres:18", v1.SourceMySQL: "mysql:9.7"}},
		Secrets: map[string][]string{
			"db": {"username", "password"}, "s3": {"ACCESS_KEY_ID", "ACCESS_SECRET_KEY"},
			"shop-db-app": {"username", "password", "host", "port", "dbname"},
		},
	}
	for _, f := range change {
		f(&v)
	}

	return v
}

func once(v *View) { v.Backup.Spec.Schedule = "" }

// settled has the objects that a first pass made.
func settled(change ...func(*View)) View {
	v := newView(change...)
	v.CronJobs = owned.Objects{}

	for _, made := range Decide(v).Changes {
		switch object := made.(owned.Apply).Object.(type) {
		case *batchv1.CronJob:
			v.CronJobs[owned.Key{Kind: "CronJob", Name: object.Name}] = object
		case *batchv1.Job:
			object.CreationTimestamp = metav1.NewTime(now)
			v.Jobs = append(v.Jobs, *object)
		}
	}

	return v
}

// job is one with a pod that left a result.
func job(v *View, name string, ended time.Time, condition batchv1.JobConditionType, result archiveapi.DumpResult) {
	made := batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(ended.Add(-time.Minute))}}
	if condition != "" {
		made.Status.Conditions = []batchv1.JobCondition{{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(ended), Message: "the Job's own word"}}
	}

	said, err := json.Marshal(result)
	if err != nil {
		panic(err)
	}

	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name + "-x", Labels: map[string]string{batchv1.JobNameLabel: name}}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: string(said)}}}}
	v.Jobs, v.Pods = append(v.Jobs, made), append(v.Pods, pod)
}

func succeeded(name string, ended time.Time) func(*View) {
	return func(v *View) {
		job(v, name, ended, batchv1.JobComplete, archiveapi.DumpResult{
			ID: "id-of-" + name, Database: "app", Started: ended.Add(-90 * time.Second), Completed: ended, DataBytes: 5 << 30, StoredBytes: 3 << 29, Kept: 4,
		})
	}
}

func failed(name string, ended time.Time, why string) func(*View) {
	return func(v *View) { job(v, name, ended, batchv1.JobFailed, archiveapi.DumpResult{Error: why}) }
}

func running(name string) func(*View) {
	return func(v *View) {
		v.Jobs = append(v.Jobs, batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now)}})
	}
}

func changesOf(plan Plan) string {
	var all []string
	for _, change := range plan.Changes {
		all = append(all, change.String())
	}

	return strings.Join(all, ", ")
}

func TestDecide(t *testing.T) {
	t.Parallel()

	ofCluster := func(v *View) {
		v.Backup.Spec.Source.Connection = v1.SourceConnection{ClusterRef: &v1.ClusterReference{Name: "shop-db"}}
	}
	const cronJob, immediate = "create CronJob nightly-cronjob", "create Job nightly-immediate"

	for _, tc := range []struct {
		name    string
		view    View
		changes string
		kind    conditions.Kind
		reason  string
		message string
	}{
		{"new", newView(), cronJob, conditions.Done, "Scheduled", "no dump yet; the next is due at 2026-11-29T02:00:00Z"},
		{"settled", settled(), "", conditions.Done, "Scheduled", "no dump yet"},
		{
			"immediate", newView(func(v *View) { v.Backup.Spec.Immediate = true }), cronJob + ", " + immediate,
			conditions.Waiting, "Dumping", "Waiting for Job nightly-immediate",
		},
		{"once", newView(once), immediate, conditions.Waiting, "Dumping", "nightly-immediate"},
		{"once, settled", settled(once), "", conditions.Waiting, "Dumping", "Waiting for Job nightly-immediate"},
		{
			"once, done", newView(once, succeeded("nightly-immediate", now)), "", conditions.Done, "Completed", "the last dump has 1.5Gi",
		},
		{
			"once, done, and the Job deleted", newView(once, func(v *View) {
				v.Backup.Status.ImmediateJob = "nightly-immediate"
				v.Backup.Status.LastDump = &v1.DumpStatus{ID: "x", CompletedAt: moment(now), Size: "1Gi"}
			}), "", conditions.Done, "Completed", "1Gi",
		},
		{
			"once, failed", newView(once, failed("nightly-immediate", now, "no such host")), "", conditions.Stalled, "DumpFailed",
			"no such host; correct it, and delete the Job nightly-immediate",
		},
		{
			"once, failed, and the Job deleted", newView(once, func(v *View) {
				v.Backup.Status.ImmediateJob = "nightly-immediate"
				v.Backup.Status.LastFailure = &v1.DumpFailure{Job: "nightly-immediate", Time: *moment(now)}
			}), immediate, conditions.Stalled, "DumpFailed", "",
		},
		{"once, the Job deleted while it ran", newView(once, func(v *View) { v.Backup.Status.ImmediateJob = "nightly-immediate" }), "", conditions.Waiting, "Dumping", ""},
		{"suspended", newView(func(v *View) { v.Backup.Spec.Suspend, v.Backup.Spec.Immediate = true, true }), cronJob, conditions.Resting, "Suspended", "spec.suspend"},
		{
			"failed, then well", settled(failed("a", now.Add(-time.Hour), "x"), succeeded("b", now)), "", conditions.Done, "Scheduled",
			"the last dump has 1.5Gi; the next is due at 2026-11-29T02:00:00Z",
		},
		{
			"well, then failed", settled(succeeded("a", now.Add(-time.Hour)), failed("b", now, "the store is full")), "", conditions.Waiting, "DumpFailed",
			"the store is full; the next is due at",
		},
		{"failed, and tried again", settled(failed("a", now, "x"), running("b")), "", conditions.Waiting, "Dumping", "Waiting for Job b"},
		{"well, and the next runs", settled(succeeded("a", now), running("b")), "", conditions.Done, "Scheduled", "1.5Gi"},
		{
			"no word", settled(func(v *View) { failed("a", now, "")(v); v.Pods = nil }), "", conditions.Waiting, "DumpFailed", "the Job's own word",
		},
		{
			"the image is missing", settled(running("a"), func(v *View) {
				pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{batchv1.JobNameLabel: "a"}}}
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "x"}}}}
				v.Pods = append(v.Pods, pod)
			}), "", conditions.Waiting, "Dumping", "its pod cannot start: ErrImagePull: x",
		},
		{"no schedule any more", func() View { v := settled(succeeded("a", now)); once(&v); return v }(), "delete CronJob nightly-cronjob", conditions.Done, "Completed", ""},
		{"a schedule that is none", newView(func(v *View) { v.Backup.Spec.Schedule = "61 * * * *" }), "", conditions.Stalled, "InvalidSchedule", "spec.schedule: "},
		{"a zone that is none", newView(func(v *View) { v.Backup.Spec.TimeZone = "Mars" }), "", conditions.Stalled, "InvalidSchedule", "spec.timeZone: "},
		{"no Secret", newView(func(v *View) { delete(v.Secrets, "db") }), "", conditions.Stalled, "SecretMissing", `spec.source.connection.secretName: there is no Secret "db"`},
		{"no store's Secret", newView(func(v *View) { delete(v.Secrets, "s3") }), "", conditions.Stalled, "SecretMissing", `spec.destination.secretName: there is no Secret "s3"`},
		{"no password", newView(func(v *View) { v.Secrets["db"] = []string{"username"} }), "", conditions.Stalled, "SecretInvalid", "needs the keys username and password"},
		{"no keys", newView(func(v *View) { v.Secrets["s3"] = nil }), "", conditions.Stalled, "SecretInvalid", "needs the keys ACCESS_KEY_ID and ACCESS_SECRET_KEY"},
		{"the other spelling", newView(func(v *View) { v.Secrets["s3"] = []string{"ACCESS_KEY_ID", "SECRET_ACCESS_KEY"} }), cronJob, conditions.Done, "Scheduled", ""},
		{"no image", newView(func(v *View) { v.Backup.Spec.Source.Type = v1.SourceMongoDB }), "", conditions.Stalled, "ImageNotConfigured", "spec.source.image"},
		{
			"MongoDB by URI", newView(func(v *View) {
				v.Backup.Spec.Source.Type, v.Backup.Spec.Source.Image, v.Secrets["db"] = v1.SourceMongoDB, "mongo:8", []string{"uri"}
			}), cronJob, conditions.Done, "Scheduled", "",
		},
		{"no Cluster", newView(ofCluster), "", conditions.Waiting, "SourceMissing", `there is no Cluster "shop-db"`},
		{
			"no MySQL", newView(ofCluster, func(v *View) { v.Backup.Spec.Source.Type = v1.SourceMySQL }), "", conditions.Waiting, "SourceMissing", `there is no MySQL "shop-db"`,
		},
		{"a Cluster that comes up", newView(ofCluster, func(v *View) { v.Cluster = &postgresqlv1.Cluster{} }), "", conditions.Waiting, "WaitingForSource", "Cluster shop-db"},
		{
			"a MySQL", newView(ofCluster, func(v *View) {
				v.Backup.Spec.Source.Type = v1.SourceMySQL
				v.MySQL = &databasev1.MySQL{Status: databasev1.MySQLStatus{Image: "mysql:8.4"}}
			}), cronJob, conditions.Done, "Scheduled", "",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			plan := Decide(tc.view)
			if got := changesOf(plan); got != tc.changes {
				t.Errorf("changes: %q, want %q", got, tc.changes)
			}

			if plan.Outcome.Kind != tc.kind || plan.Outcome.Reason != tc.reason || !strings.Contains(plan.Outcome.Message, tc.message) {
				t.Errorf("outcome %+v", plan.Outcome)
			}

			if plan.Status.ObservedGeneration != 3 {
				t.Errorf("it speaks of generation %d", plan.Status.ObservedGeneration)
			}
		})
	}
}

// TestStatus: what is known of dumps outlives their Jobs.
func TestStatus(t *testing.T) {
	t.Parallel()

	v := settled(succeeded("a", now.Add(-time.Hour)), failed("b", now, "x"))
	status := Decide(v).Status

	want := v1.DumpStatus{
		ID: "id-of-a", Job: "a", Database: "app", StartedAt: moment(now.Add(-time.Hour - 90*time.Second)), CompletedAt: moment(now.Add(-time.Hour)),
		Duration: "1m30s", Size: "1.5Gi", StoredBytes: 3 << 29, DataBytes: 5 << 30,
	}
	if fmt.Sprint(*status.LastDump) != fmt.Sprint(want) || status.Dumps != 4 || status.LastFailure.Job != "b" || status.LastFailure.Message != "x" {
		t.Errorf("status is %+v, %+v", status.LastDump, status)
	}

	if status.CronJob != "nightly-cronjob" || status.DestinationPath != "s3://dumps/shop/nightly" || status.NextScheduleTime.UTC().Hour() != 2 {
		t.Errorf("status is %+v", status)
	}

	v.Backup.Status, v.Jobs, v.Pods = status, nil, nil
	if again := Decide(v).Status; fmt.Sprint(*again.LastDump) != fmt.Sprint(want) || again.LastFailure.Job != "b" {
		t.Errorf("without the Jobs it is %+v", again)
	}
}

// TestEvicted: what Kubernetes ended a pod for says more than how its container ended.
func TestEvicted(t *testing.T) {
	t.Parallel()

	v := settled(failed("a", now, ""))
	pod := &v.Pods[len(v.Pods)-1]
	pod.Status.Reason, pod.Status.Message = "Evicted", "The node was low on resource: ephemeral-storage."
	pod.Status.ContainerStatuses[0].State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "Error"}

	want := "its pod ended without a word: Evicted: The node was low on resource: ephemeral-storage."
	if failure := Decide(v).Status.LastFailure; failure == nil || failure.Message != want {
		t.Errorf("the failure is %+v, want %q", failure, want)
	}
}

// TestPods: no secret is in what everybody may read, and the pod fits the restricted Pod Security Standard.
func TestPods(t *testing.T) {
	t.Parallel()

	made, ok := Decide(newView()).Changes[0].(owned.Apply).Object.(*batchv1.CronJob)
	if !ok {
		t.Fatal("there is no CronJob")
	}

	spec := made.Spec.JobTemplate.Spec.Template.Spec
	container := spec.Containers[0]

	if container.Image != "postgres:18" || spec.InitContainers[0].Image != "caretaker:1" || container.Command[0] != "/opt/caretaker/bin/caretaker-archive" {
		t.Errorf("container is %+v", container)
	}

	var told archiveapi.Dump
	if err := json.Unmarshal([]byte(container.Env[0].Value), &told); err != nil {
		t.Fatal(err)
	}

	if told.Name != "shop/nightly" || told.Source.SSLMode != "prefer" || told.Source.Host != "db.example.com" || told.Store.Prefix != "shop/nightly" || told.Retention != "30d" {
		t.Errorf("it is told %+v", told)
	}

	for _, one := range append(spec.InitContainers, spec.Containers...) {
		security := one.SecurityContext
		if *security.AllowPrivilegeEscalation || !*security.ReadOnlyRootFilesystem || security.Capabilities.Drop[0] != "ALL" || !*spec.SecurityContext.RunAsNonRoot {
			t.Errorf("%s: %+v", one.Name, security)
		}
	}

	if made.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent || *made.Spec.TimeZone != "Etc/UTC" || made.Spec.JobTemplate.Labels["caretaker.dev/dump"] != "nightly" {
		t.Errorf("the CronJob is %+v", made.Spec)
	}
}

// TestVolume: a folder on a claim in place of a bucket.
func TestVolume(t *testing.T) {
	t.Parallel()

	plan := Decide(newView(func(v *View) {
		v.Backup.Spec.Destination = v1.BackupDestination{
			Type: v1.DestinationVolume, PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "attic"},
		}
	}))
	spec := plan.Changes[0].(owned.Apply).Object.(*batchv1.CronJob).Spec.JobTemplate.Spec.Template.Spec

	if plan.Status.DestinationPath != "volume://attic/shop/nightly" || !strings.Contains(spec.Containers[0].Env[0].Value, `"type":"dir","bucket":"/opt/caretaker/dumps"`) {
		t.Errorf("%s, %s", plan.Status.DestinationPath, spec.Containers[0].Env[0].Value)
	}
}

// tested is a dump with a test restore.
func tested(name string, ended time.Time, condition batchv1.JobConditionType, test archiveapi.DumpTest) func(*View) {
	return func(v *View) {
		v.Backup.Spec.Verification = &v1.Verification{TestRestore: true}
		job(v, name, ended, condition, archiveapi.DumpResult{ID: "id-of-" + name, Started: ended.Add(-time.Minute), Completed: ended, StoredBytes: 1 << 20, Test: &test})
	}
}

func TestVerification(t *testing.T) {
	t.Parallel()

	asked := func(v *View) { v.Backup.Spec.Verification = &v1.Verification{TestRestore: true} }
	began, over := now.Add(-30*time.Second), now
	good := archiveapi.DumpTest{Started: began, Completed: over, Server: "postgres 18", Tables: 3, Rows: 7, Checks: []string{"orders"}}
	bad := archiveapi.DumpTest{Started: began, Completed: over, Error: "check orders: it is not true"}
	killed := func(v *View) {
		tested("nightly-immediate", now, batchv1.JobFailed, archiveapi.DumpTest{Started: began, Error: "it did not come to its end"})(v)

		ended := v.Pods[len(v.Pods)-1].Status.ContainerStatuses[0].State.Terminated
		ended.ExitCode, ended.Reason, ended.FinishedAt = 137, "OOMKilled", metav1.NewTime(now)
	}
	// The container of the server ends after the dump's, killed or not.
	beside := func(v *View) {
		pod := &v.Pods[len(v.Pods)-1]
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{
			{Name: "scratch", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}}},
		}
	}

	for _, tc := range []struct {
		name     string
		view     View
		verified string
		kind     conditions.Kind
		message  string
	}{
		{"not asked for", newView(succeeded("a", now)), "", conditions.Done, "the last dump has 1.5Gi"},
		{"no dump yet", newView(asked), "Unknown NotVerified there is no dump yet", conditions.Done, "no dump yet"},
		{"asked for since", newView(asked, succeeded("a", now)), "Unknown NotVerified dump id-of-a was taken without", conditions.Done, "the last dump has 1.5Gi"},
		{
			"good", newView(tested("a", now, batchv1.JobComplete, good), beside),
			"True Verified dump id-of-a was restored into a throw-away server (postgres 18): 3 tables, 7 rows; true: orders", conditions.Done, "the last dump has 1.0Mi; the next",
		},
		{
			"bad", newView(tested("a", now, batchv1.JobComplete, bad)),
			"False VerificationFailed dump id-of-a is in the store, but the test restore failed: check orders: it is not true",
			conditions.Waiting, "check orders: it is not true; the next is due at 2026-11-29T02:00:00Z",
		},
		{
			"bad, once", settled(once, tested("nightly-immediate", now, batchv1.JobComplete, bad)),
			"False VerificationFailed", conditions.Stalled, "correct it, and delete the Job nightly-immediate to have another dump taken",
		},
		{
			"killed meanwhile", settled(once, killed), "False VerificationFailed", conditions.Stalled,
			"the test restore failed: it did not come to its end: its pod ended meanwhile: OOMKilled; correct it",
		},
		{
			"good after bad", newView(tested("a", now.Add(-time.Hour), batchv1.JobComplete, bad), tested("b", now, batchv1.JobComplete, good)),
			"True Verified dump id-of-b", conditions.Done, "the last dump has",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			plan := Decide(tc.view)

			verified := ""
			if v := plan.Verified; v != nil {
				verified = fmt.Sprint(v.Status, " ", v.Reason, " ", v.Message)
			}

			if !strings.HasPrefix(verified, tc.verified) || tc.verified == "" && verified != "" {
				t.Errorf("verified is %q, want %q", verified, tc.verified)
			}

			if plan.Outcome.Kind != tc.kind || !strings.Contains(plan.Outcome.Message, tc.message) {
				t.Errorf("outcome is %+v, want %v %q", plan.Outcome, tc.kind, tc.message)
			}
		})
	}

	// A dump that was taken once, and is not what it should be, is taken again when the user has deleted its Job.
	v := settled(once, tested("nightly-immediate", now, batchv1.JobComplete, bad))
	v.Backup.Status = Decide(v).Status
	v.Jobs, v.Pods = nil, nil

	if got := changesOf(Decide(v)); got != "create Job nightly-immediate" {
		t.Errorf("after the Job was deleted: %q", got)
	}

	v.Backup.Status.LastVerification.Result = v1.VerificationSucceeded
	if got := changesOf(Decide(v)); got != "" {
		t.Errorf("a good one is taken again: %q", got)
	}
}

// TestScratchPods: what a dump may run in the throw-away server sees no Secret and no token, and a restore into a real server has none.
func TestScratchPods(t *testing.T) {
	t.Parallel()

	v := newView(func(v *View) {
		v.Backup.Spec.ServiceAccountName = "dumper"
		v.Backup.Spec.Verification = &v1.Verification{TestRestore: true, Size: "8Gi", Checks: []v1.VerificationCheck{{Name: "orders", SQL: "SELECT true"}}}
	})
	template := Decide(v).Changes[0].(owned.Apply).Object.(*batchv1.CronJob).Spec.JobTemplate.Spec.Template
	scratch := template.Spec.InitContainers[1]

	if scratch.Image != "postgres:18" || *scratch.RestartPolicy != corev1.ContainerRestartPolicyAlways || !*scratch.SecurityContext.ReadOnlyRootFilesystem ||
		strings.Join(scratch.Command[1:], " ") != "dump-scratch --engine=postgresql --dir=/opt/caretaker/scratch --max-bytes=8589934592" {
		t.Errorf("the container is %+v", scratch)
	}

	mounted := map[string]string{}
	for _, mount := range scratch.VolumeMounts {
		mounted[mount.MountPath] = mount.Name
	}

	if len(mounted) != 3 || mounted["/opt/caretaker/bin"] != "bin" || mounted["/opt/caretaker/scratch"] != "scratch" ||
		mounted["/var/run/secrets/kubernetes.io/serviceaccount"] != "nothing" || len(scratch.Env) != 0 {
		t.Errorf("it sees %v, %v", mounted, scratch.Env)
	}

	for _, volume := range template.Spec.Volumes {
		if volume.Name == "scratch" && volume.EmptyDir.SizeLimit.String() != "9Gi" {
			t.Errorf("the volume may grow to %s", volume.EmptyDir.SizeLimit)
		}
	}

	if told := template.Spec.Containers[0].Env[0].Value; !strings.Contains(told, `"verification":{"checks":[{"name":"orders","sql":"SELECT true"}]}`) {
		t.Errorf("it is told %s", told)
	}

	restore := build.RestoreJob(v.Backup, template, build.Restore{Dump: "latest"}).Spec.Template.Spec
	if len(restore.InitContainers) != 1 || strings.Contains(fmt.Sprint(restore), "scratch") {
		t.Errorf("a restore has %+v", restore)
	}
}
