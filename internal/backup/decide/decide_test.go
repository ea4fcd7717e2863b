package decide_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a Cluster of a primary and two replicas that archive, and a Backup of it.
func world() decide.View {
	backup := &v1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "monday", Namespace: "ns", UID: "uid", CreationTimestamp: metav1.NewTime(now.Add(-time.Minute))}}
	backup.Spec.Cluster.Name, backup.Spec.Method = "db", v1.BackupMethodObjectStore

	cluster := &v1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "ns"}}
	cluster.Spec.Backup = &v1.BackupConfiguration{ObjectStore: &v1.ObjectStore{DestinationPath: "s3://bucket/path"}}

	view := decide.View{Now: now, Backup: backup, Cluster: cluster, Instances: map[string]decide.Instance{}}
	for name, role := range map[string]instanceapi.Role{"db-0": instanceapi.RolePrimary, "db-1": instanceapi.RoleReplica, "db-2": instanceapi.RoleReplica} {
		view.Instances[name] = decide.Instance{PodUID: "pod-" + name, Status: &instanceapi.Status{Ready: true, Role: role, Archiving: &instanceapi.Archiving{}}}
	}

	return view
}

// step puts what was decided into the world, as the API server would keep it.
func step(view *decide.View) decide.Plan {
	plan := decide.Decide(*view)
	view.Backup = view.Backup.DeepCopy()
	view.Backup.Status = plan.Status

	return plan
}

// begun is a Backup that its instance has been ordered to take.
func begun(t *testing.T) (decide.View, instanceapi.ArchiveRequest) {
	t.Helper()

	view := world()
	if plan := step(&view); len(plan.Actions) != 0 || plan.Status.InstanceID == nil {
		t.Fatalf("the first pass is to write down who is ordered, and to order nobody: %v", plan.Actions)
	}

	plan := step(&view)
	if len(plan.Actions) != 1 {
		t.Fatalf("actions are %v, want one order", plan.Actions)
	}

	order, ok := plan.Actions[0].(decide.Order)
	if !ok || order.Instance != "db-1" {
		t.Fatalf("%v: want the first replica to be ordered", plan.Actions[0])
	}

	return view, order.Request
}

func answer(view *decide.View, name string, run *instanceapi.ArchiveRun) {
	status := *view.Instances[name].Status
	status.ArchiveRun = run
	view.Instances[name] = decide.Instance{PodUID: view.Instances[name].PodUID, Status: &status}
}

func TestABackupIsTaken(t *testing.T) {
	t.Parallel()

	view, request := begun(t)
	answer(&view, "db-1", &instanceapi.ArchiveRun{
		Request: request.Request, StartedAt: now, Progress: &instanceapi.ArchiveProgress{Step: "Copying", Done: 30, Total: 100},
	})

	if plan := step(&view); plan.Status.Phase != v1.BackupRunning || plan.Status.Progress.Display != "30%" || len(plan.Actions) != 0 {
		t.Errorf("while it runs: phase %s, progress %+v, actions %v", plan.Status.Phase, plan.Status.Progress, plan.Actions)
	}

	ended := now.Add(time.Minute)
	answer(&view, "db-1", &instanceapi.ArchiveRun{Request: request.Request, StartedAt: now, EndedAt: &ended, Backup: &instanceapi.TakenBackup{
		ID: "20260301T120000Z", StartedAt: now, StoppedAt: ended, StoredBytes: 1288490188, Verified: true,
	}})

	plan := step(&view)
	if plan.Outcome.Kind != conditions.Done || plan.Status.BackupID != "20260301T120000Z" || plan.Status.Duration != "1m0s" || plan.Status.Size != "1.2Gi" {
		t.Errorf("at the end: %+v, status %+v", plan.Outcome, plan.Status)
	}

	if !plan.Restorable.True || plan.Restorable.Reason != "ReadBack" {
		t.Errorf("restorable is %+v", plan.Restorable)
	}

	if again := step(&view); len(again.Actions) != 0 || again.After != 0 {
		t.Errorf("a backup that was taken is not left alone: %+v", again)
	}
}

