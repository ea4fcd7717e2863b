package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// archiveClaim is the volume that a Cluster archives to. It is ReadWriteOnce: all instances come to its node.
const archiveClaim = "archive"

// TestVolumeArchive: three instances that archive to a volume go back to a moment under the same name while an application writes. Then
// the Cluster is deleted with its volumes, and comes back of a Backup; and once more, of the volume alone.
func TestVolumeArchive(t *testing.T) {
	longOnly(t)
	t.Parallel()

	f := newFixture(t, "volume-archive")
	f.createClaim(t, archiveClaim)
	f.start(t, f.newCluster(3, func(spec *postgresqlv1.ClusterSpec) {
		spec.Backup = &postgresqlv1.BackupConfiguration{Volume: &postgresqlv1.VolumeStore{
			PersistentVolumeClaim: corev1.PersistentVolumeClaimVolumeSource{ClaimName: archiveClaim},
		}}
		spec.PostgreSQL.Parameters = map[string]string{"archive_timeout": "5s"}
		spec.DeletionPolicy = postgresqlv1.DeletionPolicyDelete
	}))

	b := &backupTest{fixture: f}
	w := f.newWriter(t)

	step(t, b, "WAL is archived, and a backup is taken", func(t *testing.T, b *backupTest) {
		t.Helper()
		b.write(t, "CREATE TABLE ledger AS SELECT generate_series(1, 100) AS n")
		b.waitArchiving(t, metav1.ConditionTrue, "the volume archive, folder db")
		b.takeBackup(t, "before")
	})
	step(t, w, "it goes back to a moment while clients write", goesBackUnderLoad)
	step(t, b, "it is deleted, and comes back from its archive", func(t *testing.T, b *backupTest) {
		t.Helper()
		b.takeBackup(t, "after")
		b.write(t, "INSERT INTO ledger VALUES (101)")
		b.waitArchived(t)
		b.comesBack(t, "after", "again", "")
		b.waitSQL(t, b.primary(t), "app", "SELECT count(*) || ' ' || sum(n) FROM ledger", "101 5151")
		b.waitArchiving(t, metav1.ConditionTrue, "the volume archive, folder again")
	})
	step(t, b, "all is gone but the archive, and it comes back from that", comesBackFromTheVolume)
}

// comesBackFromTheVolume: neither the Cluster, nor its volumes, nor a Backup is left, and it has its name again.
func comesBackFromTheVolume(t *testing.T, b *backupTest) {
	t.Helper()
	b.takeBackup(t, "newest")
	b.write(t, "INSERT INTO ledger VALUES (102)")
	b.waitArchived(t)

	b.terminal(t).run(t, fmt.Sprintf(`
		kubectl delete pgc %[1]s
		kubectl delete pgb --all
		kubectl delete pod -l %[2]s=%[1]s
		kubectl delete pvc,clusterterm -l %[2]s=%[1]s`, b.name, naming.LabelCluster))

	origin := b.name
	onArchive := func(server string) *postgresqlv1.VolumeStore {
		return &postgresqlv1.VolumeStore{PersistentVolumeClaim: corev1.PersistentVolumeClaimVolumeSource{ClaimName: archiveClaim}, ServerName: server}
	}
	b.create(t, b.newCluster(1, func(spec *postgresqlv1.ClusterSpec) {
		spec.Bootstrap = &postgresqlv1.BootstrapConfiguration{Recovery: &postgresqlv1.BootstrapRecovery{Source: "old"}}
		spec.ExternalClusters = []postgresqlv1.ExternalCluster{{Name: "old", Volume: onArchive(origin)}}
		spec.Backup = &postgresqlv1.BackupConfiguration{Volume: onArchive(origin + "-2")}
	}))
	b.waitReadyWithin(t, 2*readyTimeout)
	b.waitSQL(t, b.primary(t), "app", "SELECT count(*) || ' ' || sum(n) FROM ledger", "102 5253")
	b.waitArchiving(t, metav1.ConditionTrue, "the volume archive, folder "+origin+"-2")

	// What it came from can be read, and no more.
	out, err := b.Exec(t.Context(), b.container(b.primary(t)), "touch", instanceapi.RecoveryVolumeDir+"/"+origin+"/touched")
	if err == nil || !strings.Contains(err.Error(), "Read-only file system") {
		t.Errorf("writing into the archive that it came from: %s %v", out, err)
	}
}

