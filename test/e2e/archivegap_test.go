package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// TestArchiveGap loses primaries while the store is down. Once only the pod: the archive gets everything afterwards. Then the volume as
// well, and with it WAL that nobody else has: moments before that can be reached, those behind it only from a backup that was taken
// later, and whoever asks for one from before is told what is missing. In the end the Cluster is gone, and comes back from the store.
func TestArchiveGap(t *testing.T) {
	longOnly(t)
	t.Parallel()

	b := newFixture(t, "archive-gap").startArchiving(t, func(spec *postgresqlv1.ClusterSpec) {
		spec.DeletionPolicy = postgresqlv1.DeletionPolicyDelete
	})

	step(t, b, "WAL is archived, and a backup is taken", func(t *testing.T, b *backupTest) {
		t.Helper()
		archives(t, b)
		b.takeBackup(t, "first")
	})
	step(t, b, "the primary is lost while the store is down, and nothing is missing", losesItsPrimaryUnarchived)
	step(t, b, "a moment after that is reached from the backup before it", func(t *testing.T, b *backupTest) {
		t.Helper()
		b.restores(t, "after-failover")
	})
	step(t, b, "the primary's volume is lost while the store is down, and what is missing is told", losesItsWAL)
	step(t, b, "a moment before the gap is reached", func(t *testing.T, b *backupTest) {
		t.Helper()
		b.restores(t, "before-gap")
	})
	step(t, b, "no moment behind the gap is reached from the backup before it", namesWhatIsMissing)
	step(t, b, "a new backup, and the Cluster comes back from it", func(t *testing.T, b *backupTest) {
		t.Helper()
		b.takeBackup(t, "second")
		b.waitArchiving(t, metav1.ConditionTrue, "s3://backups/financial-db")
		b.write(t, "INSERT INTO ledger VALUES (401)")
		b.waitArchived(t)
		b.comesBack(t, "second", "db", "--server-name db-2")
		b.waitSQL(t, b.primary(t), "app", "SELECT count(*) || ' ' || sum(n) FROM ledger", "401 80601")
	})
	step(t, b, "the old Cluster's Backups are not the new one's", hasItsOwnBackups)
}

// hasItsOwnBackups: the Cluster of the old name archives to another folder, in which there is no backup yet.
func hasItsOwnBackups(t *testing.T, b *backupTest) {
	t.Helper()

	b.waitStore(t, postgresqlv1.ConditionBackedUp, metav1.ConditionFalse, "there is no Backup")

	if told := b.cluster(t).Status.Backups; told != nil && told.LastSuccessfulBackup != nil {
		t.Errorf("it tells of a backup: %+v", told)
	}

	says(t, b.terminal(t).run(t, "kubectl caretaker status db"), `Cluster db .* is NOT protected: there is no backup.*`)

	b.takeBackup(t, "third")
	b.waitCondition(t, postgresqlv1.ConditionBackedUp, postgresqlv1.ReasonBackedUp, "")
	b.terminal(t).run(t, "kubectl get backups")
}

func losesItsPrimaryUnarchived(t *testing.T, b *backupTest) {
	t.Helper()

	b.scaleS3(t, s3Name, 0)
	b.write(t, "INSERT INTO ledger SELECT generate_series(101, 150)")
	b.write(t, "SELECT pg_switch_wal()")
	b.write(t, "INSERT INTO ledger SELECT generate_series(151, 160)")
	b.waitArchiving(t, metav1.ConditionFalse, "PostgreSQL goes on")

	b.losesPrimary(t)
	b.write(t, "INSERT INTO ledger SELECT generate_series(161, 200)")
	b.rememberMoment(t)
	b.write(t, "DELETE FROM ledger WHERE n > 190")

	b.scaleS3(t, s3Name, 1)
	b.waitArchiving(t, metav1.ConditionTrue, "s3://backups/financial-db")
	b.waitArchived(t)
}

