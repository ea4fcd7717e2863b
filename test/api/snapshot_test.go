package api

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/apiserver"
	"github.com/caretaker-dev/caretaker/test/internal/crash"
)

// withoutSnapshots is a server without the kinds of snapshots: other tests of this package have them installed.
func withoutSnapshots(under client.WithWatch) client.WithWatch {
	missing := func(object client.ObjectList) error {
		gvk := object.GetObjectKind().GroupVersionKind()
		if gvk.Group != build.SnapshotGVK().Group {
			return nil
		}

		return &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
	}

	return interceptor.NewClient(under, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if err := missing(list); err != nil {
				return err
			}

			return c.List(ctx, list, opts...)
		},
	})
}

var snapshotKinds sync.Once

// installSnapshotKinds with their real definitions; nobody makes snapshots but the tests.
func installSnapshotKinds(t *testing.T, server *apiserver.Server) {
	t.Helper()

	snapshotKinds.Do(func() {
		for _, plural := range []string{"volumesnapshotclasses", "volumesnapshots"} {
			content, err := os.ReadFile(filepath.Join("testdata/snapshots", plural+".yaml"))
			if err != nil {
				t.Fatal(err)
			}

			crd := &apiextensionsv1.CustomResourceDefinition{}
			if err := yaml.Unmarshal(content, crd); err != nil {
				t.Fatal(err)
			}

			if err := server.Client.Create(t.Context(), crd); client.IgnoreAlreadyExists(err) != nil {
				t.Fatal(err)
			}
		}
	})

	list := &unstructured.UnstructuredList{}
	deadline := time.Now().Add(time.Minute)

	for _, gvk := range []string{"VolumeSnapshot", "VolumeSnapshotClass"} {
		for {
			list.SetGroupVersionKind(build.SnapshotGVK().GroupVersion().WithKind(gvk))

			err := server.Client.List(t.Context(), list)
			if err == nil {
				break
			}

			if time.Now().After(deadline) {
				t.Fatalf("the kind %s is not served: %v", gvk, err)
			}

			time.Sleep(50 * time.Millisecond)
		}
	}
}

// snapshotWorld is a backupWorld with volumes whose driver takes snapshots; the driver is the test's.
type snapshotWorld struct {
	*backupWorld

	// driver of the volumes; this world's alone, as classes have no namespace.
	driver string
	// cuts and readies what is asked for.
	cuts, readies bool
}

func newSnapshotWorld(t *testing.T, classes ...string) *snapshotWorld {
	t.Helper()

	w := &snapshotWorld{backupWorld: archivingWorld(t), cuts: true, readies: true}
	installSnapshotKinds(t, w.server)
	w.hasSnapshots, w.driver = true, w.namespace+".csi.example"
	w.kinds = append(w.kinds, build.SnapshotGVK())

	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}, Provisioner: w.driver}
	if err := w.server.Client.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{backupPrimary, backupReplica} {
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: naming.InstanceLabels("shop", name)}}
		claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
		claim.Spec.StorageClassName = &class.Name
		claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
		w.add(t, claim)
	}

	for _, name := range classes {
		w.addClass(t, name, w.driver)
	}

	w.others = func(t *testing.T) bool {
		t.Helper()

		moved := w.instances.turn()

		return w.drive(t) || moved
	}

	return w
}

