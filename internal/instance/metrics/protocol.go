package metrics

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// protocolPrefix of the metrics of the failover protocol.
const protocolPrefix = "caretaker_ha_"

// Protocol is how the instance stands in the failover protocol.
type Protocol struct {
	// Term that the record has.
	Term int64
	// IsPrimary: clients are in. HasAuthority: it may let them.
	IsPrimary, HasAuthority bool
	// PromisesHeld of PromisesNeeded.
	PromisesHeld, PromisesNeeded int
	// Voters acknowledge commits and elect; Acks of them must have a commit.
	Voters, Acks int
	// Silence is for how long those were not heard that this instance has to hear.
	Silence map[string]time.Duration
	// What happened in this run.
	HeartbeatsMissed, Elections, Pledges, Failovers, Switchovers, Fences int
}

// protocolMetric is one metric of the protocol.
type protocolMetric struct {
	metric

	label string
	// value without a label, values by the label's value.
	value  func(Protocol) float64
	values func(Protocol) map[string]float64
}

func protocolMetrics() []protocolMetric {
	of := func(m metric, value func(Protocol) float64) protocolMetric {
		return protocolMetric{metric: m, value: value}
	}

	return []protocolMetric{
		of(gauge("term", "The term of the record. It grows with each change of primary."), func(p Protocol) float64 { return float64(p.Term) }),
		of(gauge("is_primary", "1 if this instance leads and lets clients in."), func(p Protocol) float64 { return one(p.IsPrimary) }),
		of(gauge("authority", "1 if this primary may go on serving; before it is 0 for long, PostgreSQL is killed."),
			func(p Protocol) float64 { return one(p.HasAuthority) }),
		of(gauge("promises_held", "Voters that have promised this primary not to help another, at the moment."),
			func(p Protocol) float64 { return float64(p.PromisesHeld) }),
		of(gauge("promises_needed", "Promises that this primary needs to serve while the Kubernetes API cannot be read."),
			func(p Protocol) float64 { return float64(p.PromisesNeeded) }),
		of(gauge("voters", "Replicas whose acknowledgement counts."), func(p Protocol) float64 { return float64(p.Voters) }),
		of(gauge("acks_needed", "Voters that must have a commit before it is acknowledged; 0 is asynchronous."),
			func(p Protocol) float64 { return float64(p.Acks) }),
		{
			metric: gauge("peer_silence_seconds", "Since when a peer was not heard: each replica by the primary, the primary by each replica."),
			label:  "peer",
			values: func(p Protocol) map[string]float64 {
				found := map[string]float64{}
				for name, silence := range p.Silence {
					found[name] = silence.Seconds()
				}

				return found
			},
		},
		of(counter("heartbeats_missed_total", "Heartbeats of the primary that did not reach this replica in time."),
			func(p Protocol) float64 { return float64(p.HeartbeatsMissed) }),
		of(counter("elections_total", "Terms that this instance asked for."), func(p Protocol) float64 { return float64(p.Elections) }),
		of(counter("pledges_total", "Terms that this instance pledged to."), func(p Protocol) float64 { return float64(p.Pledges) }),
		of(counter("failovers_total", "How often this instance took over without being asked to."), func(p Protocol) float64 { return float64(p.Failovers) }),
		of(counter("switchovers_total", "How often this instance took over on request."), func(p Protocol) float64 { return float64(p.Switchovers) }),
		of(counter("fences_total", "How often this instance killed its PostgreSQL, as it might no longer lead."),
			func(p Protocol) float64 { return float64(p.Fences) }),
	}
}

func one(yes bool) float64 {
	return map[bool]float64{true: 1}[yes]
}

// protocol collects what is known of the protocol.
func (c *Collector) protocol() []prometheus.Metric {
	status, ok := c.source.Protocol()
	if !ok {
		return nil
	}

	var found []prometheus.Metric

	for _, m := range protocolMetrics() {
		if m.label == "" {
			desc := prometheus.NewDesc(protocolPrefix+m.name, m.help, nil, nil)
			found = append(found, prometheus.MustNewConstMetric(desc, m.kind, m.value(status)))

			continue
		}

		desc := prometheus.NewDesc(protocolPrefix+m.name, m.help, []string{m.label}, nil)
		values := m.values(status)

		for _, name := range slices.Sorted(maps.Keys(values)) {
			found = append(found, prometheus.MustNewConstMetric(desc, m.kind, values[name], name))
		}
	}

	return found
}
