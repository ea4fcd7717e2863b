package plugin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/plugin"
)

// backups is a Kubernetes API with a Cluster that archives, and its Backups.
type backups struct {
	*fake

	backups map[string]*v1.Backup
	// react is called at each look at a Backup; made is the Cluster that was made.
	react func(look int, backup *v1.Backup)
	looks int
	made  *v1.Cluster
	// retained are the volumes of Clusters that are gone.
	retained    map[string][]string
	retainedErr error
}

func archivingFake() *backups {
	f := &backups{fake: whole(), backups: map[string]*v1.Backup{}}
	f.cluster.Spec.Backup = &v1.BackupConfiguration{
		ObjectStore: &v1.ObjectStore{DestinationPath: "s3://backups/eu", ServerName: "shop"}, RetentionPolicy: "30d",
	}
	f.cluster.Spec.Bootstrap = &v1.BootstrapConfiguration{InitDB: &v1.BootstrapInitDB{Database: "goods", Owner: "keeper"}}
	f.cluster.Spec.Certificates = &v1.CertificatesConfiguration{}
	f.cluster.Status.Archiving = &v1.ArchivingStatus{ServerName: "shop", LastArchivedTime: new(ago(time.Minute))}

	return f
}

func (f *backups) Backup(_ context.Context, k types.NamespacedName) (*v1.Backup, error) {
	backup, ok := f.backups[k.Name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "backups"}, k.Name)
	}

	if f.react != nil {
		f.looks++
		f.react(f.looks, backup)
	}

	return backup.DeepCopy(), nil
}

func (f *backups) CreateBackup(_ context.Context, backup *v1.Backup) error {
	if f.backups[backup.Name] != nil {
		return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "backups"}, backup.Name)
	}

	f.backups[backup.Name] = backup.DeepCopy()

	return nil
}

func (f *backups) Retained(_ context.Context, key types.NamespacedName) ([]string, error) {
	return f.retained[key.Name], f.retainedErr
}

func (f *backups) CreateCluster(_ context.Context, cluster *v1.Cluster) error {
	if cluster.Name == "stock" {
		return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "clusters"}, cluster.Name)
	}

	f.made = cluster

	return nil
}

func (f *backups) taking(out *strings.Builder) plugin.Taking {
	return plugin.Taking{API: f, Clock: &stepping{FakeClock: testclock.NewFakeClock(now)}, Out: out, Cluster: key, Wait: true}
}

func says(backup *v1.Backup, name string, status metav1.ConditionStatus, reason, message string) {
	conditions := &backup.Status.Conditions
	for i := range *conditions {
		if (*conditions)[i].Type == name {
			(*conditions)[i].Status, (*conditions)[i].Reason, (*conditions)[i].Message = status, reason, message

			return
		}
	}

	*conditions = append(*conditions, metav1.Condition{Type: name, Status: status, Reason: reason, Message: message})
}

// scriptOfABackup is a backup as its status shows it.
func scriptOfABackup(look int, b *v1.Backup) {
	s := &b.Status

	switch {
	case look == 1:
	case look <= 3:
		s.Phase = v1.BackupPending
		says(b, v1.ConditionReady, metav1.ConditionFalse, v1.ReasonBackupQueued, "Waiting: Backup shop-nightly of the same Cluster comes first")
	case look <= 8:
		s.Phase, s.InstanceID = v1.BackupRunning, &v1.BackupInstance{PodName: "shop-1"}
		says(b, v1.ConditionReady, metav1.ConditionFalse, v1.ReasonBackupRunning, "Backing up shop-1")
		s.Progress = &v1.BackupProgress{
			Step: "Copying", Percent: int32(look * 10), BytesDone: int64(look) << 30, BytesTotal: 10 << 30,
			EstimatedCompletion: new(ago(-time.Minute)),
		}
	case look == 9:
		s.Progress = &v1.BackupProgress{Step: "WaitingForWAL"}
	default:
		s.Phase, s.Progress, s.BackupID, s.Duration, s.Size = v1.BackupCompleted, nil, "20261120T120000Z", "1m4s", "1.2Gi"
		s.StoppedAt = new(ago(-time.Minute))
		s.Retention = &v1.BackupRetention{Policy: "30d", Error: "AccessDenied: object lock"}
		says(b, v1.ConditionRestorable, metav1.ConditionTrue, "ReadBack", "all of it was read back and its checksums are right")
	}
}

func TestBackup(t *testing.T) {
	f, out := archivingFake(), &strings.Builder{}
	f.react = scriptOfABackup

	taking := f.taking(out)
	taking.Spec.Target = v1.BackupTargetPrimary

	if err := taking.Run(t.Context()); err != nil {
		t.Fatal(err)
	}

	compare(t, "backup", out.String())

	made := f.backups["shop-20261120120000"]
	if made == nil || made.Namespace != "web" || made.Spec.Cluster.Name != "shop" || made.Spec.Target != v1.BackupTargetPrimary || made.Kind != "Backup" {
		t.Errorf("made was %+v", made)
	}
}

