package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// archivePrefix of the metrics of the archive.
const archivePrefix = "caretaker_archive_"

// archiveMetric is one metric of the archive.
type archiveMetric struct {
	metric

	value func(instanceapi.Archiving) float64
}

func archiveMetrics() []archiveMetric {
	return []archiveMetric{
		{
			gauge("last_archived_time_seconds", "When WAL of this instance last reached the archive, in seconds since 1970; 0 if it has not since PID 1 started."),
			func(a instanceapi.Archiving) float64 { return seconds(a.LastTime) },
		},
		{
			gauge("failing_since_seconds", "Since when WAL does not reach the archive, in seconds since 1970; 0 while it does."),
			func(a instanceapi.Archiving) float64 { return seconds(a.FailingSince) },
		},
		{gauge("waiting_files", "Files of WAL that wait to be archived."), func(a instanceapi.Archiving) float64 { return float64(a.Waiting) }},
		{
			counter("uploaded_files_total", "Files of WAL that the archiver has sent since it started."),
			func(a instanceapi.Archiving) float64 { return float64(a.Uploaded) },
		},
		{counter("uploaded_bytes_total", "Bytes that it has sent for them."), func(a instanceapi.Archiving) float64 { return float64(a.UploadedBytes) }},
		{counter("failures_total", "Attempts of it that failed."), func(a instanceapi.Archiving) float64 { return float64(a.Retries) }},
	}
}

func seconds(at *time.Time) float64 {
	if at == nil {
		return 0
	}

	return float64(at.Unix())
}

// archive collects how archiving goes, where there is an archive.
func (c *Collector) archive() []prometheus.Metric {
	status := c.source.Archiving()
	if status == nil {
		return nil
	}

	var found []prometheus.Metric

	for _, m := range archiveMetrics() {
		desc := prometheus.NewDesc(archivePrefix+m.name, m.help, nil, nil)
		found = append(found, prometheus.MustNewConstMetric(desc, m.kind, m.value(*status)))
	}

	return found
}
