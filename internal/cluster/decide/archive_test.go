package decide_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// archives gives the Cluster an archive, and the primary something to say of it.
func archives(archiving *instanceapi.Archiving) mutation {
	return func(w *world) {
		w.view.Cluster.Spec.Backup = &v1.BackupConfiguration{ObjectStore: &v1.ObjectStore{DestinationPath: "s3://bucket/path"}}

		status := *w.view.Reports["db-0"].Status
		status.Archiving = archiving
		w.view.Reports["db-0"] = decide.Report{Status: &status}
	}
}

func feature(t *testing.T, plan decide.Plan, name string) decide.Feature {
	t.Helper()

	for _, f := range plan.Features {
		if f.Type == name {
			return f
		}
	}

	t.Fatalf("no feature %s", name)

	return decide.Feature{}
}

func TestContinuousArchiving(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	for _, tc := range []struct {
		name      string
		archiving *instanceapi.Archiving
		holds     bool
		reason    string
		says      string
	}{
		{"nothing known yet", nil, false, v1.ReasonArchivingStarting, "has not said yet"},
		{"nothing archived yet", &instanceapi.Archiving{Server: "db"}, false, v1.ReasonArchivingStarting, "no WAL has been archived yet"},
		{"archived", &instanceapi.Archiving{Server: "db", LastWAL: "000000010000000000000001", LastTime: &at}, true, v1.ReasonArchiving, "s3://bucket/path, folder db"},
		{
			"failing", &instanceapi.Archiving{Server: "db", LastWAL: "000000010000000000000001", LastTime: &at, FailingSince: &at, Failure: "403 Forbidden"},
			false, v1.ReasonArchivingFailed, "since 2026-03-01T12:00:00Z: 403 Forbidden; PostgreSQL goes on",
		},
		{
			"a gap, which is not the store's fault",
			&instanceapi.Archiving{FailingSince: &at, Missing: "000000010000000000000005 to 000000010000000000000008 on timeline 1"},
			false, v1.ReasonWALMissing, "WAL is missing in the archive: 000000010000000000000005 to 000000010000000000000008 on timeline 1; what was written since is archived",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			plan := newWorld(t, running, archives(tc.archiving)).plan()
			got := feature(t, plan, v1.ConditionContinuousArchiving)

			if got.True != tc.holds || got.Reason != tc.reason || !strings.Contains(got.Message, tc.says) {
				t.Errorf("it is %+v", got)
			}
		})
	}
}

// TestArchivingFailsOn: a primary that has just begun, with WAL that waits, has not heard from the store yet. What failed before is not
// mended by that.
func TestArchivingFailsOn(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name      string
		archiving instanceapi.Archiving
		reason    string
	}{
		{"WAL waits", instanceapi.Archiving{Server: "db", Waiting: 2}, v1.ReasonArchivingFailed},
		{"nothing waits", instanceapi.Archiving{Server: "db"}, v1.ReasonArchiving},
		{"one has arrived", instanceapi.Archiving{Server: "db", Waiting: 2, LastWAL: "000000020000000000000009"}, v1.ReasonArchiving},
	} {
		w := newWorld(t, running, archives(&tc.archiving))
		w.view.Cluster.Status.Archiving = &v1.ArchivingStatus{LastArchivedWAL: "000000010000000000000005"}
		w.view.Cluster.Status.Conditions = []metav1.Condition{{
			Type: v1.ConditionContinuousArchiving, Status: metav1.ConditionFalse, Reason: v1.ReasonArchivingFailed, Message: "connection refused",
		}}

		if got := feature(t, w.plan(), v1.ConditionContinuousArchiving); got.Reason != tc.reason {
			t.Errorf("%s: it is %+v", tc.name, got)
		}
	}
}

