package dump

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/caretaker-dev/caretaker/api/backup/v1"
)

// metricsTimeout bounds a look at the Backups, which are in memory.
const metricsTimeout = 2 * time.Second

// collector tells of the dumps of all Backups, from their statuses.
type collector struct{ backups client.Reader }

// Describe sends nothing: which Backups there are is not known before.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics; none while the Backups are not known.
func (c collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), metricsTimeout)
	defer cancel()

	list := &v1.BackupList{}
	if err := c.backups.List(ctx, list); err != nil {
		return
	}

	labels := []string{"namespace", "name"}
	success := prometheus.NewDesc("caretaker_dump_last_success_time_seconds",
		"When the newest complete dump of a Backup ended, in seconds since 1970; 0 if there is none.", labels, nil)
	failure := prometheus.NewDesc("caretaker_dump_last_failure_time_seconds",
		"When the newest failed dump of a Backup ended, in seconds since 1970; 0 if there is none.", labels, nil)
	verified := prometheus.NewDesc("caretaker_dump_last_verified_time_seconds",
		"When a dump of a Backup was last restored to prove it, with success, in seconds since 1970; 0 if none was. Missing where no test restores are asked for.",
		labels, nil)
	unverified := prometheus.NewDesc("caretaker_dump_verification_failed",
		"1 while the test restore of the newest dump of a Backup has failed: its condition Verified is False. Missing where no test restores are asked for.", labels, nil)
	size := prometheus.NewDesc("caretaker_dump_size_bytes", "Size in the store of the newest complete dump of a Backup; 0 if there is none.", labels, nil)

	for _, backup := range list.Items {
		var last v1.DumpStatus
		if backup.Status.LastDump != nil {
			last = *backup.Status.LastDump
		}

		var failed *metav1.Time
		if backup.Status.LastFailure != nil {
			failed = &backup.Status.LastFailure.Time
		}

		send := func(desc *prometheus.Desc, value float64) {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, backup.Namespace, backup.Name)
		}
		send(success, seconds(last.CompletedAt))
		send(failure, seconds(failed))
		send(size, float64(last.StoredBytes))

		if given := backup.Spec.Verification; given != nil && given.TestRestore {
			failed := 0.0
			if meta.IsStatusConditionFalse(backup.Status.Conditions, v1.ConditionVerified) {
				failed = 1
			}

			send(verified, seconds(backup.Status.LastVerifiedAt))
			send(unverified, failed)
		}
	}
}

func seconds(at *metav1.Time) float64 {
	if at == nil {
		return 0
	}

	return float64(at.Unix())
}