// goesBackUnderLoad: of what was acknowledged, everything up to the moment is there afterwards, and nothing of what came later.
func goesBackUnderLoad(t *testing.T, w *writer) {
	t.Helper()

	b := &backupTest{fixture: w.fixture}
	w.waitCondition(t, postgresqlv1.ConditionSyncReplication, postgresqlv1.ReasonSynchronous, "(required)")
	b.rememberMoment(t)

	moment, err := time.Parse("2006-01-02 15:04:05.999999", b.before)
	if err != nil {
		t.Fatal(err)
	}

	b.write(t, "DROP TABLE ledger")
	b.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "one", RecoveryTarget: &postgresqlv1.RecoveryTarget{TargetTime: b.before}})

	for _, instance := range append(b.replicas(t), b.primary(t)) {
		b.waitSQL(t, instance, "app", "SELECT count(*) || ' ' || sum(n) FROM ledger", "100 5050")
	}

	if got := b.setAside(t, "one"); !slices.Equal(got, []string{"db-0", "db-1", "db-2"}) {
		t.Errorf("set aside: %v", got)
	}

	// The same client goes on.
	w.gapSince(t, time.Now())

	all, err := w.acknowledged(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	there := strings.Fields(w.sql(t, w.rw, "SELECT id FROM written"))
	slices.Sort(there)

	completed := b.cluster(t).Status.RecoverInPlace.CompletedAt
	before, between := 0, 0

	for _, row := range all {
		_, found := slices.BinarySearch(there, row.id)

		switch {
		case row.at.Before(moment):
			before++

			if !found {
				t.Errorf("row %s was acknowledged before the moment, at %s, and is gone", row.id, row.at)
			}
		case row.at.Before(completed.Time):
			between++
		}
	}

	t.Logf("%d rows were acknowledged before the moment, %d between it and the recovery", before, between)
}

// comesBack deletes the Cluster, with its volumes, and has the plugin make another one of a Backup.
func (b *backupTest) comesBack(t *testing.T, backup, name, flags string) {
	t.Helper()

	if err := b.Client.Delete(t.Context(), b.cluster(t)); err != nil {
		t.Fatalf("delete the Cluster: %v", err)
	}

	kube.Eventually(t, readyTimeout, "the Cluster is gone, and its pods and volumes", func(ctx context.Context) error {
		of, selector := client.InNamespace(b.namespace), client.MatchingLabels{naming.LabelCluster: b.name}

		var (
			pods    corev1.PodList
			volumes corev1.PersistentVolumeClaimList
		)

		err := errors.Join(b.isGone(ctx, &postgresqlv1.Cluster{}, b.name), b.Client.List(ctx, &pods, of, selector), b.Client.List(ctx, &volumes, of, selector))
		// What a recovery in place set aside stays, and is not taken up.
		left := slices.DeleteFunc(volumes.Items, func(v corev1.PersistentVolumeClaim) bool { return v.Labels[naming.LabelSetAside] != "" })
		if err == nil && len(pods.Items)+len(left) > 0 {
			err = fmt.Errorf("there are %d pods and %d volumes", len(pods.Items), len(left))
		}

		return err
	})

	terminal := b.terminal(t)
	terminal.run(t, fmt.Sprintf(`
		kubectl get backups
		kubectl caretaker restore %s --to-cluster %s %s`, backup, name, flags))

	b.name = name
	b.waitReadyWithin(t, 2*readyTimeout)
	terminal.run(t, "kubectl caretaker status "+name)
}