// losesPrimary deletes the primary's pod by force, as if its node were gone, and waits for the next term. The pod that is made in its
// place may be back before another leads.
func (b *backupTest) losesPrimary(t *testing.T) {
	t.Helper()

	old, term := b.primary(t), b.cluster(t).Status.Term
	pod := b.pods(t)[old]
	if err := b.Client.Delete(t.Context(), &pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatalf("delete pod: %v", err)
	}

	kube.Eventually(t, readyTimeout, "somebody leads after "+old, func(ctx context.Context) error {
		cluster, err := b.get(ctx)
		if err == nil && cluster.Status.Term <= term {
			err = fmt.Errorf("it is still term %d", term)
		}

		return err
	})
	b.waitReady(t)
}

// losesItsWAL: the replica is a new copy that has none of what was written before it, and then the primary's volume is gone.
func losesItsWAL(t *testing.T, b *backupTest) {
	t.Helper()

	b.scaleS3(t, s3Name, 0)
	b.write(t, "INSERT INTO ledger SELECT generate_series(191, 300)")
	b.write(t, "SELECT pg_switch_wal()")
	b.write(t, "INSERT INTO ledger SELECT generate_series(301, 350)")
	b.write(t, "SELECT pg_switch_wal()")
	b.waitArchiving(t, metav1.ConditionFalse, "PostgreSQL goes on")

	b.replaceCopy(t, b.replicas(t)[0])
	b.waitCondition(t, postgresqlv1.ConditionSyncReplication, postgresqlv1.ReasonSynchronous, "1 of 1") // before it counts, it may not take over
	b.deleteVolume(t, b.primary(t))
	b.losesPrimary(t)
	b.write(t, "INSERT INTO ledger SELECT generate_series(351, 400)")

	b.scaleS3(t, s3Name, 1)
	b.waitArchiving(t, metav1.ConditionFalse, "is missing in the archive")
	b.waitArchived(t)
	b.terminal(t).run(t, `
		kubectl describe cluster db
		kubectl caretaker status db`)
}

// restores the first backup to the moment, into a new Cluster of one instance, and deletes that.
func (b *backupTest) restores(t *testing.T, name string) {
	t.Helper()

	terminal := b.terminal(t)
	terminal.run(t, fmt.Sprintf("kubectl caretaker restore first --to-cluster %s --target-time '%s' --instances 1", name, b.before))

	origin := b.name
	b.name = name
	b.waitReady(t)
	b.waitSQL(t, b.primary(t), "app", "SELECT count(*) || ' ' || sum(n) FROM ledger", "200 20100")
	terminal.run(t, "kubectl caretaker status "+name)

	if err := b.Client.Delete(t.Context(), b.cluster(t)); err != nil {
		t.Fatalf("delete the Cluster: %v", err)
	}

	b.name = origin
}

func namesWhatIsMissing(t *testing.T, b *backupTest) {
	t.Helper()

	origin := b.name
	b.terminal(t).run(t, "kubectl caretaker restore first --to-cluster behind-gap --instances 1")

	b.name = "behind-gap"
	kube.Eventually(t, readyTimeout, "it says what is missing", func(ctx context.Context) error {
		cluster, err := b.get(ctx)
		if err != nil {
			return err
		}

		stalled := meta.FindStatusCondition(cluster.Status.Conditions, postgresqlv1.ConditionStalled)
		if stalled == nil || !strings.Contains(stalled.Message, "needs WAL that is not in the archive: 0000000") {
			return fmt.Errorf("conditions are %s", conditionsOf(cluster))
		}

		return nil
	})
	b.terminal(t).run(t, `
		kubectl get cluster behind-gap
		kubectl describe cluster behind-gap
		kubectl caretaker status behind-gap`)

	if err := b.Client.Delete(t.Context(), b.cluster(t)); err != nil && !apierrors.IsNotFound(err) {
		t.Fatalf("delete the Cluster: %v", err)
	}

	b.name = origin
}
