package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// TestRecoverInPlace drops a table, goes back to before that under the same name, and then takes that back.
func TestRecoverInPlace(t *testing.T) {
	longOnly(t)
	t.Parallel()

	b := newFixture(t, "in-place").startArchiving(t, func(spec *postgresqlv1.ClusterSpec) {
		// The volumes stay all the same.
		spec.DeletionPolicy = postgresqlv1.DeletionPolicyDelete
	})

	step(t, b, "a backup, and rows after it", func(t *testing.T, b *backupTest) {
		t.Helper()

		b.write(t, "CREATE TABLE ledger (n int)")
		b.write(t, "GRANT SELECT ON ledger TO app")
		b.write(t, "INSERT INTO ledger SELECT generate_series(1, 100)")
		b.waitArchiving(t, metav1.ConditionTrue, "s3://backups/financial-db")
		b.takeBackup(t, "before")
		b.write(t, "INSERT INTO ledger SELECT generate_series(101, 200)")
	})
	step(t, b, "a table is dropped, and is there again", goesBack)
	step(t, b, "it archives and backs up where it did", func(t *testing.T, b *backupTest) {
		t.Helper()

		b.write(t, "INSERT INTO ledger SELECT generate_series(201, 300)")
		b.waitArchiving(t, metav1.ConditionTrue, "s3://backups/financial-db")
		b.takeBackup(t, "after")
	})
	step(t, b, "that is taken back", takesItBack)
}

func goesBack(t *testing.T, b *backupTest) {
	t.Helper()

	before := b.cluster(t).Status
	password := b.secret(t, naming.SecretApp(b.name))["password"]

	b.rememberMoment(t)
	b.write(t, "DROP TABLE ledger")
	b.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "one", RecoveryTarget: &postgresqlv1.RecoveryTarget{TargetTime: b.before}})

	for _, instance := range append(b.replicas(t), b.primary(t)) {
		b.waitSQL(t, instance, "app", "SELECT count(*) || ' ' || sum(n) FROM ledger", "200 20100")
	}

	after := b.cluster(t).Status
	if after.RecoverInPlace.ReachedLSN == "" || after.RecoverInPlace.BackupID == "" || after.TimelineID <= before.TimelineID || after.Term <= before.Term {
		t.Errorf("term %d, timeline %d after %d, %d; status.recoverInPlace: %+v", after.Term, after.TimelineID, before.Term, before.TimelineID, after.RecoverInPlace)
	}

	if got := b.setAside(t, "one"); !slices.Equal(got, []string{"db-0", "db-1"}) {
		t.Errorf("set aside: %v", got)
	}

	// The application's connection string still leads there, with the password that it has.
	if now := b.secret(t, naming.SecretApp(b.name))["password"]; now != password {
		t.Error("the application's password has changed")
	}

	c := b.newClient(t)
	if got := c.sql(t, c.newConnection(t, naming.ServiceReadWrite(b.name)), "SELECT count(*) FROM ledger"); got != "200" {
		t.Errorf("by way of the Service and the Secret: %q", got)
	}
}

func takesItBack(t *testing.T, b *backupTest) {
	t.Helper()

	between := b.cluster(t).Status
	b.recoverInPlace(t, postgresqlv1.RecoverInPlace{ID: "two", SetAside: "one"})

	// As it was when it was stopped: without the table.
	for _, instance := range append(b.replicas(t), b.primary(t)) {
		b.waitSQL(t, instance, "app", "SELECT to_regclass('ledger') IS NULL", "t")
	}

	if got := b.instances(t); !slices.Equal(got, []string{"db-0", "db-1"}) {
		t.Errorf("instances: %v", got)
	}

	if got := b.setAside(t, "two"); !slices.Equal(got, []string{"db-2", "db-3"}) {
		t.Errorf("set aside: %v", got)
	}

	if after := b.cluster(t).Status; after.TimelineID <= between.TimelineID {
		t.Errorf("timeline %d after %d: the archive has two of the same", after.TimelineID, between.TimelineID)
	}

	b.write(t, "CREATE TABLE again AS SELECT 1")
	b.takeBackup(t, "at-last")

	// What is not wanted any more is deleted by whoever decides that.
	err := b.Client.DeleteAllOf(t.Context(), &corev1.PersistentVolumeClaim{}, client.InNamespace(b.namespace),
		client.MatchingLabels{naming.LabelCluster: b.name, naming.LabelSetAside: "two"})
	if err != nil {
		t.Fatalf("delete what was set aside: %v", err)
	}

	kube.Eventually(t, readyTimeout, "nothing is set aside", func(ctx context.Context) error {
		cluster, err := b.get(ctx)
		if err == nil && len(cluster.Status.SetAside) > 0 {
			err = fmt.Errorf("status.setAside is %v", cluster.Status.SetAside)
		}

		return err
	})
	b.waitReady(t)
}

// recoverInPlace asks for it and waits until it is done, and all replicas follow.
func (b *backupTest) recoverInPlace(t *testing.T, wish postgresqlv1.RecoverInPlace) {
	t.Helper()

	b.change(t, func(c *postgresqlv1.Cluster) { c.Spec.RecoverInPlace = &wish })
	kube.Eventually(t, 2*readyTimeout, "recovery "+wish.ID+" is complete", func(ctx context.Context) error {
		cluster, err := b.get(ctx)
		if err != nil {
			return err
		}

		if is := cluster.Status.RecoverInPlace; is == nil || is.ID != wish.ID || is.Step != postgresqlv1.InPlaceCompleted {
			return fmt.Errorf("it is %+v", is)
		}

		return nil
	})
	b.waitReady(t)
}

func (b *backupTest) setAside(t *testing.T, id string) []string {
	t.Helper()

	var claims corev1.PersistentVolumeClaimList
	if err := b.Client.List(t.Context(), &claims, client.InNamespace(b.namespace), client.MatchingLabels{naming.LabelSetAside: id}); err != nil {
		t.Fatalf("list claims: %v", err)
	}

	var names []string
	for _, claim := range claims.Items {
		names = append(names, claim.Name)
	}

	slices.Sort(names)

	return names
}