// A segment that arrives, or a failure that goes on in other numbers, is not worth a write.
func TestArchivingIsQuiet(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	failing := func(text string) *instanceapi.Archiving {
		return &instanceapi.Archiving{Server: "db", FailingSince: &at, Failure: text}
	}

	w := newWorld(t, running, archives(failing("dial tcp 10.0.0.1:40123: refused (try 3)")))
	w.view.Cluster.Status = w.plan().Status
	archives(failing("dial tcp 10.0.0.1:40999: refused (try 4)"))(w)

	if got := w.plan().Status.Archiving; got.LastFailure.Reason != "dial tcp 10.0.0.1:40123: refused (try 3)" {
		t.Errorf("the status changes to %+v", got.LastFailure)
	}

	archives(failing("403 Forbidden"))(w)

	if got := w.plan().Status.Archiving; got.LastFailure.Reason != "403 Forbidden" {
		t.Errorf("another cause is not told: %+v", got.LastFailure)
	}
}

func TestWhatCanBeRecovered(t *testing.T) {
	t.Parallel()

	moment := func(hour int) *metav1.Time {
		at := metav1.NewTime(time.Date(2026, 3, 1, hour, 0, 0, 0, time.UTC))

		return &at
	}

	taken := func(name string, hour int, drill *v1.DrillStatus) v1.Backup {
		backup := v1.Backup{ObjectMeta: metav1.ObjectMeta{Name: name}}
		backup.Spec.Cluster.Name = "db"
		backup.Status = v1.BackupStatus{BackupID: name, StoppedAt: moment(hour), Drill: drill}

		return backup
	}

	w := newWorld(t, running, archives(nil), func(w *world) {
		w.view.Now = moment(12).Time
		w.view.Backups = []v1.Backup{
			taken("second", 2, nil),
			taken("first", 1, &v1.DrillStatus{Succeeded: true, StoppedAt: moment(3)}),
		}
		w.view.Cluster.Spec.Backup.Drill = &v1.DrillConfiguration{Schedule: "0 4 * * *"}
	})

	got := w.plan().Status.Backups
	if !got.FirstRecoverabilityPoint.Equal(moment(1)) || got.LastSuccessfulBackupName != "second" || !got.LastVerified.Equal(moment(3)) || got.LastDrill.Backup != "first" {
		t.Errorf("backups are %+v", got)
	}

	if verified := feature(t, w.plan(), v1.ConditionBackupVerified); !verified.True {
		t.Errorf("verified is %+v", verified)
	}

	// What an earlier Cluster of the name has left in another folder: the oldest, and the newest.
	for _, hour := range []int{0, 11} {
		left := taken("left", hour, &v1.DrillStatus{StoppedAt: moment(11), Message: "the drill failed"})
		left.Status.ObjectStore = &v1.ObjectStore{DestinationPath: "s3://bucket/path", ServerName: "db-1"}
		w.view.Backups = append(w.view.Backups, left)
	}

	if with := w.plan(); !reflect.DeepEqual(with.Status.Backups, got) || !feature(t, with, v1.ConditionBackupVerified).True {
		t.Errorf("with Backups of an earlier Cluster: %+v", with.Status.Backups)
	}

	w.view.Backups[1].Status.Expired = &v1.BackupExpired{Policy: "30d", At: *moment(11)}
	if got := w.plan().Status.Backups; !got.FirstRecoverabilityPoint.Equal(moment(2)) {
		t.Errorf("after the first backup has expired, it can be recovered from %v on", got.FirstRecoverabilityPoint)
	}

	w.view.Now = moment(3).Add(49 * time.Hour)
	if verified := feature(t, w.plan(), v1.ConditionBackupVerified); verified.True || verified.Reason != v1.ReasonDrillTooOld {
		t.Errorf("after two days of a daily drill that does not run it is %+v", verified)
	}

	w.view.Cluster.Spec.Backup.Drill = nil
	if verified := feature(t, w.plan(), v1.ConditionBackupVerified); verified.Reason != v1.ReasonNoDrill {
		t.Errorf("without a schedule it is %+v", verified)
	}
}

