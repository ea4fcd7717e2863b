package e2e

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// s3Second is another S3 server, which the archive is copied to.
const s3Second = "s3-second"

// TestBackupCopies: a Cluster gets a copy of its archive in a second store while it runs. That store is stopped, the primary
// changes, and in the end the first store is gone: a new Cluster comes from the second one alone.
func TestBackupCopies(t *testing.T) {
	longOnly(t)
	t.Parallel()

	f := newFixture(t, "copies")
	f.startS3Server(t, s3Second)
	b := f.startArchiving(t)

	step(t, b, "WAL is archived", archives)
	step(t, b, "a copy is asked for, and nothing restarts", getsACopy)
	step(t, b, "the second store is stopped, and comes back", losesItsSecondStore)
	step(t, b, "another primary goes on", copiesAfterASwitchover)
	step(t, b, "a new Cluster comes from the second store alone", recoversFromTheCopy)
}

func getsACopy(t *testing.T, b *backupTest) {
	t.Helper()

	pods, starts := b.podUIDs(t), b.postmasterStarts(t)

	b.change(t, func(cluster *postgresqlv1.Cluster) {
		cluster.Spec.Backup.Copies = []postgresqlv1.ArchiveCopy{{
			Name: "elsewhere", ObjectStore: *b.s3StoreOf(s3Second), Interval: &metav1.Duration{Duration: 10 * time.Second}, RetentionPolicy: "90d",
		}}
	})

	// The kubelet takes its time with the credentials.
	kube.Eventually(t, readyTimeout, "the condition says that there is nothing to copy", func(ctx context.Context) error {
		return b.isCopied(ctx, metav1.ConditionFalse, postgresqlv1.ReasonNothingToCopy)
	})
	b.takeBackup(t, "monday")
	b.waitStore(t, postgresqlv1.ConditionBackupsCopied, metav1.ConditionTrue, "copy elsewhere (s3://backups/financial-db, folder "+b.name+") is up to date")

	if status := b.cluster(t).Status.Backups.Copies; len(status) != 1 || status[0].Backups != 1 || status[0].CopiedUntil == nil || status[0].LastWAL == "" {
		t.Errorf("status.backups.copies is %+v", status)
	}

	if !maps.Equal(pods, b.podUIDs(t)) || !maps.Equal(starts, b.postmasterStarts(t)) {
		t.Error("a copy made instances restart")
	}
}

func losesItsSecondStore(t *testing.T, b *backupTest) {
	t.Helper()

	b.scaleS3(t, s3Second, 0)
	began := time.Now()
	b.waitStore(t, postgresqlv1.ConditionBackupsCopied, metav1.ConditionFalse, "copy elsewhere")
	t.Logf("the condition said so after %s", time.Since(began).Round(time.Second))

	b.write(t, "INSERT INTO ledger SELECT generate_series(101, 200)")
	segment := b.waitArchived(t)
	b.waitArchiving(t, metav1.ConditionTrue, "s3://backups/financial-db")

	if err := ready(b.cluster(t)); err != nil {
		t.Errorf("a lost copy made the Cluster unready: %v", err)
	}

	b.scaleS3(t, s3Second, 1)
	b.waitStore(t, postgresqlv1.ConditionBackupsCopied, metav1.ConditionTrue, "is up to date")
	b.waitCopied(t, segment)
}

func copiesAfterASwitchover(t *testing.T, b *backupTest) {
	t.Helper()
	switches(t, b)
	b.write(t, "INSERT INTO ledger SELECT generate_series(1, 300)")

	segment := b.waitArchived(t)
	b.waitCopied(t, segment)
}

func recoversFromTheCopy(t *testing.T, b *backupTest) {
	t.Helper()

	b.scaleS3(t, s3Name, 0)

	origin := b.name
	b.name = "restored"
	b.create(t, b.newCluster(1, func(spec *postgresqlv1.ClusterSpec) {
		spec.Bootstrap = &postgresqlv1.BootstrapConfiguration{Recovery: &postgresqlv1.BootstrapRecovery{Source: origin}}
		spec.ExternalClusters = []postgresqlv1.ExternalCluster{{Name: origin, ObjectStore: b.s3StoreOf(s3Second)}}
	}))
	b.waitReady(t)
	b.waitSQL(t, b.primary(t), "app", "SELECT count(*) || ' ' || sum(n) FROM ledger", "300 45150")
	b.name = origin
}

func (b *backupTest) isCopied(ctx context.Context, status metav1.ConditionStatus, reason string) error {
	cluster, err := b.get(ctx)
	if err != nil {
		return err
	}

	for _, condition := range cluster.Status.Conditions {
		if condition.Type == postgresqlv1.ConditionBackupsCopied && condition.Status == status && condition.Reason == reason {
			return nil
		}
	}

	return fmt.Errorf("conditions are %+v", cluster.Status.Conditions)
}

// waitCopied until the status says that the copy has a segment.
func (b *backupTest) waitCopied(t *testing.T, segment string) {
	t.Helper()
	kube.Eventually(t, readyTimeout, "segment "+segment+" is in the copy", func(ctx context.Context) error {
		cluster, err := b.get(ctx)
		if err != nil {
			return err
		}

		if backups := cluster.Status.Backups; backups == nil || len(backups.Copies) != 1 || backups.Copies[0].LastWAL < segment {
			return fmt.Errorf("status.backups is %+v", backups)
		}

		return nil
	})
}