func (w *snapshotWorld) addClass(t *testing.T, name, driver string) {
	t.Helper()

	object := &unstructured.Unstructured{Object: map[string]any{"driver": driver, "deletionPolicy": "Delete"}}
	object.SetGroupVersionKind(build.SnapshotClassGVK())
	object.SetName(w.namespace + "-" + name)

	if err := w.server.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

func (w *snapshotWorld) snapshots(t *testing.T) []unstructured.Unstructured {
	t.Helper()

	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(build.SnapshotGVK())

	if err := w.server.Client.List(t.Context(), list, client.InNamespace(w.namespace)); err != nil {
		t.Fatal(err)
	}

	return list.Items
}

// drive does the driver's part: a snapshot is cut in one turn, and ready in the next.
func (w *snapshotWorld) drive(t *testing.T) (moved bool) {
	t.Helper()

	for _, snapshot := range w.snapshots(t) {
		_, isCut, _ := unstructured.NestedString(snapshot.Object, "status", "creationTime")
		ready, _, _ := unstructured.NestedBool(snapshot.Object, "status", "readyToUse")

		switch {
		case !isCut && w.cuts:
			must(t, unstructured.SetNestedMap(snapshot.Object, map[string]any{"creationTime": w.clock.Now().Format(time.RFC3339), "readyToUse": false}, "status"))
		case isCut && !ready && w.readies:
			must(t, unstructured.SetNestedField(snapshot.Object, true, "status", "readyToUse"))
			must(t, unstructured.SetNestedField(snapshot.Object, "1Gi", "status", "restoreSize"))
		default:
			continue
		}

		if err := w.server.Client.Status().Update(t.Context(), &snapshot); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			t.Fatal(err)
		}

		moved = true
	}

	return moved
}

func must(t *testing.T, err error) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
}

// State has the names of snapshots without what is another one in each run.
func (w *snapshotWorld) State(t *testing.T) map[string]string {
	t.Helper()

	state := map[string]string{}
	words := []string{}

	backup := &postgresqlv1.Backup{}
	if w.get(t, "shop", backup) && backup.Status.Snapshot != nil {
		words = append(words, backup.Status.Snapshot.Name, "<snapshot>")
	}

	replacer := strings.NewReplacer(words...)
	for key, content := range w.backupWorld.State(t) {
		state[replacer.Replace(key)] = replacer.Replace(content)
	}

	return state
}

func bySnapshot(spec *postgresqlv1.BackupSpec) { spec.Method = postgresqlv1.BackupMethodVolumeSnapshot }

