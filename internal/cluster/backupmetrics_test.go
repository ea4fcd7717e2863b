package cluster

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// TestBackupMetrics: what alerts for "never restored", "too old" and "no backup" stand on.
func TestBackupMetrics(t *testing.T) {
	t.Parallel()

	archives := func(name string) *v1.Cluster {
		cluster := &v1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: name}}
		cluster.Spec.Backup = &v1.BackupConfiguration{ObjectStore: &v1.ObjectStore{DestinationPath: "s3://bucket/path"}}

		return cluster
	}
	at := func(unix int64) *metav1.Time { return new(metav1.NewTime(time.Unix(unix, 0))) }

	proved, fresh, without := archives("proved"), archives("fresh"), archives("without")
	without.Spec.Backup = nil
	proved.Status.Backups = &v1.BackupsStatus{LastSuccessfulBackup: at(1000), LastFailedBackup: at(900), LastVerified: at(1100), EstimatedRecoverySeconds: 320}
	proved.Status.Backups.Copies = []v1.ArchiveCopyStatus{{Name: "far", CopiedUntil: at(1200)}, {Name: "new"}}
	proved.Status.Conditions = []metav1.Condition{
		{Type: v1.ConditionBackupVerified, Status: metav1.ConditionTrue},
		{Type: v1.ConditionBackedUp, Status: metav1.ConditionTrue},
		{Type: v1.ConditionContinuousArchiving, Status: metav1.ConditionTrue},
		{Type: v1.ConditionBackupsCopied, Status: metav1.ConditionFalse},
	}

	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}

	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(backupCollector{fake.NewClientBuilder().WithScheme(scheme).WithObjects(proved, fresh, without).Build()}); err != nil {
		t.Fatal(err)
	}

	want := `
# HELP caretaker_backup_archiving 1 while the Cluster's condition ContinuousArchiving is True.
# TYPE caretaker_backup_archiving gauge
caretaker_backup_archiving{cluster="fresh",namespace="web"} 0
caretaker_backup_archiving{cluster="proved",namespace="web"} 1
# HELP caretaker_backup_copied 1 while the Cluster's condition BackupsCopied is True: every copy of the archive is up to date. Missing where there are none.
# TYPE caretaker_backup_copied gauge
caretaker_backup_copied{cluster="proved",namespace="web"} 0
# HELP caretaker_backup_copied_until_time_seconds All that was in the Cluster's archive then is in the copy, in seconds since 1970; 0 if it has never been complete. It is up to an hour behind where nothing is new; caretaker_archive_copy_until_time_seconds of the primary is exact.
# TYPE caretaker_backup_copied_until_time_seconds gauge
caretaker_backup_copied_until_time_seconds{cluster="proved",copy="far",namespace="web"} 1200
caretaker_backup_copied_until_time_seconds{cluster="proved",copy="new",namespace="web"} 0
# HELP caretaker_backup_fresh 1 while the Cluster's condition BackedUp is True: there is a backup, as new as the schedules want it.
# TYPE caretaker_backup_fresh gauge
caretaker_backup_fresh{cluster="fresh",namespace="web"} 0
caretaker_backup_fresh{cluster="proved",namespace="web"} 1
# HELP caretaker_backup_last_drill_time_seconds When a drill with a backup of a Cluster last succeeded, in seconds since 1970; 0 if none has.
# TYPE caretaker_backup_last_drill_time_seconds gauge
caretaker_backup_last_drill_time_seconds{cluster="fresh",namespace="web"} 0
caretaker_backup_last_drill_time_seconds{cluster="proved",namespace="web"} 1100
# HELP caretaker_backup_last_failure_time_seconds When the newest failed backup of a Cluster ended, in seconds since 1970; 0 if there is none.
# TYPE caretaker_backup_last_failure_time_seconds gauge
caretaker_backup_last_failure_time_seconds{cluster="fresh",namespace="web"} 0
caretaker_backup_last_failure_time_seconds{cluster="proved",namespace="web"} 900
# HELP caretaker_backup_last_success_time_seconds When the newest complete backup of a Cluster ended, in seconds since 1970; 0 if there is none.
# TYPE caretaker_backup_last_success_time_seconds gauge
caretaker_backup_last_success_time_seconds{cluster="fresh",namespace="web"} 0
caretaker_backup_last_success_time_seconds{cluster="proved",namespace="web"} 1000
# HELP caretaker_backup_rto_seconds How long a recovery from the newest backup is likely to take, by the last drill that succeeded. Missing before the first.
# TYPE caretaker_backup_rto_seconds gauge
caretaker_backup_rto_seconds{cluster="proved",namespace="web"} 320
# HELP caretaker_backup_verified 1 while the Cluster's condition BackupVerified is True: the newest drill succeeded, and is not too old.
# TYPE caretaker_backup_verified gauge
caretaker_backup_verified{cluster="fresh",namespace="web"} 0
caretaker_backup_verified{cluster="proved",namespace="web"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// TestBackupMetricsAreDocumented and alerts ask for no others.
func TestBackupMetricsAreDocumented(t *testing.T) {
	t.Parallel()

	page, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}

	for _, metric := range backupMetrics() {
		if row := "| `" + metric.name + "` | gauge | `namespace`, `cluster` | " + metric.help + " |\n"; !strings.Contains(string(page), row) {
			t.Errorf("docs/reference/metrics.md lacks the row\n%s", row)
		}
	}

	if row := "| `" + copiedUntilMetric + "` | gauge | `" + strings.Join(copiedUntilLabels(), "`, `") + "` | " + copiedUntilHelp + " |\n"; !strings.Contains(string(page), row) {
		t.Errorf("docs/reference/metrics.md lacks the row\n%s", row)
	}
}
