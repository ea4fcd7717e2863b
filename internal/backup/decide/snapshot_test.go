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

// snapshotWorld has volumes whose driver takes snapshots.
func snapshotWorld() decide.View {
	view := world()
	view.Backup.Spec.Method = v1.BackupMethodVolumeSnapshot
	view.Snapshots = &decide.Snapshots{
		Served: true, Classes: []decide.SnapshotClass{{Name: "csi", Driver: "csi.example"}}, Drivers: map[string]decide.VolumeDriver{},
	}

	for name := range view.Instances {
		view.Snapshots.Drivers[name] = decide.VolumeDriver{Class: "fast", Driver: "csi.example"}
	}

	return view
}

func request(view decide.View) string { return string(view.Backup.UID) + "/1" }

// only is the one action of a plan, and fails the test if there are others.
func only[A decide.Action](t *testing.T, plan decide.Plan) (action A) {
	t.Helper()

	if len(plan.Actions) != 1 {
		t.Fatalf("actions are %v, want one", plan.Actions)
	}

	action, ok := plan.Actions[0].(A)
	if !ok {
		t.Fatalf("the action is %v, want a %T", plan.Actions[0], action)
	}

	return action
}

// waiting is a Backup whose instance waits for the snapshot.
func waiting(t *testing.T) decide.View {
	t.Helper()

	view := snapshotWorld()
	step(&view)
	view.Backup.Finalizers = []string{decide.Finalizer}

	if order := only[decide.Order](t, step(&view)); order.Request.Task != instanceapi.TaskSnapshot {
		t.Fatalf("ordered is %s", order.Request.Task)
	}

	answer(&view, "db-1", &instanceapi.ArchiveRun{
		Request: request(view), Task: instanceapi.TaskSnapshot, StartedAt: now, Progress: &instanceapi.ArchiveProgress{Step: "AwaitingSnapshot"},
	})

	return view
}

// taken lets the instance have ended.
func taken(view *decide.View) {
	ended := now.Add(time.Minute)
	answer(view, "db-1", &instanceapi.ArchiveRun{
		Request: request(*view), Task: instanceapi.TaskSnapshot, StartedAt: now, EndedAt: &ended,
		Backup: &instanceapi.TakenBackup{ID: "20260301T120000Z", BeginLSN: "0/2000028", StartedAt: now, StoppedAt: ended, Verified: true},
	})
}

// The instance is let go once the snapshot is cut, and not before; the Backup is complete once it can be used.
func TestSnapshotIsTaken(t *testing.T) {
	t.Parallel()

	view := waiting(t)
	named := view.Backup.Status.Snapshot.Name

	made := only[decide.CreateSnapshot](t, step(&view))
	if made.Instance != "db-1" || made.Snapshot.ClassName != "csi" || made.Snapshot.Name != named || !strings.HasPrefix(named, "monday-") {
		t.Errorf("made is %+v", made)
	}

	view.Snapshots.Snapshot = &decide.Snapshot{UID: "s", Error: "no room"}
	if plan := step(&view); len(plan.Actions) > 0 || !strings.Contains(plan.Outcome.Message, "no room") {
		t.Errorf("while it is not cut: %v, %s", plan.Actions, plan.Outcome.Message)
	}

	view.Snapshots.Snapshot = &decide.Snapshot{UID: "s", Taken: true}

	plan := step(&view)
	if word := only[decide.Order](t, plan); word.Request.Task != instanceapi.TaskSnapshotTaken || word.Instance != "db-1" || plan.Status.Snapshot.TakenAt == nil {
		t.Errorf("told is %+v, taken at %v", word, plan.Status.Snapshot.TakenAt)
	}

	taken(&view)

	if plan := step(&view); plan.Status.StoppedAt != nil || plan.Status.BackupID == "" {
		t.Errorf("before it is ready: %+v", plan.Status)
	}

	// What it needs of the archive is written down: the instance may go.
	delete(view.Instances, "db-1")

	noted := only[decide.AnnotateSnapshot](t, step(&view))
	view.Snapshots.Snapshot.Annotation = noted.Value

	if plan := step(&view); len(plan.Actions) > 0 || plan.Status.StoppedAt != nil {
		t.Errorf("before it is ready: %v, %+v", plan.Actions, plan.Status)
	}

	view.Snapshots.Snapshot.Ready, view.Snapshots.Snapshot.RestoreSize = true, "2Gi"

	plan = step(&view)
	if plan.Outcome.Kind != conditions.Done || !plan.Restorable.True || plan.Status.Size != "2Gi" || plan.Status.Attempts != 1 {
		t.Errorf("at the end: %+v, %+v, %+v", plan.Outcome, plan.Restorable, plan.Status)
	}

	// The finalizer goes: by default the snapshot stays.
	if only[decide.SetFinalizer](t, plan).Present {
		t.Error("the finalizer stays")
	}
}

