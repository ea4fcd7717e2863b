package api

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// expiringWorld has two Backups of last month, of which the retention after the next one deletes the first.
func expiringWorld(t *testing.T) *backupWorld {
	t.Helper()

	w := archivingWorld(t)
	w.instances.retention = &instanceapi.RetentionRun{Policy: "30d", URL: "s3://bucket/path", Server: "shop"}
	w.instances.deleted = []string{"stored-first"}
	w.completeBackup(t, "first", backupTime().Add(-40*24*time.Hour))
	w.completeBackup(t, "second", backupTime().Add(-20*24*time.Hour))

	one := w.make
	w.make = func(t *testing.T, process *crash.Process) reconciler {
		t.Helper()

		return tellingBackups{one(t, process), w}
	}

	return w
}

// tellingBackups is the controller with its watch: what a Backup tells of is looked at next.
type tellingBackups struct {
	reconciler

	world *backupWorld
}

func (r tellingBackups) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	result, err := r.reconciler.Reconcile(ctx, request)
	if err != nil {
		return result, err
	}

	by := &postgresqlv1.Backup{}
	if err := r.world.server.Client.Get(ctx, request.NamespacedName, by); err != nil {
		return result, client.IgnoreNotFound(err)
	}

	told, ok := r.reconciler.(*backup.Reconciler)
	if !ok {
		return result, nil
	}

	for _, next := range told.Expiring(ctx, by) {
		if _, err := r.reconciler.Reconcile(ctx, next); err != nil {
			return result, err
		}
	}

	return result, nil
}

// TestBackupExpires: what the retention deletes is not called restorable any more, and says when it went and what there is instead.
func TestBackupExpires(t *testing.T) {
	t.Parallel()

	w := expiringWorld(t)
	w.create(t, newBackup())
	w.settle(t)
	w.wantTaken(t, backupReplica)

	first, second := &postgresqlv1.Backup{}, &postgresqlv1.Backup{}
	w.get(t, "first", first)
	w.get(t, "second", second)

	wantCondition(t, first.Status.Conditions, postgresqlv1.ConditionRestorable, postgresqlv1.ReasonBackupExpired,
		"since retentionPolicy 30d was followed at 2026-03-01T12:00:00Z; the earliest moment to recover to was 2026-02-09T12:00:00Z then")
	wantCondition(t, first.Status.Conditions, "Ready", postgresqlv1.ReasonBackupCompleted, "was taken")

	if meta.IsStatusConditionTrue(first.Status.Conditions, postgresqlv1.ConditionRestorable) {
		t.Error("it is still called restorable")
	}

	if second.Status.Expired != nil {
		t.Errorf("the one that is left has expired, too: %+v", second.Status.Expired)
	}

	if told := w.backup(t).Status.Retention; told == nil || !slices.Equal(told.Deleted, []string{"stored-first"}) ||
		!told.FirstRecoverabilityPoint.Equal(second.Status.StoppedAt) {
		t.Errorf("the Backup that ran the retention says %+v", told)
	}

	if !slices.ContainsFunc(w.events.notes, func(note string) bool {
		return strings.HasPrefix(note, "Normal Expired Backup: it is no longer in the store")
	}) {
		t.Errorf("events are %v", w.events.notes)
	}
}

// TestBackupExpiresOnlyWhereTheRetentionWas: an instance that follows another archive than the Backup's knows nothing of its siblings.
func TestBackupExpiresOnlyWhereTheRetentionWas(t *testing.T) {
	t.Parallel()

	w := expiringWorld(t)
	w.instances.retention.URL = "s3://elsewhere/path"
	w.create(t, newBackup())
	w.settle(t)
	w.wantTaken(t, backupReplica)

	first := &postgresqlv1.Backup{}
	w.get(t, "first", first)

	if told := w.backup(t).Status.Retention; told != nil || first.Status.Expired != nil {
		t.Errorf("it tells of another archive: %+v, and its sibling is %+v", told, first.Status.Expired)
	}
}

// TestRetentionThatFails makes no Backup worse, and is told.
func TestRetentionThatFails(t *testing.T) {
	t.Parallel()

	w := expiringWorld(t)
	w.instances.retention.Error, w.instances.deleted = "AccessDenied: object lock", nil
	w.create(t, newBackup())
	w.settle(t)
	w.wantTaken(t, backupReplica)

	if last := w.events.notes[len(w.events.notes)-1]; last != "Warning RetentionFailed Backup: retentionPolicy 30d could not be followed: AccessDenied: object lock" {
		t.Errorf("the last event is %q", last)
	}
}

// TestReclaimOfAnExpiredBackup: there is nothing to delete, and nobody to ask.
func TestReclaimOfAnExpiredBackup(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	w.create(t, newBackup(reclaimed))
	w.settle(t)

	object := w.backup(t)
	object.Status.Expired = &postgresqlv1.BackupExpired{Policy: "30d", At: *object.Status.StoppedAt}
	w.writeStatus(t, object)

	w.remove(t)
	w.wantGone(t)

	if orders := w.instances.orders; !slices.Equal(orders, []string{"backup " + backupReplica}) {
		t.Errorf("orders: %v", orders)
	}
}

// TestBackupsLearnThatTheyExpire from the one that tells: from its status as soon as it is written, and, where no operator ran then, when
// one starts.
func TestBackupsLearnThatTheyExpire(t *testing.T) {
	t.Parallel()

	w := archivingWorld(t)
	tell := func(by *postgresqlv1.Backup, gone string) {
		t.Helper()

		// The controller writes the same status.
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			w.get(t, by.Name, by)
			by.Status.Retention = &postgresqlv1.BackupRetention{Policy: "30d", At: *by.Status.StoppedAt, Deleted: []string{gone}}

			return w.server.Client.Status().Update(t.Context(), by)
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	before := w.completeBackup(t, "before", backupTime())
	later := w.completeBackup(t, "later", backupTime())
	second := w.completeBackup(t, "second-teller", backupTime())
	tell(w.completeBackup(t, "first-teller", backupTime()), before.Status.BackupID)
	w.runManager(t)
	w.wantExpired(t, before)

	w.get(t, later.Name, later)

	if later.Status.Expired != nil {
		t.Errorf("nobody told of this one: %+v", later.Status.Expired)
	}

	tell(second, later.Status.BackupID)
	w.wantExpired(t, later)
}

// runManager runs the controller as the operator does, with its watches and its cache.
func (w *backupWorld) runManager(t *testing.T) {
	t.Helper()

	w.server.RunManager(t, w.namespace, func(manager ctrl.Manager) error {
		return backup.SetupWithManager(manager, backup.Options{
			Clock: w.clock, Instances: archiversOf{crash.NewProcess(w.server.Client, 0), w.instances}, Recorder: events.NewFakeRecorder(100),
		})
	})
}

func (w *backupWorld) wantExpired(t *testing.T, object *postgresqlv1.Backup) {
	t.Helper()

	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		w.get(t, object.Name, object)

		if expired := object.Status.Expired; expired != nil && expired.Policy == "30d" {
			return
		}

		if time.Now().After(end) {
			t.Fatalf("%s does not expire: %+v", object.Name, object.Status)
		}
	}
}