// TestBackupBySnapshot is taken of a replica, held in backup mode until the snapshot is cut, and complete once it is ready.
func TestBackupBySnapshot(t *testing.T) {
	t.Parallel()

	w := newSnapshotWorld(t, "only")
	w.cuts, w.readies = false, false
	w.create(t, newBackup(bySnapshot))
	w.settle(t)

	made := w.snapshots(t)
	if len(made) != 1 || len(w.instances.told) != 0 {
		t.Fatalf("%d snapshots were made, and told of are %v", len(made), w.instances.told)
	}

	claim, _, _ := unstructured.NestedString(made[0].Object, "spec", "source", "persistentVolumeClaimName")
	class, _, _ := unstructured.NestedString(made[0].Object, "spec", "volumeSnapshotClassName")

	if claim != backupReplica || class != w.namespace+"-only" || made[0].GetLabels()[naming.LabelBackup] != "shop" || len(made[0].GetOwnerReferences()) > 0 {
		t.Errorf("it is of %s with class %s, labels %v, owners %v", claim, class, made[0].GetLabels(), made[0].GetOwnerReferences())
	}

	w.cuts = true
	w.settle(t)

	if status := w.backup(t).Status; len(w.instances.told) != 1 || status.StoppedAt != nil {
		t.Errorf("told of are %v, status %+v: want the instance to go on, and the Backup to wait until the snapshot can be used", w.instances.told, status)
	}

	wantCondition(t, w.backup(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonBackupRunning, "to be ready to use")

	// What becomes of the instance now is no matter.
	w.removeInstance(t, backupReplica)
	w.readies = true
	w.settle(t)

	status := w.backup(t).Status
	if status.Phase != postgresqlv1.BackupCompleted || status.Attempts != 1 || status.Snapshot == nil || status.Snapshot.RestoreSize != "1Gi" ||
		status.BackupID == "" || status.BeginLSN == "" || status.ObjectStore == nil {
		t.Errorf("the status is %+v", status)
	}

	wantCondition(t, status.Conditions, postgresqlv1.ConditionRestorable, postgresqlv1.ReasonBackupCompleted, "drills do not restore snapshots")

	if noted := w.snapshots(t)[0].GetAnnotations()[naming.AnnotationBackup]; !strings.Contains(noted, status.BackupID) || !strings.Contains(noted, status.BeginLSN) {
		t.Errorf("the snapshot says %q", noted)
	}

	// By default nobody deletes it.
	if err := w.server.Client.Delete(t.Context(), w.backup(t)); err != nil {
		t.Fatal(err)
	}

	w.settle(t)

	if len(w.snapshots(t)) != 1 {
		t.Error("the snapshot is gone with its Backup")
	}
}

// TestNoSnapshotToBeHad says what is missing, and goes on once it is there.
func TestNoSnapshotToBeHad(t *testing.T) {
	t.Parallel()

	named := func(t *testing.T, w *snapshotWorld, name string) {
		t.Helper()

		cluster := &postgresqlv1.Cluster{}
		w.get(t, "shop", cluster)
		cluster.Spec.Backup.VolumeSnapshot = &postgresqlv1.VolumeSnapshotConfiguration{ClassName: w.namespace + "-" + name}
		must(t, w.server.Client.Update(t.Context(), cluster))
	}

	for name, tc := range map[string]struct {
		classes []string
		change  func(t *testing.T, w *snapshotWorld)
		message string
		remedy  func(t *testing.T, w *snapshotWorld)
		want    string
	}{
		"the kinds are not installed": {
			[]string{"a"},
			func(_ *testing.T, w *snapshotWorld) { w.hasSnapshots = false },
			"the kinds of snapshot.storage.k8s.io/v1 are not installed", func(_ *testing.T, w *snapshotWorld) { w.hasSnapshots = true }, "a",
		},
		"no class of the driver": {
			nil, func(t *testing.T, w *snapshotWorld) { t.Helper(); w.addClass(t, "other", "other.example") },
			"there is no VolumeSnapshotClass of driver", func(t *testing.T, w *snapshotWorld) { t.Helper(); w.addClass(t, "late", w.driver) }, "late",
		},
		"several, and none is named": {
			[]string{"b", "a"},
			func(*testing.T, *snapshotWorld) {},
			"several VolumeSnapshotClasses", func(t *testing.T, w *snapshotWorld) { t.Helper(); named(t, w, "b") }, "b",
		},
		"one is named that is not there": {
			[]string{"a"},
			func(t *testing.T, w *snapshotWorld) { t.Helper(); named(t, w, "b") },
			"spec.backup.volumeSnapshot.className", func(t *testing.T, w *snapshotWorld) { t.Helper(); w.addClass(t, "b", w.driver) }, "b",
		},
		"one is named that is another driver's": {
			[]string{"a"},
			func(t *testing.T, w *snapshotWorld) {
				t.Helper()
				w.addClass(t, "c", "other.example")
				named(t, w, "c")
			},
			"is of driver other.example", func(t *testing.T, w *snapshotWorld) { t.Helper(); named(t, w, "a") }, "a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newSnapshotWorld(t, tc.classes...)
			tc.change(t, w)
			w.create(t, newBackup(bySnapshot))
			w.settle(t)
			wantCondition(t, w.backup(t).Status.Conditions, conditionStalled, postgresqlv1.ReasonSnapshotsNotSupported, tc.message)

			if len(w.instances.orders) > 0 {
				t.Errorf("an instance was ordered to %v", w.instances.orders)
			}

			tc.remedy(t, w)
			w.after(t, time.Minute)

			status := w.backup(t).Status
			if status.Phase != postgresqlv1.BackupCompleted || status.Snapshot.ClassName != w.namespace+"-"+tc.want {
				t.Errorf("afterwards: %+v", status)
			}
		})
	}
}

// TestSnapshotsOfLostAttemptsAreDeleted, and another is made for the next one.
func TestSnapshotsOfLostAttemptsAreDeleted(t *testing.T) {
	t.Parallel()

	w := newSnapshotWorld(t, "only")
	w.cuts = false
	w.create(t, newBackup(bySnapshot))
	w.settle(t)

	first := w.snapshots(t)[0].GetName()
	w.instances.do(func() { w.instances.status[backupReplica].ArchiveRun = nil })
	w.settle(t)
	wantCondition(t, w.backup(t).Status.Conditions, conditionReconciling, postgresqlv1.ReasonBackupRunning, "was started anew")

	w.cuts = true
	w.after(t, time.Minute)

	status := w.backup(t).Status
	if left := w.snapshots(t); status.Phase != postgresqlv1.BackupCompleted || status.Attempts != 2 || len(left) != 1 || left[0].GetName() == first {
		t.Errorf("after another attempt: %+v, %d snapshots", status, len(left))
	}

	if status.Snapshot.Name != w.snapshots(t)[0].GetName() {
		t.Errorf("it names %s", status.Snapshot.Name)
	}
}