func TestBackupNoWait(t *testing.T) {
	f, out := archivingFake(), &strings.Builder{}
	taking := f.taking(out)
	taking.Wait, taking.Name = false, "before-upgrade"

	if err := taking.Run(t.Context()); err != nil || f.backups["before-upgrade"] == nil || f.looks > 0 {
		t.Errorf("got %v, %d looks", err, f.looks)
	}

	if err := taking.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "has a Backup before-upgrade already; choose another --name") {
		t.Errorf("the second time: %v", err)
	}
}

func TestBackupRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1.Cluster)
		want   string
	}{
		"no archive":     {func(c *v1.Cluster) { c.Spec.Backup = nil }, "has no archive to back up to; set its spec.backup.objectStore"},
		"no destination": {func(c *v1.Cluster) { c.Spec.Backup.ObjectStore.DestinationPath = "" }, "has no archive to back up to"},
		"hibernated":     {func(c *v1.Cluster) { c.Annotations[naming.AnnotationHibernate] = "on" }, "is hibernated"},
		"being deleted":  {func(c *v1.Cluster) { c.DeletionTimestamp = new(ago(0)) }, "is being deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			f := archivingFake()
			test.change(f.cluster)

			err := f.taking(&strings.Builder{}).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || len(f.backups) > 0 {
				t.Errorf("got %v, want %q; made %v", err, test.want, f.backups)
			}
		})
	}
}

func TestBackupThatEndsBadly(t *testing.T) {
	for name, test := range map[string]struct {
		react func(f *backups) func(int, *v1.Backup)
		want  string
	}{
		"failed": {func(*backups) func(int, *v1.Backup) {
			return func(_ int, b *v1.Backup) {
				b.Status.StoppedAt, b.Status.Error = new(ago(0)), "attempt 3 of 3 failed: shop-1: 403 Forbidden"
			}
		}, "Backup b failed: attempt 3 of 3 failed: shop-1: 403 Forbidden"},
		"not possible": {func(*backups) func(int, *v1.Backup) {
			return func(_ int, b *v1.Backup) {
				says(b, v1.ConditionStalled, metav1.ConditionTrue, v1.ReasonSnapshotsNotSupported, "spec.method: use objectStore")
			}
		}, "Backup b cannot be taken: spec.method: use objectStore"},
		"no good": {func(*backups) func(int, *v1.Backup) {
			return func(_ int, b *v1.Backup) {
				b.Status.StoppedAt, b.Status.BackupID = new(ago(0)), "id"
				says(b, v1.ConditionRestorable, metav1.ConditionFalse, v1.ReasonDrillFailed, "a drill with it failed")
			}
		}, "Backup b cannot be restored (DrillFailed): a drill with it failed"},
		"deleted": {func(f *backups) func(int, *v1.Backup) {
			return func(int, *v1.Backup) { delete(f.backups, "b") }
		}, "Backup b was deleted meanwhile"},
		"never": {func(*backups) func(int, *v1.Backup) { return func(int, *v1.Backup) {} }, "gave up waiting after 50ms; the backup goes on"},
	} {
		t.Run(name, func(t *testing.T) {
			f, out := archivingFake(), &strings.Builder{}
			f.react = test.react(f)
			taking := f.taking(out)
			taking.Name, taking.Timeout = "b", 50*time.Millisecond

			if err := taking.Run(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}

			if name == "never" && !strings.Contains(out.String(), "the operator has not begun; is it running?") {
				t.Errorf("the operator is not doubted: %s", out)
			}
		})
	}
}

// restorable is a Backup that ended an hour ago.
func restorable(f *backups) *v1.Backup {
	const name = "hourly"

	backup := &v1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: name}}
	backup.Spec.Cluster.Name = key.Name
	backup.Status = v1.BackupStatus{
		BackupID: "20261120T110000Z", StoppedAt: new(ago(time.Hour)), ServerName: "shop", Major: 17,
		ObjectStore: &v1.ObjectStore{DestinationPath: "s3://backups/eu", ServerName: "shop"},
	}
	says(backup, v1.ConditionRestorable, metav1.ConditionTrue, "ReadBack", "all of it was read back")
	f.backups[name] = backup

	return backup
}

func (f *backups) restoration(out *strings.Builder) plugin.Restoration {
	return plugin.Restoration{
		API: f, Clock: testclock.NewFakePassiveClock(now), Out: out, Cluster: "again",
		Backup: types.NamespacedName{Namespace: key.Namespace, Name: "hourly"},
	}
}

