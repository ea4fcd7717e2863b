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
	// has says whether there is a value; always if it is nil.
	has func(instanceapi.Archiving) bool
}

func archiveMetrics(now time.Time) []archiveMetric {
	return []archiveMetric{
		{
			metric: gauge("rpo_seconds", "Age of the oldest change that is not in the archive: what would be lost with all volumes; 0 if it has all. "+
				"On the primary only, and counted from the start of PID 1 at most."),
			value: func(a instanceapi.Archiving) float64 { return age(a.Exposure, now) },
			has:   func(a instanceapi.Archiving) bool { return a.Exposure != nil },
		},
		{
			metric: gauge("last_archived_time_seconds", "When WAL of this instance last reached the archive, in seconds since 1970; 0 if it has not since PID 1 started."),
			value:  func(a instanceapi.Archiving) float64 { return seconds(a.LastTime) },
		},
		{
			metric: gauge("failing_since_seconds", "Since when WAL does not reach the archive, in seconds since 1970; 0 while it does."),
			value:  func(a instanceapi.Archiving) float64 { return seconds(a.FailingSince) },
		},
		{
			metric: gauge("waiting_files", "Files of WAL that wait to be archived."),
			value:  func(a instanceapi.Archiving) float64 { return float64(a.Waiting) },
		},
		{
			metric: counter("uploaded_files_total", "Files of WAL that the archiver has sent since it started."),
			value:  func(a instanceapi.Archiving) float64 { return float64(a.Uploaded) },
		},
		{
			metric: counter("uploaded_bytes_total", "Bytes that it has sent for them."),
			value:  func(a instanceapi.Archiving) float64 { return float64(a.UploadedBytes) },
		},
		{
			metric: counter("failures_total", "Attempts of it that failed."),
			value:  func(a instanceapi.Archiving) float64 { return float64(a.Retries) },
		},
	}
}

// copyPrefix of the metrics of the archive's copies, which have the label copy.
const copyPrefix = archivePrefix + "copy_"

// copyMetric is one metric of each copy of the archive.
type copyMetric struct {
	metric

	value func(instanceapi.Copied) float64
}

func copyMetrics() []copyMetric {
	return []copyMetric{
		{
			metric: gauge("until_time_seconds", "All that was in the archive then is in the copy, in seconds since 1970; 0 if nothing was copied since PID 1 started. "+
				"On the primary only."),
			value: func(c instanceapi.Copied) float64 { return seconds(c.Until) },
		},
		{
			metric: gauge("failing_since_seconds", "Since when the copy fails, in seconds since 1970; 0 while it does not."),
			value:  func(c instanceapi.Copied) float64 { return seconds(c.FailingSince) },
		},
		{
			metric: counter("bytes_total", "Bytes that were copied since this instance leads."),
			value:  func(c instanceapi.Copied) float64 { return float64(c.CopiedBytes) },
		},
	}
}

func copyLabels() []string { return []string{"copy"} }

// copies collects how far the copies of the archive are.
func (c *Collector) copies() []prometheus.Metric {
	var found []prometheus.Metric

	for _, copied := range c.source.Copies() {
		for _, m := range copyMetrics() {
			desc := prometheus.NewDesc(copyPrefix+m.name, m.help, copyLabels(), nil)
			found = append(found, prometheus.MustNewConstMetric(desc, m.kind, m.value(copied), copied.Name))
		}
	}

	return found
}

func age(exposed *instanceapi.Exposure, now time.Time) float64 {
	if exposed == nil || exposed.Since == nil {
		return 0
	}

	return max(0, now.Sub(*exposed.Since).Seconds())
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

	for _, m := range archiveMetrics(c.clock.Now()) {
		if m.has != nil && !m.has(*status) {
			continue
		}

		desc := prometheus.NewDesc(archivePrefix+m.name, m.help, nil, nil)
		found = append(found, prometheus.MustNewConstMetric(desc, m.kind, m.value(*status)))
	}

	return found
}