// TestNothingIsLeftOfAFailedSnapshot after the last attempt.
func TestNothingIsLeftOfAFailedSnapshot(t *testing.T) {
	t.Parallel()

	w := newSnapshotWorld(t, "only")
	w.cuts = false
	w.create(t, newBackup(bySnapshot))

	for range 3 {
		w.after(t, time.Minute)
		w.instances.do(func() { w.instances.failures = []string{"nobody has said within 10m0s that the snapshot was taken"} })
		w.after(t, time.Minute)
	}

	backup := w.backup(t)
	wantCondition(t, backup.Status.Conditions, conditionStalled, postgresqlv1.ReasonBackupFailed, "nobody has said")

	if len(w.snapshots(t)) != 0 || backup.Status.Snapshot != nil || len(backup.Finalizers) > 0 {
		t.Errorf("left are %d snapshots, status %+v, finalizers %v", len(w.snapshots(t)), backup.Status.Snapshot, backup.Finalizers)
	}
}

// TestSnapshotGoesWithItsBackup where the policy says so, or when the Backup is deleted before it is complete.
func TestSnapshotGoesWithItsBackup(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		spec          func(*postgresqlv1.BackupSpec)
		cuts, readies bool
	}{
		"complete, policy Delete": {func(spec *postgresqlv1.BackupSpec) { bySnapshot(spec); reclaimed(spec) }, true, true},
		"before it is cut":        {bySnapshot, false, false},
		"before it is ready":      {bySnapshot, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newSnapshotWorld(t, "only")
			w.cuts, w.readies = tc.cuts, tc.readies
			w.create(t, newBackup(tc.spec))
			w.settle(t)

			if len(w.snapshots(t)) != 1 {
				t.Fatal("there is no snapshot")
			}

			must(t, w.server.Client.Delete(t.Context(), w.backup(t)))
			w.settle(t)

			if w.get(t, "shop", &postgresqlv1.Backup{}) || len(w.snapshots(t)) != 0 || len(w.instances.stored) != 0 {
				t.Errorf("left are %d snapshots, and in the store %v", len(w.snapshots(t)), w.instances.stored)
			}
		})
	}
}

// TestSnapshotExpires with what the archive has of it, whatever the reclaim policy.
func TestSnapshotExpires(t *testing.T) {
	t.Parallel()

	w := newSnapshotWorld(t, "only")
	w.create(t, newBackup(bySnapshot))
	w.settle(t)

	later := w.completeBackup(t, "later", backupTime().Add(24*time.Hour))
	later.Status.Retention = &postgresqlv1.BackupRetention{
		Policy: "1d", At: metav1.NewTime(backupTime().Add(25 * time.Hour)), Deleted: []string{w.backup(t).Status.BackupID},
	}
	w.writeStatus(t, later)
	w.settle(t)
	w.settle(t)

	backup := w.backup(t)
	wantCondition(t, backup.Status.Conditions, postgresqlv1.ConditionRestorable, postgresqlv1.ReasonBackupExpired, "no longer in the store")

	if len(w.snapshots(t)) != 0 || backup.Status.Snapshot != nil || len(backup.Finalizers) > 0 {
		t.Errorf("left are %d snapshots, status %+v, finalizers %v", len(w.snapshots(t)), backup.Status.Snapshot, backup.Finalizers)
	}
}

