package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// TestFinancialDB goes the source document's way with its own manifests: financial-db, its daily backup, the backup before an
// upgrade, and financial-db-restored at a moment after it.
func TestFinancialDB(t *testing.T) {
	longOnly(t)
	t.Parallel()

	f := newFixture(t, "financial-db")
	f.name = "financial-db"
	f.startS3(t)

	// What does not fit the development cluster, and where its object store is.
	sizes := fmt.Sprintf("imageName: %q\n  storage: {size: 1Gi, storageClass: %q}\n  %s", image(mainMajor), f.environment.storageClass, smallPods)

	f.applyDocument(t, "cluster-financial-db.yaml", fmt.Sprintf(`
spec:
  %s
  postgresql:
    parameters:
      max_connections: "100"
      shared_buffers: 64MB
      effective_cache_size: 256MB
      work_mem: 4MB
      maintenance_work_mem: 32MB
  backup:
    barmanObjectStore:
      endpointURL: http://%s.%s.svc:%d`, sizes, s3Name, f.namespace, kube.S3Port))
	f.waitReady(t)

	terminal := f.terminal(t)
	terminal.run(t, `
		kubectl get cluster financial-db
		kubectl get pods -l postgresql=financial-db`)

	b := &backupTest{fixture: f}
	b.write(t, "CREATE TABLE ledger AS SELECT generate_series(1, 100) AS n")

	// Its first backup is taken at once.
	f.applyDocument(t, "scheduledbackup-financial-db-daily.yaml", "")
	terminal.watch(t, readyTimeout, "kubectl get backup -w", string(postgresqlv1.BackupCompleted))

	f.applyDocument(t, "backup-financial-db-before-upgrade.yaml", "")
	terminal.watch(t, readyTimeout, "kubectl get backup financial-db-before-upgrade -w", string(postgresqlv1.BackupCompleted))
	terminal.run(t, `
		kubectl wait --for=condition=Restorable backup/financial-db-before-upgrade --timeout=60s
		kubectl describe backup financial-db-before-upgrade`)

	b.write(t, "INSERT INTO ledger VALUES (101)")
	b.rememberMoment(t)
	b.write(t, "DELETE FROM ledger")

	b.waitArchived(t)

	// The document's moment is in 2024.
	f.applyDocument(t, "cluster-financial-db-restored.yaml", fmt.Sprintf(`
spec:
  %s
  bootstrap:
    recovery:
      recoveryTarget:
        targetTime: %q`, sizes, b.before))

	f.name = "financial-db-restored"
	f.waitReadyWithin(t, readyTimeout+time.Minute)

	for _, instance := range f.instances(t) {
		f.waitSQL(t, instance, "app", "SELECT count(*) || ' ' || sum(n) FROM ledger", "101 5151")
	}

	if recovery := f.cluster(t).Status.Recovery; recovery == nil || !strings.Contains(recovery.Target, "(UTC)") {
		t.Errorf("status.recovery is %+v", recovery)
	}
}
