package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// s3Name is that of an S3 server (versitygw) in the test's namespace.
const s3Name = "s3"

// TestBackup goes the way of the source document: a Cluster that archives, a Backup, rows after it, and a new Cluster that
// is recovered to a moment in between. On the way the store is stopped, and the primary changes.
func TestBackup(t *testing.T) {
	longOnly(t)
	t.Parallel()

	f := newFixture(t, "backup")
	b := f.startArchiving(t, func(spec *postgresqlv1.ClusterSpec) {
		spec.Backup = &postgresqlv1.BackupConfiguration{BarmanObjectStore: f.s3Store(), RetentionPolicy: "30d"}
	})

	step(t, b, "WAL is archived", archives)
	step(t, b, "a backup is taken from a replica", takesABackup)
	step(t, b, "the store is stopped, and comes back", losesItsStore)
	step(t, b, "the primary changes", switches)
	step(t, b, "a new Cluster is recovered to a moment", recovers)
}

type backupTest struct {
	*fixture

	// before is the moment to recover to.
	before string
}

func archives(t *testing.T, b *backupTest) {
	t.Helper()

	b.write(t, "CREATE TABLE ledger (n int)")
	b.write(t, "INSERT INTO ledger SELECT generate_series(1, 100)")
	b.waitArchiving(t, metav1.ConditionTrue, "s3://backups/financial-db")
}

func takesABackup(t *testing.T, b *backupTest) {
	t.Helper()

	says(t, b.terminal(t).run(t, "kubectl caretaker backup db --name before-upgrade"),
		` +0\.\d s  asked for Backup before-upgrade of Cluster db`,
		` +\d+\.\d s  \S+ was taken from db-\d in \S+: \S+ in the store`,
		` +\d+\.\d s  it can be restored: .*`)

	backup := &postgresqlv1.Backup{}
	if err := b.Client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "before-upgrade"}, backup); err != nil {
		t.Fatalf("get Backup: %v", err)
	}

	restorable := meta.FindStatusCondition(backup.Status.Conditions, postgresqlv1.ConditionRestorable)
	if restorable == nil || restorable.Status != metav1.ConditionTrue || !backup.Status.Verified {
		t.Errorf("Restorable is %+v", restorable)
	}

	if primary := b.cluster(t).Status.Primary; backup.Status.InstanceID.PodName == primary {
		t.Errorf("it was taken from the primary %s, though there is a replica", primary)
	}

	if backup.Status.BeginWal == "" || backup.Status.EndLSN == "" || backup.Status.Size == "" {
		t.Errorf("status is %+v", backup.Status)
	}
}

// takeBackup and wait for it to be complete.
func (f *fixture) takeBackup(t *testing.T, name string) {
	t.Helper()

	backup := &postgresqlv1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name}}
	backup.Spec.Cluster.Name = f.name
	f.create(t, backup)

	kube.Eventually(t, readyTimeout, "the backup is complete", func(ctx context.Context) error {
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(backup), backup); err != nil {
			return err
		}

		ready := meta.FindStatusCondition(backup.Status.Conditions, postgresqlv1.ConditionReady)
		if ready == nil || ready.Status != metav1.ConditionTrue {
			return fmt.Errorf("%s: %+v", backup.Status.Phase, ready)
		}

		return nil
	})
}

// losesStore: PostgreSQL goes on, the condition says so within a minute, and everything is sent afterwards.
func losesItsStore(t *testing.T, b *backupTest) {
	t.Helper()

	b.scaleS3(t, s3Name, 0)
	b.write(t, "INSERT INTO ledger SELECT generate_series(101, 200)")

	began := time.Now()
	b.waitArchiving(t, metav1.ConditionFalse, "PostgreSQL goes on")
	t.Logf("the condition said so after %s", time.Since(began).Round(time.Second))

	if err := ready(b.cluster(t)); err != nil {
		t.Errorf("a lost store made the Cluster unready: %v", err)
	}

	b.scaleS3(t, s3Name, 1)
	b.waitArchiving(t, metav1.ConditionTrue, "s3://backups/financial-db")
}

func switches(t *testing.T, b *backupTest) {
	t.Helper()
	switchesOver(t, b)
	b.write(t, "INSERT INTO ledger SELECT generate_series(201, 300)")

	b.rememberMoment(t)
	b.write(t, "DELETE FROM ledger")
}

func switchesOver(t *testing.T, b *backupTest) {
	t.Helper()

	old := b.cluster(t).Status.Primary
	b.annotate(t, "caretaker.dev/switchover", "/backup")
	kube.Eventually(t, readyTimeout, "another primary", func(ctx context.Context) error {
		cluster, err := b.get(ctx)
		if err == nil && cluster.Status.Primary == old {
			err = fmt.Errorf("%s still leads", old)
		}

		return err
	})
	b.waitReady(t)
}