// TestAnUnprotectedClusterSaysSo: it serves, and is Ready; whoever reads on has to see that what it holds could be lost.
func TestAnUnprotectedClusterSaysSo(t *testing.T) {
	t.Parallel()

	monday := time.Date(2026, 3, 2, 2, 40, 0, 0, time.UTC)
	archived := &instanceapi.Archiving{Server: "db", LastWAL: "000000010000000000000001", LastTime: &monday}
	failing := &instanceapi.Archiving{Server: "db", FailingSince: &monday, Failure: "403 Forbidden"}
	gap := &instanceapi.Archiving{Server: "db", FailingSince: &monday, Missing: "000000010000000000000005 on timeline 1"}

	taken := v1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "monday"}}
	taken.Spec.Cluster.Name = "db"
	taken.Status = v1.BackupStatus{BackupID: "id", StoppedAt: new(metav1.NewTime(monday))}
	expired := *taken.DeepCopy()
	expired.Status.Expired = &v1.BackupExpired{Policy: "30d", At: metav1.NewTime(monday)}
	drilled := *taken.DeepCopy()
	drilled.Status.Drill = &v1.DrillStatus{StoppedAt: new(metav1.NewTime(monday.Add(time.Hour))), Message: "amcheck: broken"}

	// Due at 02:00: on Tuesday, the 3rd, for the first time, on Wednesday for the second.
	nightly := v1.ScheduledBackup{Spec: v1.ScheduledBackupSpec{Schedule: "0 2 * * *", Cluster: v1.LocalObjectReference{Name: "db"}}}
	weekly := *nightly.DeepCopy()
	weekly.Spec.Schedule = "0 2 * * 1"
	suspended := *nightly.DeepCopy()
	suspended.Spec.Suspend = new(true)

	for _, tc := range []struct {
		name      string
		archiving *instanceapi.Archiving
		backup    *v1.Backup
		schedules []v1.ScheduledBackup
		passed    time.Duration
		backedUp  string
		says      string
	}{
		{"all is well", archived, &taken, []v1.ScheduledBackup{nightly}, 47 * time.Hour, v1.ReasonBackedUp, ""},
		{"the store is down", failing, &taken, nil, time.Hour, v1.ReasonBackedUp, "WAL does not reach the archive"},
		{"a gap", gap, &taken, nil, time.Hour, v1.ReasonBackedUp, "WAL is missing in the archive"},
		{"no backup yet", archived, nil, []v1.ScheduledBackup{nightly}, time.Hour, v1.ReasonNoBackup, "there is no backup"},
		{"none is left", archived, &expired, nil, time.Hour, v1.ReasonNoBackup, "there is no backup"},
		{"two are missed", archived, &taken, []v1.ScheduledBackup{weekly, nightly}, 48 * time.Hour, v1.ReasonBackupTooOld, "the newest backup is too old"},
		{"none is due", archived, &taken, []v1.ScheduledBackup{suspended}, 1000 * time.Hour, v1.ReasonBackedUp, ""},
		{"a drill failed", archived, &drilled, nil, time.Hour, v1.ReasonBackedUp, "the last drill failed"},
		{"all of it", failing, nil, nil, time.Hour, v1.ReasonNoBackup, "WAL does not reach the archive; there is no backup"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, running, archives(tc.archiving))
			w.view.Cluster.Spec.Backup.Drill = &v1.DrillConfiguration{Schedule: "0 4 * * *"}

			if !w.settle(40) {
				t.Fatal("it does not settle")
			}

			w.view.Now, w.view.Schedules = monday.Add(tc.passed), tc.schedules
			if tc.backup != nil {
				w.view.Backups = []v1.Backup{*tc.backup}
			}

			plan := w.plan()

			want := "3 of 3 instances ready"
			if tc.says != "" {
				want += ", but not protected: " + tc.says
			}

			if plan.Outcome.Kind != conditions.Done || plan.Outcome.Message != want {
				t.Errorf("says %q, want %q", plan.Outcome.Message, want)
			}

			if got := feature(t, plan, v1.ConditionBackedUp); got.Reason != tc.backedUp || got.True != (tc.backedUp == v1.ReasonBackedUp) {
				t.Errorf("BackedUp is %+v, want %s", got, tc.backedUp)
			}
		})
	}
}

