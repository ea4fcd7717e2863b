package harunner

import (
	"time"

	"github.com/caretaker-dev/caretaker/internal/ha"
)

// Counters of what happened in this run of PID 1.
type Counters struct {
	// HeartbeatsMissed of the primary, by this instance.
	HeartbeatsMissed int
	// Elections are terms that this instance asked for; Pledges those that it pledged to.
	Elections, Pledges int
	// Failovers and Switchovers are terms that this instance opened, nobody having asked for it, or somebody.
	Failovers, Switchovers int
	// Fences are how often it killed its PostgreSQL, as it might no longer lead.
	Fences int
}

// countActions counts what a step asks for, from the state before it.
func (d *Driver) countActions(actions []ha.Action) {
	for _, action := range actions {
		switch a := action.(type) {
		case ha.CompareAndSwap:
			known := d.state.View.Record
			if p := a.Record.Pending; p != nil && (known == nil || p.Term > known.MaxTerm()) {
				d.counters.Elections++
			}
		case ha.AdmitClients:
			switch {
			case a.Took == nil:
			case a.Took.Request != "" && !ha.IsOwnRequest(a.Took.Request):
				d.counters.Switchovers++
			default:
				d.counters.Failovers++
			}
		case ha.Fence:
			d.counters.Fences++
		}
	}
}

// countState counts what the state shows, given the term pledged to before.
func (d *Driver) countState(pledge uint64) {
	s := &d.state
	if s.Pledge.Term > pledge {
		d.counters.Pledges++
	}

	silent := 0
	if s.Phase == ha.Standby && s.Leader.ID != "" && s.Settings.Timing.Heartbeat > 0 {
		// One is always on its way.
		silent = max(0, int((s.Now-s.Leader.Heard)/s.Settings.Timing.Heartbeat)-1)
	}

	d.counters.HeartbeatsMissed += max(0, silent-d.silent)
	d.silent = silent
}

// contacts are when those were last heard that this instance has to hear.
func (d *Driver) contacts() map[string]time.Duration {
	s := &d.state
	found := map[string]time.Duration{}

	switch {
	case s.Phase == ha.Primary:
		for _, p := range s.Peers {
			found[p.Name] = max(p.Answered, s.Entered)
		}
	case s.Leader.ID != "":
		found[s.Leader.Name] = s.Leader.Heard
	}

	return found
}
