package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// volumeMetric is one metric of the data volume.
type volumeMetric struct {
	metric

	value func(instanceapi.Disk) float64
}

func volumeMetrics() []volumeMetric {
	return []volumeMetric{
		{gauge("volume_size_bytes", "Size of the data volume's filesystem."), func(d instanceapi.Disk) float64 { return float64(d.TotalBytes) }},
		{gauge("volume_free_bytes", "What PostgreSQL can still use of it."), func(d instanceapi.Disk) float64 { return float64(d.FreeBytes) }},
		{gauge("volume_reserve_bytes", "What is kept back for when it is full."), func(d instanceapi.Disk) float64 { return float64(d.ReserveBytes) }},
		{gauge("volume_read_only", "1 if writes are refused, as the volume is nearly full."), func(d instanceapi.Disk) float64 { return one(d.ReadOnly) }},
	}
}

// volume collects what is known of the data volume, also while PostgreSQL does not run.
func (c *Collector) volume() []prometheus.Metric {
	disk := c.source.Disk()
	if disk == nil {
		return nil
	}

	var found []prometheus.Metric

	for _, m := range volumeMetrics() {
		desc := prometheus.NewDesc(prefix+m.name, m.help, nil, nil)
		found = append(found, prometheus.MustNewConstMetric(desc, m.kind, m.value(*disk)))
	}

	return found
}