// A recovery that cannot be is refused before anything is made.
func TestRecoveryIsChecked(t *testing.T) {
	t.Parallel()

	at := metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	backup := func(status v1.BackupStatus) *v1.Backup {
		b := &v1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "monday"}, Status: status}
		b.Spec.Cluster.Name = "origin"

		return b
	}
	store := &v1.ObjectStore{DestinationPath: "s3://bucket/path"}
	complete := v1.BackupStatus{BackupID: "id", StoppedAt: &at, ObjectStore: store, Major: 17}
	other := complete
	other.Major = 16
	expired := complete
	expired.Expired = &v1.BackupExpired{Policy: "30d", At: metav1.NewTime(at.Add(time.Hour)), FirstRecoverabilityPoint: &at}

	for _, tc := range []struct {
		name   string
		backup *v1.Backup
		own    *v1.ObjectStore
		says   string
	}{
		{"no such backup", nil, nil, `there is no Backup "monday"`},
		{"a backup that runs", backup(v1.BackupStatus{}), nil, "is not complete yet"},
		{"a backup that failed", backup(v1.BackupStatus{StoppedAt: &at, Error: "no room"}), nil, "failed: no room"},
		{
			"a backup that has expired", backup(expired), nil,
			`Backup "monday" cannot be restored: it is no longer in the store, at the latest since retentionPolicy 30d was followed at 2026-03-01T13:00:00Z; ` +
				"the earliest moment to recover to was 2026-03-01T12:00:00Z then; choose a Backup that is Restorable",
		},
		{"another major", backup(other), nil, "set an image of PostgreSQL 16"},
		{"its own place", backup(complete), &v1.ObjectStore{DestinationPath: "s3://bucket/path/", ServerName: "origin"}, "set spec.backup.objectStore.serverName to another name"},
		{"all is well", backup(complete), store, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, spec(func(s *v1.ClusterSpec) {
				s.Bootstrap = &v1.BootstrapConfiguration{Recovery: &v1.BootstrapRecovery{Backup: &v1.LocalObjectReference{Name: "monday"}}}
				if tc.own != nil {
					s.Backup = &v1.BackupConfiguration{ObjectStore: tc.own}
				}
			}), func(w *world) { w.view.RecoveryBackup = tc.backup })

			plan := w.plan()
			if tc.says == "" {
				if len(plan.Actions) == 0 {
					t.Errorf("nothing is made: %+v", plan.Outcome)
				}

				return
			}

			if len(plan.Actions) != 0 || !strings.Contains(plan.Outcome.Message, tc.says) {
				t.Errorf("actions %v, says %q", printed(plan), plan.Outcome.Message)
			}
		})
	}
}

// TestRecoveryWaitsForItsVolume: without the claim the first pod would wait for it without a word.
func TestRecoveryWaitsForItsVolume(t *testing.T) {
	t.Parallel()

	w := newWorld(t, spec(func(s *v1.ClusterSpec) {
		s.Bootstrap = &v1.BootstrapConfiguration{Recovery: &v1.BootstrapRecovery{Source: "origin"}}
		s.ExternalClusters = []v1.ExternalCluster{{Name: "origin", Volume: &v1.VolumeStore{
			PersistentVolumeClaim: corev1.PersistentVolumeClaimVolumeSource{ClaimName: "attic"},
		}}}
	}))
	w.view.RecoveryClaimMissing = true

	plan := w.plan()
	if len(plan.Actions) != 0 || !strings.Contains(plan.Outcome.Message, `spec.externalClusters[origin].volume: there is no PersistentVolumeClaim "attic" in namespace apps`) {
		t.Errorf("actions %v, says %q", printed(plan), plan.Outcome.Message)
	}

	w.view.RecoveryClaimMissing = false
	if plan := w.plan(); len(plan.Actions) == 0 {
		t.Errorf("with the claim nothing is made: %q", plan.Outcome.Message)
	}
}
