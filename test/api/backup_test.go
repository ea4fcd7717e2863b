package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

const (
	conditionReconciling = "Reconciling"
	conditionStalled     = "Stalled"
)

// TestBackupWaitsForItsCluster: it says what is missing, and goes on by itself once it is there.
func TestBackupWaitsForItsCluster(t *testing.T) {
	t.Parallel()

	w := newBackupWorld(t)
	w.create(t, newBackup())
	w.settle(t)

	wantCondition(t, w.backup(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonClusterMissing, `there is no Cluster "shop"`)
	wantCondition(t, w.backup(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonClusterMissing, "create it, or correct spec.cluster.name")

	if phase := w.backup(t).Status.Phase; phase != postgresqlv1.BackupPending {
		t.Errorf("the phase is %q", phase)
	}

	w.addCluster(t, nil)
	w.settle(t)
	wantCondition(t, w.backup(t).Status.Conditions, conditionStalled, postgresqlv1.ReasonBackupNotConfigured, "set its spec.backup.objectStore")

	cluster := &postgresqlv1.Cluster{}
	w.get(t, "shop", cluster)
	cluster.Spec.Backup = &postgresqlv1.BackupConfiguration{ObjectStore: &postgresqlv1.ObjectStore{DestinationPath: "s3://bucket/path"}}

	if err := w.server.Client.Update(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}

	w.instances.do(func() {
		w.instances.status[backupPrimary].Ready, w.instances.status[backupReplica].Ready = false, false
	})
	w.settle(t)
	wantCondition(t, w.backup(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonNoInstance, "no instance of Cluster shop is ready")

	w.instances.do(func() { w.instances.status[backupPrimary].Ready = true })
	w.settle(t)
	w.wantTaken(t, backupPrimary)
}

// wantTaken demands what a user of a backup that was taken reads.
func (w *backupWorld) wantTaken(t *testing.T, instance string) {
	t.Helper()

	status := w.backup(t).Status
	wantCondition(t, status.Conditions, "Ready", postgresqlv1.ReasonBackupCompleted, "20260301T120000Z was taken from "+instance)
	wantCondition(t, status.Conditions, postgresqlv1.ConditionRestorable, "ReadBack", "checksums are right")

	if !meta.IsStatusConditionTrue(status.Conditions, postgresqlv1.ConditionRestorable) || meta.FindStatusCondition(status.Conditions, conditionReconciling) != nil {
		t.Errorf("conditions are %+v", status.Conditions)
	}

	if status.Phase != postgresqlv1.BackupCompleted || status.Size != "1.2Gi" || status.Duration != "4m10s" || status.Error != "" {
		t.Errorf("phase %s, size %s, duration %s, error %q", status.Phase, status.Size, status.Duration, status.Error)
	}

	if status.BackupID != "20260301T120000Z" || status.BeginWal == "" || status.EndLSN == "" || status.ServerName != "shop" ||
		status.ObjectStore == nil || status.ObjectStore.DestinationPath != "s3://bucket/path" {
		t.Errorf("where it is, and what it needs: %+v", status)
	}
}

// TestBackupIsTaken: from the manifest to the end, as kubectl get --watch shows it.
func TestBackupIsTaken(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	w.create(t, newBackup())

	w.pass(t, 1)

	if status := w.backup(t).Status; status.Phase != postgresqlv1.BackupStarted || status.InstanceID.PodName != backupReplica || len(w.instances.orders) > 0 {
		t.Fatalf("first it is written down who is to be ordered: phase %s of %+v, orders %v", status.Phase, status.InstanceID, w.instances.orders)
	}

	w.pass(t, 1)
	w.instances.turn()
	w.pass(t, 1)

	status := w.backup(t).Status
	if status.Phase != postgresqlv1.BackupRunning || status.Progress == nil || status.Progress.Display != "40%" || status.Progress.Step != "Copying" {
		t.Errorf("under way: phase %s, progress %+v", status.Phase, status.Progress)
	}

	wantCondition(t, status.Conditions, "Ready", postgresqlv1.ReasonBackupRunning, "Backing up "+backupReplica)

	w.settle(t)
	w.wantTaken(t, backupReplica)

	if got := w.instances.orders; !slices.Equal(got, []string{"backup " + backupReplica}) {
		t.Errorf("orders: %v", got)
	}

	w.wantEvents(t, "Normal Started Backup: backing up "+backupReplica,
		"Normal Completed Backup: 20260301T120000Z was taken from "+backupReplica+" in 4m10s: 1.2Gi in the store")
}

// wantEvents demands these events, in this order, and no others.
func (w *backupWorld) wantEvents(t *testing.T, want ...string) {
	t.Helper()

	if got := w.events.notes; !slices.Equal(got, want) {
		t.Errorf("events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestBackupsAsKubectlShowsThem: what it is, how long it took, how large it is, whether it can be restored and why.
func TestBackupsAsKubectlShowsThem(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	w.create(t, newBackup())
	w.pass(t, 2)
	w.instances.turn()
	w.pass(t, 1)
	w.wantRow(t, map[string]string{"Cluster": "shop", "Method": "objectStore", "Phase": "running", "Progress": "40%"})

	w.settle(t)
	w.wantRow(t, map[string]string{
		"Cluster": "shop", "Method": "objectStore", "Phase": "completed", "Size": "1.2Gi", "Duration": "4m10s", "Restorable": "True", "Why": "ReadBack",
		"Instance": backupReplica, "ID": "20260301T120000Z", "Message": "20260301T120000Z was taken from " + backupReplica,
	})
}

// wantRow demands cells of the only row that kubectl get backups -o wide prints.
func (w *backupWorld) wantRow(t *testing.T, want map[string]string) {
	t.Helper()

	httpClient, err := rest.HTTPClientFor(w.server.Config)
	if err != nil {
		t.Fatal(err)
	}

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		w.server.Config.Host+"/apis/postgresql.caretaker.dev/v1/namespaces/"+w.namespace+"/backups", nil)
	if err != nil {
		t.Fatal(err)
	}

	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")

	answer, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // only read

	var table metav1.Table
	if err := json.NewDecoder(answer.Body).Decode(&table); err != nil || len(table.Rows) != 1 {
		t.Fatalf("%d rows, %v", len(table.Rows), err)
	}

	for i, column := range table.ColumnDefinitions {
		cell := fmt.Sprint(table.Rows[0].Cells[i])
		if wanted, ok := want[column.Name]; ok && cell != wanted {
			t.Errorf("%s is %q, want %q", column.Name, cell, wanted)
		}

		delete(want, column.Name)
	}

	if len(want) > 0 {
		t.Errorf("there are no columns for %v", want)
	}
}

// TestBackupFromWhereItIsWanted: the target of the Backup goes before that of the Cluster.
func TestBackupFromWhereItIsWanted(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	w.create(t, newBackup(func(spec *postgresqlv1.BackupSpec) { spec.Target = postgresqlv1.BackupTargetPrimary }))
	w.settle(t)
	w.wantTaken(t, backupPrimary)
}

// TestBackupsOfAClusterComeOneAfterTheOther, the oldest first.
func TestBackupsOfAClusterComeOneAfterTheOther(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	other := newBackup()
	other.Name = "a-first"
	w.add(t, other)

	at := metav1.NewTime(backupTime())
	other.Status = postgresqlv1.BackupStatus{
		Phase: postgresqlv1.BackupRunning, StartedAt: &at, Attempts: 1, InstanceID: &postgresqlv1.BackupInstance{PodName: backupPrimary},
	}
	w.writeStatus(t, other)

	w.create(t, newBackup())
	w.settle(t)
	wantCondition(t, w.backup(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonBackupQueued, "Backup a-first of the same Cluster comes first")

	other.Status.StoppedAt = &at
	w.writeStatus(t, other)
	w.settle(t)
	w.wantTaken(t, backupReplica)
}

// TestBackupIsTriedAgain: an attempt that is lost is followed by another, on an instance that is left.
func TestBackupIsTriedAgain(t *testing.T) {
	t.Parallel()

	for name, lose := range map[string]struct {
		it      func(t *testing.T, w *backupWorld)
		message string
		next    string
	}{
		"its pod is gone": {func(t *testing.T, w *backupWorld) {
			t.Helper()
			w.removeInstance(t, backupReplica)
		}, backupReplica + " is gone", backupPrimary},
		"its pod was made again": {func(t *testing.T, w *backupWorld) {
			t.Helper()
			w.removeInstance(t, backupReplica)
			w.addInstance(t, backupReplica, instanceapi.RoleReplica)
		}, backupReplica + " is gone", backupReplica},
		"PID 1 was started anew": {func(_ *testing.T, w *backupWorld) {
			w.instances.do(func() { w.instances.status[backupReplica].ArchiveRun = nil })
		}, backupReplica + " was started anew", backupReplica},
		"it failed": {func(_ *testing.T, w *backupWorld) {
			w.instances.do(func() { w.instances.failures, w.instances.stuck = []string{"put pack 3: 403 Forbidden"}, false })
		}, backupReplica + ": put pack 3: 403 Forbidden", backupReplica},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := archivingWorld(t)
			w.create(t, newBackup())
			w.pass(t, 2)
			w.instances.turn()
			w.pass(t, 1)
			w.instances.do(func() { w.instances.stuck = true })

			lose.it(t, w)
			w.instances.turn()
			w.pass(t, 1)
			wantCondition(t, w.backup(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonBackupRunning, "attempt 1 of 3 failed: "+lose.message)

			w.instances.do(func() { w.instances.stuck = false })
			w.settle(t)

			if status := w.backup(t).Status; status.Attempts != 1 || status.Phase != postgresqlv1.BackupPending {
				t.Errorf("without a pause there are %d attempts, phase %s", status.Attempts, status.Phase)
			}

			w.after(t, time.Minute)
			w.wantTaken(t, lose.next)

			if attempts := w.backup(t).Status.Attempts; attempts != 2 {
				t.Errorf("%d attempts", attempts)
			}
		})
	}
}

// TestBackupOfASilentInstance is waited for before it counts as lost.
func TestBackupOfASilentInstance(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	w.create(t, newBackup())
	w.pass(t, 2)

	r := w.make(t, crash.NewProcess(w.server.Client, 0))
	w.instances.do(func() { w.instances.silent = map[string]bool{backupReplica: true} })

	for _, want := range []struct {
		after   time.Duration
		message string
	}{
		{0, "Waiting for shop-1, which does not answer"},
		{time.Minute, "Waiting for shop-1, which does not answer"},
		{3 * time.Minute, "attempt 1 of 3 failed: shop-1 does not answer"},
	} {
		w.clock.SetTime(backupTime().Add(want.after))

		if _, err := r.Reconcile(t.Context(), w.request()); err != nil {
			t.Fatal(err)
		}

		wantCondition(t, w.backup(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonBackupRunning, want.message)
	}
}

// TestBackupFails in the end, says why, and is left alone.
func TestBackupFails(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	w.instances.failures = slices.Repeat([]string{"put pack 3: 403 Forbidden"}, 3)
	w.create(t, newBackup(reclaimed))
	w.settle(t)
	w.after(t, time.Minute)
	w.after(t, time.Minute)

	status := w.backup(t).Status
	wantCondition(t, status.Conditions, conditionStalled, postgresqlv1.ReasonBackupFailed, "attempt 3 of 3 failed: shop-1: put pack 3: 403 Forbidden; create another Backup")
	wantCondition(t, status.Conditions, postgresqlv1.ConditionRestorable, postgresqlv1.ReasonBackupFailed, "there is no backup")

	if status.Phase != postgresqlv1.BackupFailed || meta.IsStatusConditionTrue(status.Conditions, postgresqlv1.ConditionRestorable) {
		t.Errorf("phase %s, conditions %+v", status.Phase, status.Conditions)
	}

	w.wantEvents(t,
		"Normal Started Backup: backing up shop-1", "Warning AttemptFailed Backup: attempt 1 of 3 failed: shop-1: put pack 3: 403 Forbidden",
		"Normal Started Backup: backing up shop-1", "Warning AttemptFailed Backup: attempt 2 of 3 failed: shop-1: put pack 3: 403 Forbidden",
		"Normal Started Backup: backing up shop-1", "Warning Failed Backup: attempt 3 of 3 failed: shop-1: put pack 3: 403 Forbidden")

	before := w.backup(t).ResourceVersion
	w.after(t, time.Hour)

	if w.backup(t).ResourceVersion != before || len(w.instances.orders) != 3 {
		t.Errorf("it is not left alone: orders %v", w.instances.orders)
	}

	w.remove(t)
	w.wantGone(t)
}

// remove has the user delete the Backup.
func (w *backupWorld) remove(t *testing.T) {
	t.Helper()

	if err := w.server.Client.Delete(t.Context(), w.backup(t)); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
}

func (w *backupWorld) wantGone(t *testing.T) {
	t.Helper()

	object := &postgresqlv1.Backup{}
	if w.get(t, "shop", object) {
		t.Errorf("the Backup is still there, with finalizers %v: %+v", object.Finalizers, object.Status.Conditions)
	}
}

// TestReclaimPolicy: what becomes of the stored backup when its object is deleted.
func TestReclaimPolicy(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		begin  postgresqlv1.BackupReclaimPolicy
		change postgresqlv1.BackupReclaimPolicy
		kept   bool
	}{
		"default":             {"", "", true},
		"Retain":              {postgresqlv1.BackupReclaimRetain, "", true},
		"Delete":              {postgresqlv1.BackupReclaimDelete, "", false},
		"Delete, then Retain": {postgresqlv1.BackupReclaimDelete, postgresqlv1.BackupReclaimRetain, true},
		"Retain, then Delete": {postgresqlv1.BackupReclaimRetain, postgresqlv1.BackupReclaimDelete, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := archivingWorld(t)
			w.create(t, newBackup(func(spec *postgresqlv1.BackupSpec) { spec.ReclaimPolicy = tc.begin }))
			w.settle(t)
			w.wantTaken(t, backupReplica)

			if tc.change != "" {
				object := w.backup(t)
				object.Spec.ReclaimPolicy = tc.change

				if err := w.server.Client.Update(t.Context(), object); err != nil {
					t.Fatal(err)
				}

				w.settle(t)
			}

			w.remove(t)
			w.wantGone(t)

			if kept := len(w.instances.stored) > 0; kept != tc.kept {
				t.Errorf("in the store is %v", w.instances.stored)
			}
		})
	}
}

// TestReclaimOfARunningBackup: what is being written when the object is deleted does not stay behind either.
func TestReclaimOfARunningBackup(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	w.create(t, newBackup(reclaimed))
	w.pass(t, 2)
	w.instances.turn()
	w.pass(t, 1)

	if err := w.server.Client.Delete(t.Context(), w.backup(t)); err != nil {
		t.Fatal(err)
	}

	w.pass(t, 1)
	wantCondition(t, w.backup(t).Status.Conditions, "Ready", postgresqlv1.ReasonDeleting, "Waiting for shop-1 to end the backup that it takes")

	w.settle(t)
	w.wantGone(t)

	if got := w.instances.orders; len(w.instances.stored) > 0 || !slices.Equal(got, []string{"backup shop-1", "delete shop-1"}) {
		t.Errorf("in the store is %v, after %v", w.instances.stored, got)
	}
}

// TestReclaimThatCannotBe does not hold the object up for ever, and says what stays where.
func TestReclaimThatCannotBe(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	w.create(t, newBackup(reclaimed))
	w.settle(t)
	w.instances.do(func() { w.instances.failures = []string{"AccessDenied: object lock"} })
	w.clock.SetTime(time.Now()) // The API server tells when the deletion began.
	w.remove(t)

	wantCondition(t, w.backup(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonDeleting, "could not be deleted: AccessDenied: object lock")

	w.instances.do(func() { w.instances.stuck = true })
	w.after(t, 20*time.Minute)
	w.wantGone(t)

	if !slices.ContainsFunc(w.events.notes, func(note string) bool {
		return strings.Contains(note, "Warning NotReclaimed Backup: the stored backup 20260301T120000Z could not be deleted in time and stays in s3://bucket/path")
	}) {
		t.Errorf("nobody is told what stays: %v", w.events.notes)
	}
}

// TestReclaimWithoutACluster: nobody can delete what is stored; the object goes, the user is told.
func TestReclaimWithoutACluster(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	w.create(t, newBackup(reclaimed))
	w.settle(t)

	cluster := &postgresqlv1.Cluster{}
	w.get(t, "shop", cluster)

	if err := w.server.Client.Delete(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}

	w.remove(t)
	w.wantGone(t)

	if last := w.events.notes[len(w.events.notes)-1]; !strings.Contains(last, "the Cluster is gone: the stored backup 20260301T120000Z stays in s3://bucket/path") {
		t.Errorf("the last event is %q", last)
	}
}

// TestCrashOfBackups kills the controller after each write of each of these.
func TestCrashOfBackups(t *testing.T) {
	t.Parallel()

	for name, start := range map[string]func(*testing.T) crash.World{
		"taken": func(t *testing.T) crash.World {
			t.Helper()

			w := archivingWorld(t)
			w.create(t, newBackup())

			return w
		},
		"taken, with a finalizer": func(t *testing.T) crash.World {
			t.Helper()

			w := archivingWorld(t)
			w.create(t, newBackup(reclaimed))

			return w
		},
		"taken at the second attempt": func(t *testing.T) crash.World {
			t.Helper()

			w := archivingWorld(t)
			w.instances.failures = []string{"503 Slow Down"}
			w.passTime(t)
			w.create(t, newBackup())

			return w
		},
		"failed": func(t *testing.T) crash.World {
			t.Helper()

			w := archivingWorld(t)
			w.instances.failures = slices.Repeat([]string{"503 Slow Down"}, 3)
			w.passTime(t)
			w.create(t, newBackup())

			return w
		},
		"deleted": func(t *testing.T) crash.World {
			t.Helper()

			w := archivingWorld(t)
			w.create(t, newBackup(reclaimed))
			w.settle(t)

			if err := w.server.Client.Delete(t.Context(), w.backup(t)); err != nil {
				t.Fatal(err)
			}

			return w
		},
		"taken, and another expires": func(t *testing.T) crash.World {
			t.Helper()

			w := expiringWorld(t)
			w.create(t, newBackup())

			return w
		},
		"deleted while it is taken": func(t *testing.T) crash.World {
			t.Helper()

			w := archivingWorld(t)
			w.create(t, newBackup(reclaimed))
			w.pass(t, 2)

			if err := w.server.Client.Delete(t.Context(), w.backup(t)); err != nil {
				t.Fatal(err)
			}

			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash.AfterEveryWrite(t, start)
		})
	}
}

// passTime lets ten seconds pass with each pass until the Backup has ended.
func (w *backupWorld) passTime(t *testing.T) {
	t.Helper()

	w.others = func(t *testing.T) bool {
		t.Helper()

		moved := w.instances.turn()
		if w.backup(t).Status.StoppedAt != nil {
			return moved
		}

		w.clock.SetTime(w.clock.Now().Add(10 * time.Second))

		return true
	}
}
