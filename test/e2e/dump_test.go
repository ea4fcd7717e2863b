package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// dumpTimeout of a dump or a restore: a pod's start, and a few rows; and of a throw-away server.
const dumpTimeout = 4 * time.Minute

// TestDumps takes dumps of a Cluster, on a schedule, and of a MySQL, once, into an S3 store, has them restored to prove them, and restores
// them with the plugin.
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
	step(t, my, "a MySQL has its own taken", dumpsOfMySQLItself)
}

// newDump goes to the test's store.
func (f *fixture) newDump(name string, source backupv1.SourceType) *backupv1.Backup {
	return &backupv1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name},
		Spec: backupv1.BackupSpec{
			Source: backupv1.BackupSource{Type: source, Connection: backupv1.SourceConnection{ClusterRef: &backupv1.ClusterReference{Name: f.name}}},
			Destination: backupv1.BackupDestination{
				Bucket: "backups", Prefix: "dumps", Endpoint: fmt.Sprintf("http://%s.%s.svc:%d", s3Name, f.namespace, kube.S3Port), SecretName: "aws-credentials",
			},
			Retention:    "7",
			Verification: &backupv1.Verification{TestRestore: true, Size: "2Gi"},
		},
	}
}

// waitVerified waits until the test restore of the dump has been told of.
func (f *fixture) waitVerified(t *testing.T, backup *backupv1.Backup, want metav1.ConditionStatus) *backupv1.VerificationStatus {
	t.Helper()
	kube.Eventually(t, dumpTimeout, "a test restore of "+backup.Name, func(ctx context.Context) error {
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(backup), backup); err != nil {
			return err
		}

		if !meta.IsStatusConditionPresentAndEqual(backup.Status.Conditions, backupv1.ConditionVerified, want) {
			return fmt.Errorf("status is %+v", backup.Status)
		}

		return nil
	})

	test := backup.Status.LastVerification
	if test == nil || backup.Status.LastDump == nil || test.DumpID != backup.Status.LastDump.ID {
		t.Fatalf("verified %+v, the dump is %+v", test, backup.Status.LastDump)
	}

	t.Logf("%s: %+v", backup.Name, *test)

	return test
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

// restoreDump runs kubectl caretaker restore-dump as it was built, and gives what it prints and its exit code.
func (f *fixture) restoreDump(t *testing.T, backup *backupv1.Backup, flags string) (printed string, code int) {
	t.Helper()

	printed, code = f.terminal(t).try(t.Context(), "kubectl caretaker restore-dump "+backup.Name+" "+flags)
	t.Logf("exit code %d: %s", code, printed)

	return printed, code
}

// restoresDump is one that succeeds.
func (f *fixture) restoresDump(t *testing.T, backup *backupv1.Backup, flags string) {
	t.Helper()

	printed, code := f.restoreDump(t, backup, flags)
	if code != 0 {
		t.Fatal("it was not restored")
	}

	says(t, printed, `Job `+backup.Name+`-\S+ restores dump latest of `+backup.Name, `restored`)
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
	backup.Spec.Verification.Checks = []backupv1.VerificationCheck{{Name: "ledger", SQL: "SELECT sum(n) = 500500 FROM ledger"}}
	f.create(t, backup)
	f.waitDumped(t, backup)

	test := f.waitVerified(t, backup, metav1.ConditionTrue)
	if test.Tables != 1 || test.Rows != 1000 || fmt.Sprint(test.Checks) != "[ledger]" || backup.Status.LastVerifiedAt == nil {
		t.Errorf("the test restore is %+v", test)
	}

	if backup.Status.NextScheduleTime == nil || backup.Status.CronJob != "nightly-cronjob" {
		t.Errorf("status is %+v", backup.Status)
	}

	f.restoresDump(t, backup, "--to-database copy")

	if got := f.sql(t, primary, "copy", rows); got != "1000 500500" {
		t.Errorf("restored %s", got)
	}

	// What is there is not replaced.
	f.sql(t, primary, "app", "INSERT INTO ledger VALUES (1001)")

	printed, code := f.restoreDump(t, backup, "")
	if code != 1 {
		t.Error("a restore over tables that are there succeeded")
	}

	says(t, printed, `error: the restore failed; what the program said: kubectl -n `+f.namespace+` logs job/nightly-\S+`)

	if got := f.sql(t, primary, "app", rows); got != "1001 501501" {
		t.Errorf("after that there is %s", got)
	}

	dumpNotVerified(t, f)
}

// dumpNotVerified: a dump whose check is false stays, and its Backup says that it is not what it should be.
func dumpNotVerified(t *testing.T, f *fixture) {
	t.Helper()

	backup := f.newDump("doubtful", backupv1.SourcePostgreSQL)
	backup.Spec.Destination.Prefix = "doubtful"
	backup.Spec.Verification.Checks = []backupv1.VerificationCheck{
		{Name: "ledger", SQL: "SELECT count(*) > 0 FROM ledger"}, {Name: "recent", SQL: "SELECT max(n) > 2000 FROM ledger"},
	}
	f.create(t, backup)

	test := f.waitVerified(t, backup, metav1.ConditionFalse)
	if test.Rows != 1001 || !strings.Contains(test.Message, "check recent: it is not true") || fmt.Sprint(test.Checks) != "[ledger]" {
		t.Errorf("the test restore is %+v", test)
	}

	stalled := meta.FindStatusCondition(backup.Status.Conditions, backupv1.ConditionStalled)
	if stalled == nil || stalled.Reason != backupv1.ReasonVerificationFailed || !strings.Contains(stalled.Message, "is in the store, but the test restore failed: check recent") {
		t.Errorf("conditions are %+v", backup.Status.Conditions)
	}

	// It is there, and can be restored.
	f.sql(t, f.primary(t), "postgres", "CREATE DATABASE doubtful OWNER app")

	f.restoresDump(t, backup, "--to-database doubtful")
}