func TestRestore(t *testing.T) {
	f, out := archivingFake(), &strings.Builder{}
	restorable(f)

	r := f.restoration(out)
	r.TargetTime = "2026-11-20 12:30+01"

	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}

	if want := "Cluster again is made of Backup hourly, recovered to 2026-11-20 11:30:00+00. How far it is:\n  kubectl caretaker status again -n web\n"; out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}

	if f.made == nil || f.made.Name != "again" || f.made.Namespace != "web" {
		t.Fatalf("made was %+v", f.made)
	}

	recovery := f.made.Spec.Bootstrap.Recovery
	if recovery.Backup.Name != "hourly" || recovery.RecoveryTarget.TargetTime != "2026-11-20 11:30:00+00" || recovery.Owner != "keeper" || recovery.Database != "goods" {
		t.Errorf("it is recovered like %+v", recovery)
	}

	if spec := f.made.Spec; spec.Backup.ObjectStore.ServerName != "" || spec.Certificates != nil || spec.ImageName != "registry.example/postgresql:17.11" {
		t.Errorf("it has what is the origin's own, or not its image: %+v", spec)
	}

	if f.cluster.Spec.Backup.ObjectStore.ServerName != "shop" {
		t.Error("the origin was changed")
	}
}

func TestRestoreDryRun(t *testing.T) {
	f, out := archivingFake(), &strings.Builder{}
	f.cluster.Status.StorageSize = "40Gi"
	restorable(f)

	r := f.restoration(out)
	r.DryRun = true

	if err := r.Run(t.Context()); err != nil || f.made != nil {
		t.Fatalf("got %v, made %v", err, f.made)
	}

	compare(t, "restore", out.String())
}

// TestRestoreWithoutTheCluster: what the Backup knows is enough, and what is given counts before it.
func TestRestoreWithoutTheCluster(t *testing.T) {
	for name, test := range map[string]struct {
		origin                *v1.BackupOrigin
		storage, image        string
		wantSize, wantImage   string
		instances, wantNumber int32
	}{
		"known": {
			origin:   &v1.BackupOrigin{Image: "postgres:17.2", Instances: 3, StorageSize: "20Gi", StorageClass: new("fast"), Database: "goods", Owner: "keeper"},
			wantSize: "20Gi", wantImage: "postgres:17.2", wantNumber: 3,
		},
		"given": {
			origin:  &v1.BackupOrigin{Image: "postgres:17.2", Instances: 3, StorageSize: "20Gi", Database: "goods", Owner: "keeper"},
			storage: "30Gi", image: "postgres:17.5", instances: 2, wantSize: "30Gi", wantImage: "postgres:17.5", wantNumber: 2,
		},
		"of an older release": {storage: "30Gi", image: "postgres:17.5", wantSize: "30Gi", wantImage: "postgres:17.5", wantNumber: 1},
	} {
		t.Run(name, func(t *testing.T) {
			f, out := archivingFake(), &strings.Builder{}
			f.cluster = nil
			restorable(f).Status.Origin = test.origin

			r := f.restoration(out)
			r.Storage, r.Image, r.Instances = test.storage, test.image, test.instances

			if err := r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}

			spec := f.made.Spec
			if spec.Storage.Size != test.wantSize || spec.ImageName != test.wantImage || spec.Instances != test.wantNumber {
				t.Errorf("made %+v", spec)
			}

			if store := spec.Backup.ObjectStore; store == nil || store.DestinationPath != "s3://backups/eu" || store.ServerName != "" || spec.Bootstrap.InitDB != nil {
				t.Errorf("its archive is %+v, its beginning %+v", store, spec.Bootstrap)
			}

			recovery := spec.Bootstrap.Recovery
			if recovery.Backup.Name != "hourly" || test.origin != nil && (recovery.Database != "goods" || recovery.Owner != "keeper") {
				t.Errorf("it is recovered like %+v", recovery)
			}

			if !strings.Contains(out.String(), "Cluster shop is gone. What the Backup does not know of it is not set in the new one") {
				t.Errorf("it said %s", out)
			}
		})
	}
}

// TestRestoreUnderTheOldName: the Cluster is gone, and applications know its name. It archives elsewhere.
func TestRestoreUnderTheOldName(t *testing.T) {
	for name, archive := range map[string]v1.BackupStatus{
		"store":  {ObjectStore: &v1.ObjectStore{DestinationPath: "s3://backups/eu"}},
		"volume": {Volume: &v1.VolumeStore{ServerName: "shop"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, out := archivingFake(), &strings.Builder{}
			f.cluster = nil
			backup := restorable(f)
			backup.Status.Origin = &v1.BackupOrigin{Image: "postgres:17.2", Instances: 3, StorageSize: "20Gi"}
			backup.Status.ObjectStore, backup.Status.Volume = archive.ObjectStore, archive.Volume

			r := f.restoration(out)
			r.Cluster, r.Server = "shop", "shop-2"
			// Whoever may not list volumes may restore all the same.
			f.retainedErr = apierrors.NewForbidden(schema.GroupResource{Resource: "persistentvolumeclaims"}, "", nil)

			if err := r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}

			given := f.made.Spec.Backup
			if store := given.ObjectStore; f.made.Name != "shop" || store != nil && store.ServerName != "shop-2" || given.Volume != nil && given.Volume.ServerName != "shop-2" {
				t.Errorf("made was %s, which archives to %+v", f.made.Name, given)
			}
		})
	}
}

func TestRestoreRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		change func(f *backups, r *plugin.Restoration, b *v1.Backup)
		want   string
	}{
		"no such Backup": {
			func(_ *backups, r *plugin.Restoration, _ *v1.Backup) { r.Backup.Name = "daily" },
			"namespace web has no Backup daily; kubectl -n web get backups lists them",
		},
		"not complete": {func(_ *backups, _ *plugin.Restoration, b *v1.Backup) {
			b.Status = v1.BackupStatus{Phase: v1.BackupRunning}
		}, "Backup hourly is not complete (running)"},
		"expired": {func(_ *backups, _ *plugin.Restoration, b *v1.Backup) {
			says(b, v1.ConditionRestorable, metav1.ConditionFalse, v1.ReasonBackupExpired, "it is no longer in the store")
		}, "Backup hourly cannot be restored (Expired): it is no longer in the store"},
		"no Cluster, and an old Backup": {
			func(f *backups, _ *plugin.Restoration, b *v1.Backup) {
				f.cluster, b.Status.DataBytes = nil, resource.NewQuantity(3<<30, resource.BinarySI)
			},
			"Cluster shop, which Backup hourly is of, is gone, and the Backup does not know all that is needed of it: give --image, an image of PostgreSQL 17, " +
				"and --storage, the size of its volumes, such as 10Gi (the data had 3.0 GiB)",
		},
		"no size": {func(_ *backups, r *plugin.Restoration, _ *v1.Backup) { r.Storage = "much" }, `--storage: "much" is not a size such as 10Gi`},
		"the Cluster is gone, the archive is taken": {
			func(f *backups, r *plugin.Restoration, b *v1.Backup) {
				f.cluster, r.Cluster, r.Image, r.Storage = nil, "shop", "postgres:17", "10Gi"
			}, "would archive into the folder that it is recovered from",
		},
		"no time": {func(_ *backups, r *plugin.Restoration, _ *v1.Backup) { r.TargetTime = "yesterday" }, `--target-time: "yesterday" is not a date and time`},
		"too early": {
			func(_ *backups, r *plugin.Restoration, _ *v1.Backup) { r.TargetTime = "2026-11-20 10:59" },
			"--target-time: 2026-11-20 10:59:00 UTC is before the end of Backup hourly, 2026-11-20 11:00:00 UTC; choose an older Backup",
		},
		"in the future": {
			func(_ *backups, r *plugin.Restoration, _ *v1.Backup) { r.TargetTime = "2026-11-20 12:00:01" },
			"is in the future; it is 2026-11-20 12:00:00 UTC now",
		},
		"not archived": {func(f *backups, r *plugin.Restoration, _ *v1.Backup) {
			f.cluster.Status.Archiving.LastArchivedTime = new(ago(10 * time.Minute))
			r.TargetTime = "2026-11-20 11:55"
		}, "is later than what is archived, which ends at 2026-11-20 11:50:00 UTC"},
		"the name is taken": {func(_ *backups, r *plugin.Restoration, _ *v1.Backup) { r.Cluster = "stock" }, "has a Cluster stock already; choose another name"},
		"the archive is taken": {
			func(_ *backups, r *plugin.Restoration, _ *v1.Backup) { r.Cluster = "shop" },
			"would archive into the folder that it is recovered from, shop; choose another name for --to-cluster, or another folder with --server-name, such as shop-2",
		},
		"volumes are there": {
			func(f *backups, _ *plugin.Restoration, _ *v1.Backup) {
				f.retained = map[string][]string{"again": {"again-0", "again-1"}}
			},
			"namespace web has the volumes of a Cluster again, again-0, again-1: a new one of that name goes on with them and recovers nothing",
		},
		"the folder is taken": {func(_ *backups, r *plugin.Restoration, _ *v1.Backup) { r.Server = "shop" }, "would archive into the folder that it is recovered from"},
	} {
		t.Run(name, func(t *testing.T) {
			f, out := archivingFake(), &strings.Builder{}
			r := f.restoration(out)
			test.change(f, &r, restorable(f))

			if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}

			if f.made != nil {
				t.Errorf("it was made all the same: %+v", f.made)
			}
		})
	}
}
