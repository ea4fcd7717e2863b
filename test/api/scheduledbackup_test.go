package api

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/scheduledbackup"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// newScheduleWorld has the Cluster "shop". Its clock begins when the API server's does: the moment that a schedule begins with
// is that of its creation.
func newScheduleWorld(t *testing.T) *backupWorld {
	t.Helper()

	w := archivingWorld(t)
	w.kinds = backupKinds(postgresqlv1.GroupVersion.WithKind("ScheduledBackup"))
	w.others = func(*testing.T) bool { return false }
	w.make = func(t *testing.T, process *crash.Process) reconciler {
		t.Helper()

		r, err := scheduledbackup.New(process.Client(), scheduledbackup.Options{Clock: w.clock, Recorder: w.events})
		if err != nil {
			t.Fatal(err)
		}

		return r
	}

	return w
}

func newSchedule(change ...func(*postgresqlv1.ScheduledBackupSpec)) *postgresqlv1.ScheduledBackup {
	object := &postgresqlv1.ScheduledBackup{Spec: postgresqlv1.ScheduledBackupSpec{
		Schedule: "0 2 * * *", Cluster: postgresqlv1.LocalObjectReference{Name: "shop"},
	}}
	for _, f := range change {
		f(&object.Spec)
	}

	return object
}

func immediately(spec *postgresqlv1.ScheduledBackupSpec) { spec.Immediate = new(true) }

func (w *backupWorld) schedule(t *testing.T) *postgresqlv1.ScheduledBackup {
	t.Helper()

	object := &postgresqlv1.ScheduledBackup{}
	if !w.get(t, "shop", object) {
		t.Fatal("the ScheduledBackup is gone")
	}

	return object
}

func (w *backupWorld) backups(t *testing.T) map[string]postgresqlv1.Backup {
	t.Helper()

	list := &postgresqlv1.BackupList{}
	if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace)); err != nil {
		t.Fatal(err)
	}

	found := map[string]postgresqlv1.Backup{}
	for _, object := range list.Items {
		found[object.Name] = object
	}

	return found
}

func (w *backupWorld) wantBackups(t *testing.T, want ...string) {
	t.Helper()

	if got := slices.Sorted(maps.Keys(w.backups(t))); !slices.Equal(got, want) {
		t.Errorf("Backups are %v, want %v", got, want)
	}
}

// complete ends all Backups as an instance would.
func (w *backupWorld) complete(t *testing.T) {
	t.Helper()

	for _, object := range w.backups(t) {
		at := metav1.NewTime(w.clock.Now())
		object.Status.StoppedAt, object.Status.BackupID = &at, "stored-"+object.Name
		w.writeStatus(t, &object)
	}
}

