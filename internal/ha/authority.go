package ha

import (
	"math"
	"slices"
	"time"
)

const forever = time.Duration(math.MaxInt64 / 4)

// beat sends heartbeats while PostgreSQL answers, or while it is being started or stopped within its time.
func (m *machine) beat() {
	if m.Now < m.NextBeat || !m.mayBeat() {
		return
	}
	m.NextBeat = m.Now + m.Settings.Timing.Heartbeat
	tip := m.Obs.Tip
	m.broadcast(Heartbeat{
		Term: m.Disk.Led, Run: m.Run, Sent: m.Now, Promise: m.Settings.Timing.Promise, Tip: tip, Established: m.Lead.Established,
		Closed: m.closed(),
	})
}

// closed tells whether no client is left in a PostgreSQL that stops in order, so that no authority is needed any more.
func (m *machine) closed() bool {
	return m.Phase == Stopping && (m.ClientsGone || m.without(gClientsGone))
}

func (m *machine) mayBeat() bool {
	t := m.Settings.Timing
	switch {
	case m.Phase.is(Primary, Establishing, Gated):
		return m.ObsAt != 0 && m.Now-m.ObsAt <= 2*t.Heartbeat
	case m.Phase.is(Restarting, Stopping):
		return m.Now-m.Entered <= t.StopTimeout
	default:
		return m.Phase == Idle // the caller has checked that it may lead
	}
}

func (m *machine) onHeartbeatReply(p *Peer, r HeartbeatReply) {
	if r.Pledged > m.Disk.Led {
		m.View.NextRead = min(m.View.NextRead, m.Now) // somebody knows of a later term
	}
	if !r.Promise || r.Run != m.Run || r.Term != m.Disk.Led || r.Sent > m.Now {
		return
	}
	p.Answered = m.Now
	lasts := r.Lasts
	if lasts == 0 || m.without(gAsked) {
		lasts = m.Settings.Timing.Promise // by settings that are, with luck, the same
	}
	if until := r.Sent + lasts; until > p.Held {
		p.Held, p.HeldFor = until, lasts
	}
}

// promisedUntil is how long the voters' promises keep every other away, under every rule that may be in the record, with
// so many tenths of each promise left.
func (m *machine) promisedUntil(tenths time.Duration) time.Duration {
	until := m.promisedUnder(m.Lead.Sync, tenths)
	if m.without(gAuthUnion) {
		return until
	}
	if m.leads() {
		until = min(until, m.promisedUnder(m.View.Record.sync(), tenths))
	}
	if m.Swap != nil {
		until = min(until, m.promisedUnder(m.Swap.Record.sync(), tenths))
	}

	return until
}

// promisedUnder: no election can gather R while n - R + 1 promise; with no voters nobody else may lead.
func (m *machine) promisedUnder(s Sync, tenths time.Duration) time.Duration {
	if len(s.Voters) == 0 {
		return forever
	}
	need := s.Acks
	if need == 0 {
		need = len(s.Voters)
	}
	held := make([]time.Duration, 0, len(s.Voters))
	for _, v := range s.Voters {
		if p := m.member(v); p != nil {
			held = append(held, p.Held-p.HeldFor*tenths/10) //nolint:durationcheck // tenths is a number
		}
	}
	if len(held) < need {
		return 0
	}
	slices.Sort(held)

	return held[len(held)-need]
}

// readAuthority: a live read that shows our term under this run, and nothing pending, is authority for a while from its
// sending.
func (m *machine) readAuthority(sent time.Duration) {
	r := m.View.Record
	if !m.leads() || r.Pending != nil && !m.without(gPendCheck) || r.Primary.Run != m.Run && !m.without(gEndedRun) {
		return
	}
	m.Lead.APIUntil = max(m.Lead.APIUntil, sent+m.Settings.Timing.APIFresh)
}

// fenceAt is when fencing must begin, and by when every process must be gone.
func (m *machine) fenceAt() (begin, end time.Duration) {
	t := m.Settings.Timing
	api := m.Lead.APIUntil
	if m.without(gDrift) {
		a := max(m.promisedUntil(0), api)

		return a, a + t.Promise/2
	}
	begin = max(m.promisedUntil(4), api-t.APIFresh*4/10)
	end = max(m.promisedUntil(1), api-t.APIFresh/10)

	return begin, end
}

// KillBy is when a watchdog must have killed every process of the container, unless PID 1 says otherwise before; 0 for
// never.
func (s *State) KillBy() time.Duration {
	if s.Phase == Fencing {
		return s.KillAt // what was begun is ended, too
	}
	if !s.Phase.is(Primary, Stopping) {
		return 0
	}
	m := machine{State: s}
	if m.closed() {
		return s.KillAt
	}
	_, end := m.fenceAt()
	if s.Phase == Stopping {
		return min(end, s.KillAt) // its last clients may still be in
	}
	if end >= forever/2 {
		return 0
	}

	return end
}

// Authority is what an instance's right to let clients write rests on.
type Authority struct {
	// Held: it has the right now.
	Held bool
	// Promises are held of those Needed; while they are, the record need not be read.
	Promises, Needed int
}

// Authority of this instance; nothing unless it is the primary.
func (s *State) Authority() Authority {
	if s.Phase != Primary {
		return Authority{}
	}

	m := machine{State: s}
	out := Authority{Held: m.hasAuthority(), Needed: s.Lead.Sync.Acks}
	if out.Needed == 0 {
		out.Needed = len(s.Lead.Sync.Voters)
	}

	for _, v := range s.Lead.Sync.Voters {
		if p := m.member(v); p != nil && p.Held > s.Now {
			out.Promises++
		}
	}

	return out
}

// hasAuthority tells whether clients may be let in, or stay.
func (m *machine) hasAuthority() bool {
	begin, _ := m.fenceAt()

	return m.Now < begin
}

// keepAuthority fences when authority runs short.
func (m *machine) keepAuthority() bool {
	begin, end := m.fenceAt()
	if m.Now < begin {
		return true
	}
	m.fence("no authority: too few promises, and no live read of the record", end)

	return false
}
