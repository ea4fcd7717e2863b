package e2e

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	"github.com/caretaker-dev/caretaker/internal/dump/build"
	"github.com/caretaker-dev/caretaker/internal/plugin"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// dumpTimeout of a dump or a restore: a pod's start, and a few rows.
const dumpTimeout = 2 * time.Minute

// TestDumps takes dumps of a Cluster, on a schedule, and of a MySQL, once, into an S3 store, and restores them with the plugin.
func TestDumps(t *testing.T) {
	longOnly(t)
	t.Parallel()

	pg := newFixture(t, "dumps")
	my := &fixture{Kube: pg.Kube, environment: pg.environment, namespace: pg.namespace, name: "orders"}

	pg.startS3(t)
	pg.create(t, pg.newCluster(1))

	server := &databasev1.MySQL{
		ObjectMeta: metav1.ObjectMeta{Namespace: my.namespace, Name: my.name},
		Spec: databasev1.MySQLSpec{
			Storage: "1Gi", StorageClass: &my.environment.storageClass,
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("256Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
			},
		},
	}
	my.create(t, server)
	pg.waitReady(t)

	step(t, pg, "of a Cluster", dumpsPostgreSQL)

	my.waitConditions(t, server, func() []metav1.Condition { return server.Status.Conditions })
	step(t, my, "of a MySQL", dumpsMySQL)
}

// newDump goes to the test's store.
func (f *fixture) newDump(name string, source backupv1.SourceType) *backupv1.Backup {
	return &backupv1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name},
		Spec: backupv1.BackupSpec{
			Source: backupv1.BackupSource{Type: source, Connection: backupv1.SourceConnection{ClusterRef: &backupv1.ClusterReference{Name: f.name}}},
			Destination: backupv1.BackupDestination{
				Bucket: "backups", Prefix: "dumps", Endpoint: fmt.Sprintf("http://%s.%s.svc:%d", s3Name, f.namespace, s3Port), SecretName: "aws-credentials",
			},
			Retention: "7",
		},
	}
}

// waitDumped waits for the first dump.
func (f *fixture) waitDumped(t *testing.T, backup *backupv1.Backup) {
	t.Helper()
	kube.Eventually(t, dumpTimeout, "a dump of "+backup.Name, func(ctx context.Context) error {
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(backup), backup); err != nil {
			return err
		}

		if backup.Status.LastDump == nil || !meta.IsStatusConditionTrue(backup.Status.Conditions, "Ready") {
			return fmt.Errorf("status is %+v", backup.Status)
		}

		return nil
	})

	if last := backup.Status.LastDump; last.Database != "app" || last.DataBytes == 0 || last.Warning != "" || backup.Status.Dumps != 1 {
		t.Errorf("the dump is %+v; there are %d", last, backup.Status.Dumps)
	}
}

// restoreDump runs `kubectl caretaker restore-dump`.
func (f *fixture) restoreDump(t *testing.T, backup *backupv1.Backup, restore build.Restore) error {
	t.Helper()

	api, err := plugin.NewKube(f.Config)
	if err != nil {
		t.Fatal(err)
	}

	var out bytes.Buffer

	restore.Dump = "latest"
	err = plugin.DumpRestoration{
		API: api, Clock: clock.RealClock{}, Out: &out, Backup: client.ObjectKeyFromObject(backup), Restore: restore, Timeout: dumpTimeout,
	}.Run(t.Context())
	t.Logf("%s (%v)", out.String(), err)

	return err
}

func dumpsPostgreSQL(t *testing.T, f *fixture) {
	t.Helper()

	primary := f.primary(t)
	rows := "SELECT count(*) || ' ' || sum(n) FROM ledger"

	// The application's own tables, as it would make them.
	f.sql(t, primary, "app", "SET ROLE app; CREATE TABLE ledger (n int); INSERT INTO ledger SELECT generate_series(1, 1000)")
	f.sql(t, primary, "postgres", "CREATE DATABASE copy OWNER app")

	backup := f.newDump("nightly", backupv1.SourcePostgreSQL)
	backup.Spec.Schedule, backup.Spec.Immediate = "0 2 * * *", true
	f.create(t, backup)
	f.waitDumped(t, backup)

	if backup.Status.NextScheduleTime == nil || backup.Status.CronJob != "nightly-cronjob" {
		t.Errorf("status is %+v", backup.Status)
	}

	if err := f.restoreDump(t, backup, build.Restore{Database: "copy"}); err != nil {
		t.Fatal(err)
	}

	if got := f.sql(t, primary, "copy", rows); got != "1000 500500" {
		t.Errorf("restored %s", got)
	}

	// What is there is not replaced.
	f.sql(t, primary, "app", "INSERT INTO ledger VALUES (1001)")

	if err := f.restoreDump(t, backup, build.Restore{}); err == nil {
		t.Error("a restore over tables that are there succeeded")
	}

	if got := f.sql(t, primary, "app", rows); got != "1001 501501" {
		t.Errorf("after that there is %s", got)
	}
}

func dumpsMySQL(t *testing.T, f *fixture) {
	t.Helper()

	f.mysql(t, "CREATE TABLE app.kept (answer INT PRIMARY KEY); INSERT INTO app.kept VALUES (42), (43)")

	backup := f.newDump("once", backupv1.SourceMySQL)
	f.create(t, backup)
	f.waitDumped(t, backup)
	f.mysql(t, "DROP TABLE app.kept")

	if err := f.restoreDump(t, backup, build.Restore{}); err != nil {
		t.Fatal(err)
	}

	if got := f.mysql(t, "SELECT COUNT(*), SUM(answer) FROM app.kept"); got != "2\t85" {
		t.Errorf("restored %q", got)
	}
}