// TestScheduledBackup makes a Backup at each of its moments, named after it in UTC.
func TestScheduledBackup(t *testing.T) {
	t.Parallel()

	w := newScheduleWorld(t)
	w.create(t, newSchedule(func(spec *postgresqlv1.ScheduledBackupSpec) {
		spec.Schedule, spec.TimeZone = "30 0 2 * * *", "Europe/Zurich"
		spec.Target, spec.ReclaimPolicy = postgresqlv1.BackupTargetPrimary, postgresqlv1.BackupReclaimDelete
		spec.OnlineConfiguration = &postgresqlv1.OnlineBackupConfiguration{ImmediateCheckpoint: new(false)}
	}))
	w.settle(t)
	w.wantBackups(t)
	wantCondition(t, w.schedule(t).Status.Conditions, "Ready", postgresqlv1.ReasonScheduled, "the next backup is due at 2026-03-02T01:00:30Z")

	if next := w.schedule(t).Status.NextScheduleTime; next == nil || !next.Time.Equal(time.Date(2026, 3, 2, 1, 0, 30, 0, time.UTC)) {
		t.Errorf("nextScheduleTime is %v", next)
	}

	w.after(t, 14*time.Hour)
	w.wantBackups(t, "shop-20260302010030")
	w.wantEvents(t, "Normal BackupCreated Backup: Backup shop-20260302010030 was made")

	made := w.backups(t)["shop-20260302010030"]
	if made.Spec.Target != postgresqlv1.BackupTargetPrimary || made.Spec.ReclaimPolicy != postgresqlv1.BackupReclaimDelete ||
		*made.Spec.OnlineConfiguration.ImmediateCheckpoint || made.Spec.Cluster.Name != "shop" || len(made.OwnerReferences) > 0 {
		t.Errorf("what was made: %+v, owned by %v", made.Spec, made.OwnerReferences)
	}

	// One that still runs is waited for; of several moments that pass meanwhile the last one counts.
	w.after(t, 48*time.Hour)
	w.wantBackups(t, "shop-20260302010030")
	wantCondition(t, w.schedule(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonBackupRunning, "Backup shop-20260302010030 still runs")

	w.complete(t)
	w.settle(t)
	w.wantBackups(t, "shop-20260302010030", "shop-20260304010030")

	if status := w.schedule(t).Status; status.LastBackup != "shop-20260304010030" || !status.LastScheduleTime.Time.Equal(time.Date(2026, 3, 4, 1, 0, 30, 0, time.UTC)) {
		t.Errorf("status is %+v", status)
	}
}

// TestImmediateBackup is made at once, and once.
func TestImmediateBackup(t *testing.T) {
	t.Parallel()

	w := newScheduleWorld(t)
	w.create(t, newSchedule(immediately))
	w.clock.SetTime(w.schedule(t).CreationTimestamp.Add(time.Second))
	w.settle(t)

	first := "shop-" + w.schedule(t).CreationTimestamp.UTC().Format("20060102150405")
	w.wantBackups(t, first)
	w.complete(t)
	w.settle(t)
	w.wantBackups(t, first)

	// A change of the schedule is no reason for another one.
	object := w.schedule(t)
	object.Spec.Schedule = "0 3 * * *"

	if err := w.server.Client.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.wantBackups(t, first)
}

// TestSuspendedSchedule makes nothing, and does not make up for what was due meanwhile.
func TestSuspendedSchedule(t *testing.T) {
	t.Parallel()

	w := newScheduleWorld(t)
	w.create(t, newSchedule(immediately, func(spec *postgresqlv1.ScheduledBackupSpec) { spec.Suspend = new(true) }))
	w.settle(t)
	w.after(t, 48*time.Hour)
	w.wantBackups(t)
	wantCondition(t, w.schedule(t).Status.Conditions, "Ready", postgresqlv1.ReasonSuspended, "until spec.suspend is false")

	object := w.schedule(t)
	object.Spec.Suspend, object.Spec.Immediate = new(false), nil

	if err := w.server.Client.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.wantBackups(t)
	w.after(t, 24*time.Hour)
	w.wantBackups(t, "shop-20260304020000")
}

// TestScheduleWaitsForItsCluster, and makes one Backup for all that was due.
func TestScheduleWaitsForItsCluster(t *testing.T) {
	t.Parallel()

	w := newScheduleWorld(t)
	cluster := &postgresqlv1.Cluster{}
	w.get(t, "shop", cluster)

	if err := w.server.Client.Delete(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}

	w.create(t, newSchedule())
	w.settle(t)
	w.after(t, 72*time.Hour)
	w.wantBackups(t)
	wantCondition(t, w.schedule(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonClusterMissing, `there is no Cluster "shop"`)

	again := &postgresqlv1.Cluster{Spec: postgresqlv1.ClusterSpec{Instances: 1, Storage: postgresqlv1.StorageConfiguration{Size: "1Gi"}}}
	again.Name = "shop"
	w.add(t, again)
	w.settle(t)
	w.wantBackups(t, "shop-20260304020000")
}

// TestScheduledBackupsHaveTheirOwner: who takes them along when it is deleted.
func TestScheduledBackupsHaveTheirOwner(t *testing.T) {
	t.Parallel()

	for owner, kind := range map[postgresqlv1.BackupOwnerReference]string{
		"": "", postgresqlv1.BackupOwnerNone: "", postgresqlv1.BackupOwnerSelf: "ScheduledBackup", postgresqlv1.BackupOwnerCluster: "Cluster",
	} {
		t.Run("backupOwnerReference "+string(owner), func(t *testing.T) {
			t.Parallel()

			w := newScheduleWorld(t)
			w.create(t, newSchedule(func(spec *postgresqlv1.ScheduledBackupSpec) { spec.BackupOwnerReference = owner }))
			w.settle(t)
			w.after(t, 24*time.Hour)
			w.wantBackups(t, "shop-20260302020000")

			made := w.backups(t)["shop-20260302020000"]
			cluster := &postgresqlv1.Cluster{}
			w.get(t, "shop", cluster)

			reference := metav1.GetControllerOf(&made)

			switch {
			case kind == "":
				if len(made.OwnerReferences) > 0 {
					t.Errorf("it is owned by %+v", made.OwnerReferences)
				}
			case reference == nil || reference.Kind != kind || reference.UID != map[string]client.Object{"ScheduledBackup": w.schedule(t), "Cluster": cluster}[kind].GetUID():
				t.Errorf("it is owned by %+v", reference)
			}
		})
	}
}

// TestScheduleThatCannotBeRead: what the API server cannot see is refused by the controller, with the field and the remedy.
func TestScheduleThatCannotBeRead(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		schedule, zone string
		message        []string
	}{
		"minute 61":                   {"61 2 * * *", "", []string{"spec.schedule", "61", "five fields (minute hour day-of-month month day-of-week)"}},
		"30 February":                 {"0 2 30 2 *", "", []string{"spec.schedule", "never due"}},
		"time zone that is not known": {"0 2 * * *", "Europe/Atlantis", []string{"spec.timeZone", "Europe/Atlantis", "such as Europe/Zurich"}},
		"abbreviation of a zone":      {"0 2 * * *", "Local", []string{"spec.timeZone", "Local", "such as Europe/Zurich"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newScheduleWorld(t)
			w.create(t, newSchedule(immediately, func(spec *postgresqlv1.ScheduledBackupSpec) { spec.Schedule, spec.TimeZone = tc.schedule, tc.zone }))
			w.settle(t)
			w.wantBackups(t)

			for _, part := range tc.message {
				wantCondition(t, w.schedule(t).Status.Conditions, conditionStalled, postgresqlv1.ReasonInvalidSchedule, part)
			}

			// Corrected, it goes on.
			object := w.schedule(t)
			object.Spec.Schedule, object.Spec.TimeZone, object.Spec.Immediate = "0 2 * * *", "", nil

			if err := w.server.Client.Update(t.Context(), object); err != nil {
				t.Fatal(err)
			}

			w.settle(t)

			if !meta.IsStatusConditionTrue(w.schedule(t).Status.Conditions, "Ready") {
				t.Errorf("conditions are %+v", w.schedule(t).Status.Conditions)
			}
		})
	}
}

// TestCrashOfSchedules kills the controller after each write of each of these.
func TestCrashOfSchedules(t *testing.T) {
	t.Parallel()

	for name, change := range map[string]func(*postgresqlv1.ScheduledBackupSpec){
		"immediate": immediately,
		"owned by itself": func(spec *postgresqlv1.ScheduledBackupSpec) {
			immediately(spec)
			spec.BackupOwnerReference = postgresqlv1.BackupOwnerSelf
		},
		"suspended": func(spec *postgresqlv1.ScheduledBackupSpec) { spec.Suspend = new(true) },
		"at its moments": func(spec *postgresqlv1.ScheduledBackupSpec) {
			spec.BackupOwnerReference = postgresqlv1.BackupOwnerCluster
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash.AfterEveryWrite(t, func(t *testing.T) crash.World {
				t.Helper()

				w := newScheduleWorld(t)
				w.create(t, newSchedule(change))

				if object := w.schedule(t); object.Spec.Immediate != nil {
					w.clock.SetTime(object.CreationTimestamp.Add(time.Second))

					return &immediateWorld{w, object.CreationTimestamp.UTC().Format("20060102150405")}
				}

				// Its moments pass while it is looked at.
				until := w.clock.Now().Add(48 * time.Hour)
				w.others = func(t *testing.T) bool {
					t.Helper()

					if w.clock.Now().After(until) {
						return false
					}

					w.clock.SetTime(w.clock.Now().Add(4 * time.Hour))
					w.complete(t)

					return true
				}

				return w
			})
		})
	}
}

// immediateWorld leaves the moment of the creation out of what is compared.
type immediateWorld struct {
	*backupWorld

	moment string
}

func (w *immediateWorld) State(t *testing.T) map[string]string {
	t.Helper()

	state := map[string]string{}
	for name, content := range w.backupWorld.State(t) {
		state[strings.ReplaceAll(name, w.moment, "<moment>")] = strings.ReplaceAll(content, w.moment, "<moment>")
	}

	return state
}
