package ha

import "time"

// endedAge: whether a run that has ended is replaced by a new term, or starts again in its own, is decided anew after that.
const endedAge = 2 * time.Second

// promiseWait is a promise on the giver's clock, with a margin for clocks that drift.
func promiseWait(promise time.Duration) time.Duration { return promise + promise/10 }

// keepPromised sees to it that the volume knows the longest promise that may hold, before it is given: after a restart
// that long is waited. The settings may be others by then. It reports whether it is durable.
func (m *machine) keepPromised(asked time.Duration) bool {
	d := &m.Disk
	switch {
	case asked > d.Promised:
		d.Promised = asked
		m.PromisedN = m.save()
	case asked < d.Promised && m.Now >= m.LongUntil && m.Now >= m.Boot+promiseWait(d.Promised):
		d.Promised = asked // the longer ones are over
		m.save()
	}

	return m.SavedN >= m.PromisedN || m.without(gDurable)
}

// readWait is how long after a pending term was seen some other may still serve on an earlier live read.
func (t Timing) readWait() time.Duration { return t.APIFresh + t.APIFresh/10 }

// missed is after which silence a primary is suspected.
func (t Timing) missed() time.Duration { return time.Duration(t.Missed) * t.Heartbeat }

// onHeartbeat: a voter hears a primary. The answer is a promise not to pledge to a later term for a while.
func (m *machine) onHeartbeat(from Instance, hb Heartbeat) {
	reply := HeartbeatReply{Term: hb.Term, Run: hb.Run, Sent: hb.Sent, Pledged: m.Disk.Pledged}
	if !m.accepts(from, hb) {
		m.send(from.Name, reply)
		return
	}
	if hb.Term > m.Disk.Pledged { // durable, before anything is streamed or promised
		m.Disk.Pledged = hb.Term
		m.AdoptN = m.save()
	}
	if m.Leader.ID != from.ID || m.Leader.Term != hb.Term || m.Leader.Run != hb.Run {
		m.Leader = Leader{Instance: from, Term: hb.Term, Run: hb.Run, Since: m.Now}
	}
	l := &m.Leader
	l.Heard, l.Established = m.Now, hb.Established
	m.Asked = 0
	if hb.Tip.Timeline != 0 {
		l.Tip = hb.Tip
	}
	if hb.Closed {
		m.onClosed(Closed{Member: from.ID, Run: hb.Run, Term: hb.Term})
		m.send(from.Name, reply)
		return
	}
	asked := hb.Promise
	if asked == 0 || m.without(gAsked) {
		asked = m.Settings.Timing.Promise
	}
	if kept := m.keepPromised(asked); !kept || m.SavedN < m.AdoptN && !m.without(gDurable) {
		return // the next heartbeat is answered
	}
	reply.Promise, reply.Lasts = true, hb.Promise
	until := m.Now + promiseWait(asked)
	if asked == m.Disk.Promised {
		m.LongUntil = until
	}
	if m.Promise.To == from.ID && m.Promise.Run == hb.Run {
		until = max(until, m.Promise.Until) // one that was asked for longer holds on
	}
	m.Promise = Promise{To: from.ID, Run: hb.Run, Sent: hb.Sent, Given: m.Now, Until: until}
	m.send(from.Name, reply)
}

// accepts tells whether this instance may follow that primary.
func (m *machine) accepts(from Instance, hb Heartbeat) bool {
	if !m.Phase.is(Idle, Starting, Standby, Fencing, Rewinding, Cloning) {
		return false
	}
	if hb.Term < m.Disk.Pledged && !m.without(gTerm) || hb.Term <= m.Disk.Led || hb.Term < m.Leader.Term {
		return false
	}
	if r := m.View.Record; r != nil && r.Pending != nil && r.Pending.Term > hb.Term {
		return false
	}

	return m.Leader.Term != hb.Term || m.Leader.ID == from.ID
}

// hears tells whether the primary of that term, or of a later one, was heard lately, or is this instance itself. A primary
// whose PostgreSQL does not answer, or takes long to recover, sends no heartbeats, and objects to no other.
func (m *machine) hears(term uint64) bool {
	if m.Phase.is(Primary, Establishing, Restarting) {
		return m.mayBeat() || m.Now-m.Entered <= m.Settings.Timing.missed()
	}
	heard := m.Leader.Term >= term && m.Now-m.Leader.Heard <= m.Settings.Timing.missed()

	return heard && m.Phase.is(Standby, Starting, Rewinding, Cloning)
}

// onRelease frees this voter from a promise given to a heartbeat sent before the release.
func (m *machine) onRelease(from Instance, r Release) {
	if m.Promise.To == from.ID && m.Promise.Run == r.Run && m.Promise.Sent <= r.Sent {
		m.Promise.Until = 0
	}
	if m.Leader.ID == from.ID && m.Leader.Run == r.Run && m.Leader.Term <= r.Term {
		m.Leader.Heard = min(m.Leader.Heard, m.Now-m.Settings.Timing.missed())
	}
	m.View.NextRead = 0
}

// onEnded: that run of the member is over. Promises given to it are void; it is suspected at once; and its authority is
// over. A later run of the same member has the promises that were given to itself, and no authority from reads of the
// record before it has claimed it.
func (m *machine) onEnded(in Ended) {
	if m.Promise.To == in.Member && (m.Promise.Run == in.Run || m.without(gEndedRun)) {
		m.Promise.Until = 0
	}
	m.Ended = in
	m.oldIsOver()
	m.View.NextRead = 0
}

// onClosed: in that term the run of the member has no client any more, and lets none in. What holds of a run that has ended
// holds of it there, but that it is suspected: what it has still to send is waited for as long as it is heard.
func (m *machine) onClosed(c Closed) {
	if m.Promise.To == c.Member && m.Promise.Run == c.Run {
		m.Promise.Until = 0
	}
	m.Closed = c
	m.oldIsOver()
}

// oldIsOver lets a candidate that waits for the old primary's authority wait no longer, if that is the one known to be over.
func (m *machine) oldIsOver() {
	if r := m.View.Record; r != nil && r.Pending != nil && m.oldServesNot(r) {
		m.Lead.OldOver = min(m.Lead.OldOver, m.Now)
	}
}

// oldServesNot tells whether the run that leads by the record is known to serve nobody ever again in the recorded term. In a
// later one the same run may.
func (m *machine) oldServesNot(r *Record) bool {
	recorded := Closed{Member: r.Primary.Member, Run: r.Primary.Run, Term: r.Term}

	return m.oldEnded(r) || m.Closed == recorded && recorded.Run != 0
}

// oldEnded tells whether the run that leads by the record is known to be over.
func (m *machine) oldEnded(r *Record) bool {
	e := m.Ended

	return e.Run != 0 && e.Member == r.Primary.Member && (e.Run == r.Primary.Run || m.without(gEndedRun))
}

// primaryEnded tells whether the recorded primary is known to be over, and no later run of it was heard.
func (m *machine) primaryEnded(r *Record) bool {
	l := &m.Leader
	again := l.ID == r.Primary.Member && l.Run != m.Ended.Run && m.Now-l.Heard <= m.Settings.Timing.missed()

	return m.oldEnded(r) && !again && m.Now-m.Ended.Seen < endedAge
}
