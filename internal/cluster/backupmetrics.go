package cluster

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
)

// backupMetricsTimeout bounds a look at the Clusters, which are in memory.
const backupMetricsTimeout = 2 * time.Second

// backupMetric is one number of each Cluster that has an archive.
type backupMetric struct {
	name, help string
	// value is false where there is none.
	value func(status v1.ClusterStatus, backups v1.BackupsStatus) (float64, bool)
}

// momentOf is a time in seconds since 1970; 0 if there is none.
func momentOf(of func(v1.BackupsStatus) *metav1.Time) func(v1.ClusterStatus, v1.BackupsStatus) (float64, bool) {
	return func(_ v1.ClusterStatus, backups v1.BackupsStatus) (float64, bool) {
		if at := of(backups); at != nil {
			return float64(at.Unix()), true
		}

		return 0, true
	}
}

// holds is 1 while a condition is True.
func holds(condition string) func(v1.ClusterStatus, v1.BackupsStatus) (float64, bool) {
	return func(status v1.ClusterStatus, _ v1.BackupsStatus) (float64, bool) {
		if meta.IsStatusConditionTrue(status.Conditions, condition) {
			return 1, true
		}

		return 0, true
	}
}

func backupMetrics() []backupMetric {
	return []backupMetric{
		{
			"caretaker_backup_last_success_time_seconds", "When the newest complete backup of a Cluster ended, in seconds since 1970; 0 if there is none.",
			momentOf(func(b v1.BackupsStatus) *metav1.Time { return b.LastSuccessfulBackup }),
		},
		{
			"caretaker_backup_last_failure_time_seconds", "When the newest failed backup of a Cluster ended, in seconds since 1970; 0 if there is none.",
			momentOf(func(b v1.BackupsStatus) *metav1.Time { return b.LastFailedBackup }),
		},
		{
			"caretaker_backup_last_drill_time_seconds", "When a drill with a backup of a Cluster last succeeded, in seconds since 1970; 0 if none has.",
			momentOf(func(b v1.BackupsStatus) *metav1.Time { return b.LastVerified }),
		},
		{
			"caretaker_backup_fresh", "1 while the Cluster's condition BackedUp is True: there is a backup, as new as the schedules want it.",
			holds(v1.ConditionBackedUp),
		},
		{
			"caretaker_backup_verified", "1 while the Cluster's condition BackupVerified is True: the newest drill succeeded, and is not too old.",
			holds(v1.ConditionBackupVerified),
		},
		{
			"caretaker_backup_archiving", "1 while the Cluster's condition ContinuousArchiving is True.",
			holds(v1.ConditionContinuousArchiving),
		},
		{
			"caretaker_backup_copied", "1 while the Cluster's condition BackupsCopied is True: every copy of the archive is up to date. Missing where there are none.",
			func(status v1.ClusterStatus, _ v1.BackupsStatus) (float64, bool) {
				condition := meta.FindStatusCondition(status.Conditions, v1.ConditionBackupsCopied)
				if condition != nil && condition.Status == metav1.ConditionTrue {
					return 1, true
				}

				return 0, condition != nil
			},
		},
		{
			"caretaker_backup_rto_seconds", "How long a recovery from the newest backup is likely to take, by the last drill that succeeded. Missing before the first.",
			func(_ v1.ClusterStatus, backups v1.BackupsStatus) (float64, bool) {
				return float64(backups.EstimatedRecoverySeconds), backups.EstimatedRecoverySeconds > 0
			},
		},
	}
}

// The moment until which a copy is complete, of each copy.
const (
	copiedUntilMetric = "caretaker_backup_copied_until_time_seconds"
	copiedUntilHelp   = "All that was in the Cluster's archive then is in the copy, in seconds since 1970; 0 if it has never been complete. " +
		"It is up to an hour behind where nothing is new; caretaker_archive_copy_until_time_seconds of the primary is exact."
)

func copiedUntilLabels() []string { return []string{"namespace", "cluster", "copy"} }

// backupCollector tells of the backups of all Clusters, from their statuses.
type backupCollector struct{ clusters client.Reader }

// Describe sends nothing: which Clusters there are is not known before.
func (c backupCollector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics; none while the Clusters are not known.
func (c backupCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), backupMetricsTimeout)
	defer cancel()

	list := &v1.ClusterList{}
	if err := c.clusters.List(ctx, list); err != nil {
		return
	}

	collectCopies(list.Items, out)

	for _, metric := range backupMetrics() {
		desc := prometheus.NewDesc(metric.name, metric.help, []string{"namespace", "cluster"}, nil)

		for _, cluster := range list.Items {
			if _, archives := build.OwnPlace(&cluster); !archives {
				continue
			}

			var backups v1.BackupsStatus
			if cluster.Status.Backups != nil {
				backups = *cluster.Status.Backups
			}

			if value, ok := metric.value(cluster.Status, backups); ok {
				out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, cluster.Namespace, cluster.Name)
			}
		}
	}
}

func collectCopies(clusters []v1.Cluster, out chan<- prometheus.Metric) {
	copied := prometheus.NewDesc(copiedUntilMetric, copiedUntilHelp, copiedUntilLabels(), nil)

	for _, cluster := range clusters {
		if cluster.Status.Backups == nil {
			continue
		}

		for _, status := range cluster.Status.Backups.Copies {
			until := 0.0
			if status.CopiedUntil != nil {
				until = float64(status.CopiedUntil.Unix())
			}

			out <- prometheus.MustNewConstMetric(copied, prometheus.GaugeValue, until, cluster.Namespace, cluster.Name, status.Name)
		}
	}
}