// TestCrashAfterEveryWriteOfASnapshot kills the operator after each single write.
func TestCrashAfterEveryWriteOfASnapshot(t *testing.T) {
	t.Parallel()

	for name, start := range map[string]func(t *testing.T) crash.World{
		"taken": func(t *testing.T) crash.World {
			t.Helper()

			w := newSnapshotWorld(t, "only")
			w.create(t, newBackup(bySnapshot))

			return w
		},
		"taken and deleted": func(t *testing.T) crash.World {
			t.Helper()

			w := newSnapshotWorld(t, "only")
			w.create(t, newBackup(bySnapshot, reclaimed))
			w.settle(t)
			must(t, w.server.Client.Delete(t.Context(), w.backup(t)))

			return w
		},
		"deleted while it is taken": func(t *testing.T) crash.World {
			t.Helper()

			w := newSnapshotWorld(t, "only")
			w.cuts = false
			w.create(t, newBackup(bySnapshot))
			w.settle(t)
			must(t, w.server.Client.Delete(t.Context(), w.backup(t)))

			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash.AfterEveryWrite(t, start)
		})
	}
}

// TestRecoveryFromASnapshot: the first volume is made of it, the others are not, and its instance knows.
func TestRecoveryFromASnapshot(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	installSnapshotKinds(t, w.server)

	at := metav1.NewTime(time.Now().Add(-time.Hour))
	backup := &postgresqlv1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "monday"}}
	backup.Spec = postgresqlv1.BackupSpec{Cluster: postgresqlv1.LocalObjectReference{Name: "old"}, Method: postgresqlv1.BackupMethodVolumeSnapshot}
	must(t, w.server.Client.Create(t.Context(), backup))

	backup.Status = postgresqlv1.BackupStatus{
		Phase: postgresqlv1.BackupCompleted, Method: backup.Spec.Method, BackupID: "20260301T120000Z", StartedAt: &at, StoppedAt: &at,
		ObjectStore: &postgresqlv1.ObjectStore{DestinationPath: "s3://bucket/path"},
		Snapshot:    &postgresqlv1.BackupSnapshot{Name: "monday-1", ClassName: "csi", RestoreSize: "2Gi"},
	}
	must(t, w.server.Client.Status().Update(t.Context(), backup))

	w.create(t, w.newCluster(func(spec *postgresqlv1.ClusterSpec) {
		spec.Storage.Size = "1Gi"
		spec.Bootstrap = &postgresqlv1.BootstrapConfiguration{Recovery: &postgresqlv1.BootstrapRecovery{
			Backup: &postgresqlv1.LocalObjectReference{Name: "monday"},
		}}
	}))
	w.settle(t)
	w.wantStalled(t, postgresqlv1.ReasonBackupMissing, `the snapshot of Backup "monday" is gone`)

	snapshot := build.VolumeSnapshot(backup, *backup.Status.Snapshot, "old-0")
	must(t, w.server.Client.Create(t.Context(), snapshot))
	w.settle(t)
	w.wantStalled(t, postgresqlv1.ReasonBootstrapFailed, "spec.storage.size: is 1Gi, and a volume made of the snapshot of Backup \"monday\" needs 2Gi")

	w.change(t, func(c *postgresqlv1.Cluster) { c.Spec.Storage.Size = "2Gi" })
	w.settle(t)

	claims := &corev1.PersistentVolumeClaimList{}
	must(t, w.server.Client.List(t.Context(), claims, client.InNamespace(w.namespace)))

	var sources []string

	for _, claim := range claims.Items {
		if source := claim.Spec.DataSource; source != nil {
			sources = append(sources, fmt.Sprintf("%s of %s", claim.Name, source.Name))
		}
	}

	first := w.cluster(t).Name + "-0"
	if len(claims.Items) < 2 || !slices.Equal(sources, []string{first + " of monday-1"}) {
		t.Errorf("of %d volumes these are made of a snapshot: %v", len(claims.Items), sources)
	}

	for name, pod := range w.pods(t) {
		env := pod.Spec.Containers[0].Env
		isTold := slices.ContainsFunc(env, func(v corev1.EnvVar) bool { return v.Name == instanceapi.EnvSnapshot && v.Value != "" })

		if isTold != (name == first) {
			t.Errorf("%s: told of a snapshot: %v", name, isTold)
		}
	}
}