// An attempt that is lost is followed by others, and in the end by a plain failure.
func TestAttemptsAreLost(t *testing.T) {
	t.Parallel()

	for name, lose := range map[string]func(*decide.View, string){
		"the pod is gone": func(v *decide.View, _ string) { delete(v.Instances, v.Backup.Status.InstanceID.PodName) },
		"the pod was made again": func(v *decide.View, _ string) {
			v.Instances["db-1"] = decide.Instance{PodUID: "another", Status: v.Instances["db-1"].Status}
		},
		"the instance says nothing": func(v *decide.View, _ string) {
			v.Instances["db-1"] = decide.Instance{PodUID: "pod-db-1", SilentSince: now.Add(-time.Hour)}
		},
		"the instance failed": func(v *decide.View, request string) {
			answer(v, "db-1", &instanceapi.ArchiveRun{Request: request, EndedAt: &now, Error: "403 Forbidden"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			view, request := begun(t)
			lose(&view, request.Request)

			plan := step(&view)
			if plan.Status.InstanceID != nil || plan.Status.StoppedAt != nil || plan.Status.Error == "" || plan.Outcome.Kind != conditions.Waiting {
				t.Fatalf("after a lost attempt: %+v, status %+v", plan.Outcome, plan.Status)
			}

			if name == "the instance failed" && !strings.Contains(plan.Status.Error, "403 Forbidden") {
				t.Errorf("the cause is not told: %s", plan.Status.Error)
			}
		})
	}
}

func TestABackupFailsAfterThreeAttempts(t *testing.T) {
	t.Parallel()

	view := world()

	for range 3 {
		view.Now = view.Now.Add(time.Minute)
		step(&view)
		order := step(&view)

		request, ok := order.Actions[0].(decide.Order)
		if !ok {
			t.Fatalf("not ordered: %v", order.Actions)
		}

		answer(&view, request.Instance, &instanceapi.ArchiveRun{Request: request.Request.Request, EndedAt: &now, Error: "the bucket is full"})
		step(&view)
	}

	plan := decide.Decide(view)
	if plan.Outcome.Kind != conditions.Stalled || plan.Status.Phase != v1.BackupFailed || !strings.Contains(plan.Outcome.Message, "the bucket is full") {
		t.Errorf("after three attempts: %+v, status %+v", plan.Outcome, plan.Status)
	}

	if plan.Restorable.True || plan.Restorable.Reason == "" {
		t.Errorf("restorable is %+v", plan.Restorable)
	}
}

// An instance that was told and has forgotten has been started anew: it is not told the same again.
func TestAnInstanceThatForgot(t *testing.T) {
	t.Parallel()

	view, request := begun(t)
	answer(&view, "db-1", &instanceapi.ArchiveRun{Request: request.Request, StartedAt: now})
	step(&view)
	answer(&view, "db-1", nil)

	if plan := step(&view); len(plan.Actions) != 0 || plan.Status.InstanceID != nil {
		t.Errorf("actions %v, instance %v: want the attempt to be lost", plan.Actions, plan.Status.InstanceID)
	}
}

func TestWhoIsBackedUp(t *testing.T) {
	t.Parallel()

	unready := func(names ...string) func(*decide.View) {
		return func(v *decide.View) {
			for _, name := range names {
				status := *v.Instances[name].Status
				status.Ready = false
				v.Instances[name] = decide.Instance{PodUID: "pod-" + name, Status: &status}
			}
		}
	}

	for _, tc := range []struct {
		name   string
		change func(*decide.View)
		want   string
	}{
		{"a replica by preference", func(*decide.View) {}, "db-1"},
		{"another replica", unready("db-1"), "db-2"},
		{"the primary if no replica streams", unready("db-1", "db-2"), "db-0"},
		{"nobody", unready("db-0", "db-1", "db-2"), ""},
		{"the primary on request", func(v *decide.View) { v.Backup.Spec.Target = v1.BackupTargetPrimary }, "db-0"},
		{"the primary as the Cluster has it", func(v *decide.View) { v.Cluster.Spec.Backup.Target = v1.BackupTargetPrimary }, "db-0"},
		{"one that is not busy", func(v *decide.View) { answer(v, "db-1", &instanceapi.ArchiveRun{Request: "other"}) }, "db-2"},
		{"no Cluster", func(v *decide.View) { v.Cluster = nil }, ""},
		{"no archive", func(v *decide.View) { v.Cluster.Spec.Backup = nil }, ""},
		{"snapshots where there are none", func(v *decide.View) {
			v.Backup.Spec.Method, v.Snapshots = v1.BackupMethodVolumeSnapshot, &decide.Snapshots{}
		}, ""},
		{"an older one comes first", func(v *decide.View) {
			v.Siblings = []v1.Backup{{ObjectMeta: metav1.ObjectMeta{Name: "sunday", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}}}
		}, ""},
		{"a newer one does not", func(v *decide.View) {
			v.Siblings = []v1.Backup{{ObjectMeta: metav1.ObjectMeta{Name: "tuesday", CreationTimestamp: metav1.NewTime(now)}}}
		}, "db-1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			view := world()
			tc.change(&view)
			plan := decide.Decide(view)

			got := ""
			if plan.Status.InstanceID != nil {
				got = plan.Status.InstanceID.PodName
			}

			if got != tc.want || plan.Outcome.Message == "" {
				t.Errorf("%q is backed up, want %q; it says %q", got, tc.want, plan.Outcome.Message)
			}
		})
	}
}

