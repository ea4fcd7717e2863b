package dump

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
	}
}

func seconds(at *metav1.Time) float64 {
	if at == nil {
		return 0
	}

	return float64(at.Unix())
}