// An attempt that is lost has its snapshot deleted before the next one begins, and the last one's, too.
func TestSnapshotOfALostAttempt(t *testing.T) {
	t.Parallel()

	for name, lose := range map[string]func(view *decide.View){
		"its instance is gone":       func(view *decide.View) { delete(view.Instances, "db-1") },
		"its instance has forgotten": func(view *decide.View) { answer(view, "db-1", nil) },
		"nobody told it": func(view *decide.View) {
			ended := now
			answer(view, "db-1", &instanceapi.ArchiveRun{Request: request(*view), EndedAt: &ended, Error: "nobody has said"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			view := waiting(t)
			step(&view)

			first := view.Backup.Status.Snapshot.Name
			view.Snapshots.Snapshot = &decide.Snapshot{UID: "s"}
			lose(&view)

			if plan := step(&view); plan.Status.InstanceID != nil || plan.Status.Snapshot == nil {
				t.Fatalf("the status is %+v", plan.Status)
			}

			view.Now = now.Add(time.Hour)

			plan := step(&view)
			if gone := only[decide.DeleteSnapshot](t, plan); gone.Name != first || gone.UID != "s" || plan.Status.InstanceID != nil {
				t.Errorf("deleted is %+v, and the next one is at %v", gone, plan.Status.InstanceID)
			}

			view.Snapshots.Snapshot.Deleting = true
			if plan := step(&view); len(plan.Actions) > 0 || plan.Status.InstanceID != nil {
				t.Errorf("while it goes: %v, %+v", plan.Actions, plan.Status)
			}

			view.Snapshots.Snapshot = nil
			if plan := step(&view); plan.Status.InstanceID == nil || plan.Status.Snapshot.Name == first {
				t.Errorf("the next attempt is %+v", plan.Status)
			}
		})
	}
}

// A snapshot that somebody deletes is no backup; nor is one that never becomes ready.
func TestSnapshotThatIsNone(t *testing.T) {
	t.Parallel()

	for name, change := range map[string]func(view *decide.View){
		"deleted":     func(view *decide.View) { view.Snapshots.Snapshot = nil },
		"never ready": func(view *decide.View) { view.Now = now.Add(7 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			view := waiting(t)
			view.Snapshots.Snapshot = &decide.Snapshot{UID: "s", Taken: true}
			step(&view)
			taken(&view)
			step(&view)
			view.Snapshots.Snapshot.Annotation = only[decide.AnnotateSnapshot](t, step(&view)).Value
			change(&view)

			if plan := step(&view); plan.Status.Error == "" || plan.Status.BackupID != "" || plan.Restorable.True {
				t.Errorf("the status is %+v", plan.Status)
			}
		})
	}
}

// Where snapshots cannot be had, the message names what is missing.
func TestSnapshotClassIsChosen(t *testing.T) {
	t.Parallel()

	classes := func(classes ...decide.SnapshotClass) func(*decide.View) {
		return func(v *decide.View) { v.Snapshots.Classes = classes }
	}

	for name, tc := range map[string]struct {
		change  func(*decide.View)
		want    string
		message string
	}{
		"the only one":    {func(*decide.View) {}, "csi", ""},
		"the default one": {classes(decide.SnapshotClass{Name: "a", Driver: "csi.example"}, decide.SnapshotClass{Name: "b", Driver: "csi.example", Default: true}), "b", ""},
		"the named one": {func(v *decide.View) {
			classes(decide.SnapshotClass{Name: "a", Driver: "csi.example"}, decide.SnapshotClass{Name: "b", Driver: "csi.example", Default: true})(v)
			v.Cluster.Spec.Backup.VolumeSnapshot = &v1.VolumeSnapshotConfiguration{ClassName: "a"}
		}, "a", ""},
		"several":          {classes(decide.SnapshotClass{Name: "a", Driver: "csi.example"}, decide.SnapshotClass{Name: "b", Driver: "csi.example"}), "", "(a, b); name one in spec.backup.volumeSnapshot.className"},
		"none":             {classes(decide.SnapshotClass{Name: "a", Driver: "other"}), "", "there is no VolumeSnapshotClass of driver csi.example"},
		"no driver":        {func(v *decide.View) { v.Snapshots.Drivers = nil }, "", "no driver is known"},
		"kinds are absent": {func(v *decide.View) { v.Snapshots.Served = false }, "", "are not installed in this Kubernetes cluster"},
		"no archive":       {func(v *decide.View) { v.Cluster.Spec.Backup = nil }, "", "has no archive to back up to"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			view := snapshotWorld()
			tc.change(&view)
			plan := decide.Decide(view)

			got := ""
			if plan.Status.Snapshot != nil {
				got = plan.Status.Snapshot.ClassName
			}

			if got != tc.want || !strings.Contains(plan.Outcome.Message, tc.message) || tc.want == "" && (plan.Outcome.Kind != conditions.Stalled || plan.After == 0) {
				t.Errorf("chosen is %q, want %q; it says %v %q", got, tc.want, plan.Outcome.Kind, plan.Outcome.Message)
			}
		})
	}
}

