package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// snapshotGroup is that of the kinds of volume snapshots.
var snapshotGroup = schema.GroupVersion{Group: "snapshot.storage.k8s.io", Version: "v1"}

// TestSnapshot backs a Cluster up by a snapshot of a replica's volume, and makes new Clusters of it: one at the end of the archive, and
// one at a moment after the snapshot.
func TestSnapshot(t *testing.T) {
	longOnly(t)

	class := snapshotStorageClass(t)
	t.Parallel()

	f := newFixture(t, "snapshot")
	b := f.startArchiving(t, func(spec *postgresqlv1.ClusterSpec) {
		spec.Storage.StorageClass = &class
		spec.Backup.RetentionPolicy = "30d"
	})

	s := &snapshotTest{backupTest: b, class: class}

	step(t, s, "a backup is taken by a snapshot", takesASnapshot)
	step(t, s, "a new Cluster is made of it, at the end of the archive", recoversToTheEnd)
	step(t, s, "another one is made of it, at a moment", recoversToTheMoment)
	step(t, s, "the snapshot goes with its Backup", deletesTheSnapshot)
}

type snapshotTest struct {
	*backupTest

	// class of volumes of which snapshots can be taken.
	class string
}

// snapshotStorageClass is a class of volumes whose driver takes snapshots. Without one the test is skipped.
func snapshotStorageClass(t *testing.T) string {
	t.Helper()

	c := testEnvironment.kube.Client
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(snapshotGroup.WithKind("VolumeSnapshotClass"))

	if err := c.List(t.Context(), list); meta.IsNoMatchError(err) {
		t.Skip("this Kubernetes cluster has no volume snapshots (snapshot.storage.k8s.io/v1); a development cluster has them with up --csi")
	} else if err != nil {
		t.Fatal(err)
	}

	classes := &storagev1.StorageClassList{}
	if err := c.List(t.Context(), classes); err != nil {
		t.Fatal(err)
	}

	for _, snapshots := range list.Items {
		driver, _, _ := unstructured.NestedString(snapshots.Object, "driver")

		for _, class := range classes.Items {
			if class.Provisioner == driver {
				return class.Name
			}
		}
	}

	t.Skip("no VolumeSnapshotClass is of the driver of a storage class")

	return ""
}

func takesASnapshot(t *testing.T, s *snapshotTest) {
	t.Helper()

	s.write(t, "CREATE TABLE ledger (n int)")
	s.write(t, "INSERT INTO ledger SELECT generate_series(1, 100)")

	backup := &postgresqlv1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "by-snapshot"}}
	backup.Spec.Cluster.Name, backup.Spec.Method = s.name, postgresqlv1.BackupMethodVolumeSnapshot
	s.create(t, backup)

	kube.Eventually(t, readyTimeout, "the backup is complete", func(ctx context.Context) error {
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(backup), backup); err != nil {
			return err
		}

		if backup.Status.StoppedAt == nil || backup.Status.Error != "" {
			return fmt.Errorf("%s: %s, %+v", backup.Status.Phase, backup.Status.Error, meta.FindStatusCondition(backup.Status.Conditions, postgresqlv1.ConditionReady))
		}

		return nil
	})

	if !meta.IsStatusConditionTrue(backup.Status.Conditions, postgresqlv1.ConditionRestorable) || backup.Status.Snapshot == nil || backup.Status.BeginWal == "" {
		t.Errorf("the status is %+v", backup.Status)
	}

	if primary := s.cluster(t).Status.Primary; backup.Status.InstanceID.PodName == primary {
		t.Errorf("it was taken from the primary %s, though there is a replica", primary)
	}

	t.Logf("it took %s", backup.Status.Duration)

	s.write(t, "INSERT INTO ledger SELECT generate_series(101, 200)")
	s.rememberMoment(t)
	s.write(t, "DELETE FROM ledger WHERE n > 10")

	s.waitArchived(t)
}

// recovered is a new Cluster of the snapshot.
func (s *snapshotTest) recovered(t *testing.T, name string, target *postgresqlv1.RecoveryTarget, rows string) {
	t.Helper()

	origin := s.name
	s.name = name

	defer func() { s.name = origin }()

	began := time.Now()
	s.create(t, s.newCluster(2, func(spec *postgresqlv1.ClusterSpec) {
		spec.Storage.StorageClass = &s.class
		spec.Bootstrap = &postgresqlv1.BootstrapConfiguration{Recovery: &postgresqlv1.BootstrapRecovery{
			Backup: &postgresqlv1.LocalObjectReference{Name: "by-snapshot"}, RecoveryTarget: target,
		}}
		spec.Backup = &postgresqlv1.BackupConfiguration{ObjectStore: s.s3Store()}
	}))
	s.waitReady(t)
	t.Logf("ready after %s", time.Since(began).Round(time.Second))

	for _, instance := range append(s.replicas(t), s.primary(t)) {
		s.waitSQL(t, instance, "app", "SELECT count(*) || ' ' || sum(n) FROM ledger", rows)
	}

	s.write(t, "INSERT INTO ledger VALUES (0)")
	s.waitArchiving(t, metav1.ConditionTrue, "folder "+name)
}

func recoversToTheEnd(t *testing.T, s *snapshotTest) {
	t.Helper()
	s.recovered(t, "newest", nil, "10 55")
}

func recoversToTheMoment(t *testing.T, s *snapshotTest) {
	t.Helper()
	s.recovered(t, "moment", &postgresqlv1.RecoveryTarget{TargetTime: s.before}, "200 20100")
}

func deletesTheSnapshot(t *testing.T, s *snapshotTest) {
	t.Helper()

	backup := &postgresqlv1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "by-snapshot"}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"reclaimPolicy":"Delete"}}`))

	if err := s.Client.Patch(t.Context(), backup, patch); err != nil {
		t.Fatal(err)
	}

	kube.Eventually(t, readyTimeout, "the Backup has a finalizer", func(ctx context.Context) error {
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(backup), backup); err != nil || len(backup.Finalizers) > 0 {
			return err
		}

		return fmt.Errorf("it has none")
	})

	if err := s.Client.Delete(t.Context(), backup); err != nil {
		t.Fatal(err)
	}

	kube.Eventually(t, readyTimeout, "the snapshot is gone", func(ctx context.Context) error {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(snapshotGroup.WithKind("VolumeSnapshot"))

		if err := s.Client.List(ctx, list, client.InNamespace(s.namespace)); err != nil {
			return err
		}

		if len(list.Items) > 0 {
			return fmt.Errorf("%s is there", list.Items[0].GetName())
		}

		return client.IgnoreNotFound(s.Client.Get(ctx, client.ObjectKeyFromObject(backup), backup))
	})
}