// Deleting the object deletes what is stored only where the policy says so, and never silently.
func TestReclaim(t *testing.T) {
	t.Parallel()

	deleted := func(policy v1.BackupReclaimPolicy) decide.View {
		view := world()
		stopped := metav1.NewTime(now.Add(-time.Hour))
		view.Backup.Spec.ReclaimPolicy = policy
		view.Backup.Status.StoppedAt, view.Backup.Status.BackupID = &stopped, "20260301T110000Z"

		return view
	}

	view := deleted(v1.BackupReclaimDelete)
	if plan := decide.Decide(view); len(plan.Actions) != 1 || plan.Actions[0] != (decide.SetFinalizer{Present: true}) {
		t.Fatalf("a backup to be deleted with its object: %v", plan.Actions)
	}

	at := metav1.NewTime(now)
	view.Backup.Finalizers, view.Backup.DeletionTimestamp = []string{decide.Finalizer}, &at

	plan := decide.Decide(view)
	order, ok := plan.Actions[0].(decide.Order)

	if !ok || order.Request.Task != instanceapi.TaskDelete || order.Request.BackupID != "20260301T110000Z" {
		t.Fatalf("the stored backup is not deleted: %v", plan.Actions)
	}

	answer(&view, order.Instance, &instanceapi.ArchiveRun{Request: order.Request.Request, EndedAt: &now})

	if plan := decide.Decide(view); len(plan.Actions) != 1 || plan.Actions[0] != (decide.SetFinalizer{}) {
		t.Errorf("the object is not let go: %v", plan.Actions)
	}

	if plan := decide.Decide(deleted(v1.BackupReclaimRetain)); len(plan.Actions) != 0 {
		t.Errorf("a retained backup is touched: %v", plan.Actions)
	}
}

// TestReclaimElsewhere: the Cluster archives into another folder by now. No instance is told to delete there, and what stays is told.
func TestReclaimElsewhere(t *testing.T) {
	t.Parallel()

	view := world()
	at := metav1.NewTime(now.Add(-time.Hour))
	view.Backup.Spec.ReclaimPolicy = v1.BackupReclaimDelete
	view.Backup.Finalizers, view.Backup.DeletionTimestamp = []string{decide.Finalizer}, &at
	view.Backup.Status = v1.BackupStatus{
		StoppedAt: &at, BackupID: "20260301T110000Z", ServerName: "db", DestinationPath: "s3://bucket/path", ObjectStore: view.Cluster.Spec.Backup.ObjectStore,
	}
	view.Cluster.Spec.Backup = &v1.BackupConfiguration{ObjectStore: &v1.ObjectStore{DestinationPath: "s3://bucket/path", ServerName: "db-2"}}

	plan := decide.Decide(view)
	if len(plan.Actions) != 1 || plan.Actions[0] != (decide.SetFinalizer{}) {
		t.Errorf("actions are %v", plan.Actions)
	}

	if !strings.Contains(plan.Left, "20260301T110000Z stays in s3://bucket/path, folder db") {
		t.Errorf("left is %q", plan.Left)
	}
}

func TestADrillDecidesWhetherItIsRestorable(t *testing.T) {
	t.Parallel()

	view := world()
	stopped := metav1.NewTime(now.Add(-time.Hour))
	view.Backup.Status.StoppedAt, view.Backup.Status.BackupID = &stopped, "20260301T110000Z"
	view.Drill = &v1.DrillStatus{StoppedAt: &stopped, Message: "check rows: it is not true"}

	plan := step(&view)
	if plan.Restorable.True || !strings.Contains(plan.Restorable.Message, "it is not true") {
		t.Errorf("after a drill that failed: %+v", plan.Restorable)
	}

	view.Drill = &v1.DrillStatus{StoppedAt: &stopped, Succeeded: true}
	if plan := step(&view); !plan.Restorable.True || plan.Restorable.Reason != v1.ReasonVerified {
		t.Errorf("after a drill that succeeded: %+v", plan.Restorable)
	}
}

// TestOriginIsKept: what another Cluster cannot be made without, in the image that runs and with what volumes have grown by.
func TestOriginIsKept(t *testing.T) {
	view := world()
	view.Cluster.Spec.Instances, view.Cluster.Spec.Storage.Size = 3, "10Gi"
	view.Cluster.Spec.Bootstrap = &v1.BootstrapConfiguration{InitDB: &v1.BootstrapInitDB{Database: "goods", Owner: "keeper"}}
	view.Cluster.Status.Image, view.Cluster.Status.StorageSize = "postgres:17.2", "15Gi"

	origin := step(&view).Status.Origin
	if origin == nil || *origin != (v1.BackupOrigin{Image: "postgres:17.2", Instances: 3, StorageSize: "15Gi", Database: "goods", Owner: "keeper"}) {
		t.Errorf("it keeps %+v", origin)
	}
}