// Deleting the object deletes the snapshot first where the policy says so, and then what the archive has.
func TestReclaimSnapshot(t *testing.T) {
	t.Parallel()

	view := snapshotWorld()
	at := metav1.NewTime(now)
	view.Backup.Spec.ReclaimPolicy, view.Backup.Finalizers, view.Backup.DeletionTimestamp = v1.BackupReclaimDelete, []string{decide.Finalizer}, &at
	view.Backup.Status = v1.BackupStatus{
		StoppedAt: &at, BackupID: "20260301T120000Z", Snapshot: &v1.BackupSnapshot{Name: "monday-1", TakenAt: &at},
		InstanceID: &v1.BackupInstance{PodName: "db-1", PodUID: "pod-db-1"},
	}
	view.Snapshots.Snapshot = &decide.Snapshot{UID: "s", Taken: true, Ready: true}

	if gone := only[decide.DeleteSnapshot](t, decide.Decide(view)); gone.Name != "monday-1" {
		t.Errorf("deleted is %+v", gone)
	}

	kept := view
	kept.Backup = view.Backup.DeepCopy()
	kept.Backup.Spec.ReclaimPolicy = v1.BackupReclaimRetain

	if only[decide.SetFinalizer](t, decide.Decide(kept)).Present {
		t.Error("by policy Retain the object does not go")
	}

	// Without the Cluster nobody reaches the archive, but the snapshot goes.
	orphan := view
	orphan.Cluster = nil
	only[decide.DeleteSnapshot](t, decide.Decide(orphan))

	view.Snapshots = &decide.Snapshots{}
	if order := only[decide.Order](t, decide.Decide(view)); order.Request.Task != instanceapi.TaskDelete {
		t.Errorf("ordered is %+v", order)
	}

	view.Now = now.Add(time.Hour)
	view.Snapshots.Snapshot = &decide.Snapshot{UID: "s"}

	if plan := decide.Decide(view); !strings.Contains(plan.Left, "monday-1") {
		t.Errorf("too late, it says %q", plan.Left)
	}
}