func dumpsMySQL(t *testing.T, f *fixture) {
	t.Helper()

	f.mysql(t, "CREATE TABLE app.kept (answer INT PRIMARY KEY); INSERT INTO app.kept VALUES (42), (43); CREATE VIEW app.seen AS SELECT answer FROM app.kept")

	backup := f.newDump("once", backupv1.SourceMySQL)
	// The view is defined by a user that the throw-away server has not.
	backup.Spec.Verification.Checks = []backupv1.VerificationCheck{{Name: "seen", SQL: "SELECT COUNT(*) = 2 FROM seen"}}
	f.create(t, backup)
	f.waitDumped(t, backup)

	test := f.waitVerified(t, backup, metav1.ConditionTrue)
	if test.Tables != 1 || test.Rows != 2 || fmt.Sprint(test.Checks) != "[seen]" {
		t.Errorf("the test restore is %+v", test)
	}

	f.mysql(t, "DROP VIEW app.seen; DROP TABLE app.kept")

	f.restoresDump(t, backup, "")

	if got := f.mysql(t, "SELECT COUNT(*), SUM(answer) FROM app.kept"); got != "2\t85" {
		t.Errorf("restored %q", got)
	}
}

// dumpsOfMySQLItself asks for them in the MySQL's own spec.
func dumpsOfMySQLItself(t *testing.T, f *fixture) {
	t.Helper()

	server := &databasev1.MySQL{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: f.name}}
	patch := fmt.Sprintf(`{"spec":{"backup":{"enabled":true,"schedule":"0 2 * * *","retention":"30d","destination":
		{"bucket":"backups","endpoint":"http://%s.%s.svc:%d","secretName":"aws-credentials"},
		"verification":{"testRestore":true,"size":"2Gi","checks":[{"name":"kept","sql":"SELECT SUM(answer) = 85 FROM kept"}]}}}}`,
		s3Name, f.namespace, kube.S3Port)

	if err := f.Client.Patch(t.Context(), server, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}

	backup := &backupv1.Backup{ObjectMeta: server.ObjectMeta}
	f.waitDumped(t, backup)

	if test := f.waitVerified(t, backup, metav1.ConditionTrue); test.Tables != 1 || test.Rows != 2 || fmt.Sprint(test.Checks) != "[kept]" {
		t.Errorf("the test restore is %+v", test)
	}

	f.waitTold(t, server, databasev1.ConditionBackup, metav1.ConditionTrue, "0 2 * * *, to s3://backups/")
	f.waitTold(t, server, databasev1.ConditionBackupVerified, metav1.ConditionTrue, "1 tables, 2 rows; true: kept")

	// What the table lacks by now, the next dump is found to lack.
	f.mysql(t, "DELETE FROM app.kept WHERE answer = 43")
	f.dumpNow(t, backup)
	f.waitTold(t, server, databasev1.ConditionBackupVerified, metav1.ConditionFalse, "is in the store, but the test restore failed: check kept: it is not true")
	f.waitTold(t, server, databasev1.ConditionBackup, metav1.ConditionTrue, "")

	// A store that has no such bucket.
	patch = `{"spec":{"backup":{"destination":{"bucket":"nowhere"}}}}`
	if err := f.Client.Patch(t.Context(), server, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}

	f.waitTold(t, server, databasev1.ConditionBackup, metav1.ConditionTrue, "s3://nowhere/")
	f.dumpNow(t, backup)
	f.waitTold(t, server, databasev1.ConditionBackup, metav1.ConditionFalse, "Backup orders (kubectl describe dump): the last dump failed at")
	f.waitTold(t, server, databasev1.ConditionBackup, metav1.ConditionFalse, "there is no bucket nowhere at http://"+s3Name)
}

// dumpNow is `kubectl create job --from=cronjob/…`, from a CronJob that goes where the Backup says.
func (f *fixture) dumpNow(t *testing.T, backup *backupv1.Backup) {
	t.Helper()
	kube.Eventually(t, dumpTimeout, "a Job by hand for "+backup.Name, func(ctx context.Context) error {
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(backup), backup); err != nil {
			return err
		}

		cronJob := &batchv1.CronJob{}
		if err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: backup.Name + "-cronjob"}, cronJob); err != nil {
			return err
		}

		spec := cronJob.Spec.JobTemplate.Spec
		if said := spec.Template.Spec.Containers[0].Env[0].Value; !strings.Contains(said, `"bucket":"`+backup.Spec.Destination.Bucket+`"`) {
			return fmt.Errorf("the CronJob is told %s", said)
		}

		return f.Client.Create(ctx, &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, GenerateName: "by-hand-", Labels: cronJob.Spec.JobTemplate.Labels}, Spec: spec,
		})
	})
}

// waitTold waits for a condition of a MySQL, with a part of its message.
func (f *fixture) waitTold(t *testing.T, server *databasev1.MySQL, condition string, status metav1.ConditionStatus, message string) {
	t.Helper()
	kube.Eventually(t, dumpTimeout, condition+" is "+string(status), func(ctx context.Context) error {
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(server), server); err != nil {
			return err
		}

		told := meta.FindStatusCondition(server.Status.Conditions, condition)
		if told == nil || told.Status != status || !strings.Contains(told.Message, message) {
			return fmt.Errorf("conditions are %+v", server.Status.Conditions)
		}

		return nil
	})
}