// rememberMoment to recover to. Commits have the server's time: the moment is between two of them for certain.
func (b *backupTest) rememberMoment(t *testing.T) {
	t.Helper()

	b.write(t, "SELECT pg_sleep(1)")
	b.before = b.write(t, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
	b.write(t, "SELECT pg_sleep(1)")
}

// write runs SQL on the primary.
func (b *backupTest) write(t *testing.T, sql string) string {
	t.Helper()

	return b.sql(t, b.primary(t), "app", sql)
}

func recovers(t *testing.T, b *backupTest) {
	t.Helper()

	store := b.s3Store()
	origin := b.name

	// What comes after the moment must be in the archive: a recovery ends where it is known to end.
	b.waitArchived(t)

	b.name = "restored"
	b.create(t, b.newCluster(2, func(spec *postgresqlv1.ClusterSpec) {
		spec.Bootstrap = &postgresqlv1.BootstrapConfiguration{Recovery: &postgresqlv1.BootstrapRecovery{
			Backup:         &postgresqlv1.LocalObjectReference{Name: "before-upgrade"},
			RecoveryTarget: &postgresqlv1.RecoveryTarget{TargetTime: b.before},
		}}
		spec.Backup = &postgresqlv1.BackupConfiguration{ObjectStore: store}
	}))
	b.waitReady(t)

	for _, instance := range append(b.replicas(t), b.primary(t)) {
		b.waitSQL(t, instance, "app", "SELECT count(*) || ' ' || sum(n) FROM ledger", "300 45150")
	}

	status := b.cluster(t).Status
	if status.Recovery == nil || status.Recovery.ReachedLSN == "" || !strings.Contains(status.Recovery.Target, "(UTC)") {
		t.Errorf("status.recovery is %+v", status.Recovery)
	}

	// It archives to a place of its own, at once.
	b.waitArchiving(t, metav1.ConditionTrue, "folder restored")
	b.name = origin
}

// waitArchived until everything that was written so far is in the archive, up to the segment that it gives.
func (b *backupTest) waitArchived(t *testing.T) string {
	t.Helper()

	// A segment that has nothing in it yet is never archived, and archive_timeout may just have begun one.
	segment := b.write(t, "SELECT pg_walfile_name(pg_logical_emit_message(false, 'test', 'the end') - 1)")
	b.write(t, "SELECT pg_switch_wal()")
	b.waitSQL(t, b.primary(t), "app", "SELECT last_archived_wal >= '"+segment+"' FROM pg_stat_archiver", "t")

	return segment
}

// waitArchiving waits for the condition of the archive to have a status, and a part of its message.
func (f *fixture) waitArchiving(t *testing.T, status metav1.ConditionStatus, message string) {
	t.Helper()
	f.waitStore(t, postgresqlv1.ConditionContinuousArchiving, status, message)
}

// waitStore waits for a condition that tells of a store, for as long as such a thing may take.
func (f *fixture) waitStore(t *testing.T, name string, status metav1.ConditionStatus, message string) {
	t.Helper()
	kube.Eventually(t, 90*time.Second, fmt.Sprintf("%s is %s", name, status), func(ctx context.Context) error {
		cluster, err := f.get(ctx)
		if err != nil {
			return err
		}

		condition := meta.FindStatusCondition(cluster.Status.Conditions, name)
		if condition == nil || condition.Status != status || !strings.Contains(condition.Message, message) {
			return fmt.Errorf("it is %+v", condition)
		}

		return nil
	})
}

func (f *fixture) s3Store() *postgresqlv1.ObjectStore { return f.s3StoreOf(s3Name) }

// s3StoreOf is a store on one of several servers.
func (f *fixture) s3StoreOf(server string) *postgresqlv1.ObjectStore {
	store := f.s3Server(server, "").Store("financial-db")
	store.Wal = &postgresqlv1.ObjectStoreTransfer{Compression: "gzip", MaxParallel: 4}

	return store
}

func (f *fixture) s3Server(name, image string) kube.S3 {
	return kube.S3{Namespace: f.namespace, Name: name, Image: image, StorageClass: f.environment.storageClass}
}

// startArchiving starts a Cluster of two that archives to an S3 server, with segments that end soon.
func (f *fixture) startArchiving(t *testing.T, change ...func(*postgresqlv1.ClusterSpec)) *backupTest {
	t.Helper()
	f.startS3(t)

	archives := func(spec *postgresqlv1.ClusterSpec) {
		spec.Backup = &postgresqlv1.BackupConfiguration{ObjectStore: f.s3Store()}
		spec.PostgreSQL.Parameters = map[string]string{"archive_timeout": "5s"}
	}
	f.start(t, f.newCluster(2, append([]func(*postgresqlv1.ClusterSpec){archives}, change...)...))

	return &backupTest{fixture: f}
}

func (f *fixture) startS3(t *testing.T) {
	t.Helper()
	f.startS3Server(t, s3Name)
}

// startS3Server starts a versitygw on a volume, so that it can be stopped without losing what it has.
func (f *fixture) startS3Server(t *testing.T, server string) {
	t.Helper()

	image := env("CARETAKER_S3_IMAGE", "caretaker.local/versitygw:test")
	if image == "" {
		t.Skip("CARETAKER_S3_IMAGE is empty: there is no object store to test with")
	}

	for _, object := range f.s3Server(server, image).Objects() {
		if err := f.Client.Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("start the store %s: %v", server, err)
		}
	}
}

// createClaim of 1 GiB.
func (f *fixture) createClaim(t *testing.T, name string) {
	t.Helper()

	volume := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name}}
	volume.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	volume.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}

	if f.environment.storageClass != "" {
		volume.Spec.StorageClassName = &f.environment.storageClass
	}

	f.create(t, volume)
}

func (f *fixture) scaleS3(t *testing.T, server string, replicas int32) {
	t.Helper()

	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	if err := f.Client.Patch(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: server}}, patch); err != nil {
		t.Fatalf("scale the store: %v", err)
	}
}
