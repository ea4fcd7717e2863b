package instance

import (
	"slices"
	"time"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/metrics"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// protocolStatus is how this instance stands in the protocol; nil while it takes no part.
func (r *runner) protocolStatus() *instanceapi.Protocol {
	p := r.protocolRuns()
	if p == nil {
		return nil
	}

	seen := p.driver.Snapshot()
	status := &instanceapi.Protocol{
		Phase: seen.Phase.String(), Acks: seen.Acks, Authority: seen.Authority.Held,
		PromisesHeld: seen.Authority.Promises, PromisesNeeded: seen.Authority.Needed,
		Deaths: seen.Dying.Deaths,
	}
	names := r.applicationNames()
	names[string(seen.Self.ID)] = r.opts.Instance

	for _, voter := range seen.Voters {
		name := names[string(voter)]
		if name == "" {
			name = string(voter)
		}

		status.Voters = append(status.Voters, name)
	}

	slices.Sort(status.Voters)

	return status
}

// protocolMetrics is the same for the metrics, with what happened; false while this instance takes no part.
func (r *runner) protocolMetrics() (metrics.Protocol, bool) {
	p := r.protocolRuns()
	if p == nil {
		return metrics.Protocol{}, false
	}

	seen := p.driver.Snapshot()
	happened := seen.Counters
	out := metrics.Protocol{
		Term:      int64(seen.Term), //nolint:gosec // small
		IsPrimary: seen.Phase == ha.Primary, HasAuthority: seen.Authority.Held,
		PromisesHeld: seen.Authority.Promises, PromisesNeeded: seen.Authority.Needed,
		Voters: len(seen.Voters), Acks: seen.Acks, Silence: map[string]time.Duration{},
		HeartbeatsMissed: happened.HeartbeatsMissed, Elections: happened.Elections, Pledges: happened.Pledges,
		Failovers: happened.Failovers, Switchovers: happened.Switchovers, Fences: happened.Fences,
	}

	now := r.opts.Boottime()
	for name, at := range seen.Contacts {
		out.Silence[name] = max(0, now-at)
	}

	return out, true
}

// instanceOf is the instance of a replication connection, by the name that the connection shows.
func (r *runner) instanceOf(application string) string {
	if name, ok := r.applicationNames()[application]; ok {
		return name
	}

	return application
}
