package ha

import "time"

const (
	readTimeout = time.Second
	readFloor   = 200 * time.Millisecond
	readBusy    = 300 * time.Millisecond
	readQuiet   = 5 * time.Second
)

// pollRecord reads the record often while something moves, rarely else. Nothing is decided from a watch.
func (m *machine) pollRecord() {
	v := &m.View
	if m.Phase == Gone || v.ReadSince != 0 && m.Now-v.ReadSince < readTimeout {
		return
	}
	age := m.Now - v.LastRead
	if v.LastRead != 0 && (age < readFloor || age < m.readInterval() && m.Now < v.NextRead) {
		return
	}
	v.ReadSince, v.LastRead = m.Now, m.Now
	v.NextRead = forever
	m.do(ReadRecord{})
}

func (m *machine) readInterval() time.Duration {
	busy := m.View.Record == nil || m.View.Record.Pending != nil || m.Swap != nil
	switch {
	case m.Phase == Primary:
		busy = busy || m.Lead.Change || m.promisedUntil(0) < m.Now+m.Settings.Timing.Promise-2*m.Settings.Timing.Heartbeat
	case m.Phase == Standby:
		busy = busy || m.Now-m.Leader.Heard > 2*m.Settings.Timing.Heartbeat
	case m.Phase.is(Rewinding, Cloning):
		busy = false
	default:
		busy = true
	}
	if busy {
		return readBusy
	}

	return readQuiet
}

// fresh tells whether the record was read that recently, and has it read if not.
func (m *machine) fresh(d time.Duration) bool {
	if m.View.Record != nil && m.Now-m.View.At <= d {
		return true
	}
	m.View.NextRead = min(m.View.NextRead, m.Now)

	return false
}

func (m *machine) onRecord(in RecordRead) {
	v := &m.View
	if !in.Live {
		v.NextRead = 0 // a hint, never a fact
		return
	}
	v.ReadSince = 0
	if in.Sent < v.Floor || in.Sent < v.At {
		return
	}
	if in.Record == nil {
		m.onMissing()
		return
	}
	if w := m.Swap; w != nil && w.Unknown && in.Version != w.Expect {
		m.Swap = nil // it was applied, or never can be
	}
	v.Missing = false
	v.At = in.Sent
	m.setRecord(in.Record.Clone(), in.Version)
	m.readAuthority(in.Sent)
}

func (m *machine) setRecord(r *Record, version string) {
	v := &m.View
	if v.Record == nil || v.Version != version {
		v.SameSince = m.Now
	}
	if v.Record == nil || v.Record.Term != r.Term {
		v.TermSince = m.Now
	}
	v.Record, v.Version = r, version
	if r.Pending != nil && v.PendingRule != r.Term {
		v.PendingRule, v.PendingSince = r.Term, m.Now
	}
	m.checkRecord()
	if r.Seq > m.Disk.Seen {
		m.Disk.Seen = r.Seq
		m.save()
	}
}

// onWrote reads what a peer has just written, without waiting for the next poll. It is no more than a hint: what it says of
// the record is not believed.
func (m *machine) onWrote(msg Wrote) {
	v := &m.View
	if v.Record != nil && v.Record.Seq >= msg.Seq {
		return // it was read already
	}
	v.NextRead, v.LastRead = 0, 0
}

// checkRecord halts where the record and the volume contradict each other (I5).
func (m *machine) checkRecord() {
	r, d := m.View.Record, &m.Disk
	var why HaltReason
	switch {
	case m.without(gRecordBehind):
	case r.Seq < d.Seen || r.MaxTerm() < max(d.Pledged, d.Led):
		why = RecordBehind
	case r.Term > 0 && r.Primary.Member == m.Self.ID && d.Led < r.Term && !d.Empty && r.Pending == nil:
		why = VolumeBehind
	case r.SystemID != "" && m.Settings.SystemID != "" && r.SystemID != m.Settings.SystemID:
		why = OtherDatabase
	}
	if why == m.Halted {
		return
	}
	m.Halted = why
	if why == "" {
		m.note("the record makes sense again")
		if m.Phase == Halted {
			m.toIdle()
		}
		return
	}
	m.do(Halt{Reason: why})
	if m.Phase == Idle {
		m.enter(Halted)
	} else if m.Phase != Fencing {
		m.fence(string(why), m.Now+m.Settings.Timing.Promise/2)
	}
}

// onMissing: the object is gone. Only a primary that nobody can have replaced makes it again; the others wait.
func (m *machine) onMissing() {
	v := &m.View
	if !v.Missing {
		v.Missing = true
		m.note("the term record is missing")
	}
	r := v.Record
	if m.Phase != Primary || !m.Lead.Established || r == nil || r.Pending != nil || m.swapping() {
		return
	}
	if m.promisedUntil(0) <= m.Now+m.Settings.Timing.Promise/2 {
		return
	}
	m.Swap = nil // whatever was under way to the deleted object cannot be applied to a new one
	v.Version = ""
	m.swap(r.Clone(), "make the missing record again")
}

// swapping tells whether a write is under way, or was tried a moment ago with an outcome that is not known: a server that refuses
// writes at once must not be asked again at once.
func (m *machine) swapping() bool {
	return m.Swap != nil && (!m.Swap.Unknown || m.Now < m.Swap.Again)
}

func (m *machine) swap(r *Record, why string) {
	if m.swapping() {
		return
	}
	m.LastOp++
	r.Seq = m.View.Record.Seq + 1
	m.Swap = &Swap{ID: m.LastOp, Expect: m.View.Version, Record: r, Since: m.Now, Why: why}
	m.do(CompareAndSwap{ID: m.LastOp, Expect: m.View.Version, Record: r.Clone(), Why: why})
}

func (m *machine) onSwapped(in Swapped) {
	w := m.Swap
	if w == nil || w.ID != in.ID {
		return
	}
	v := &m.View
	v.NextRead, v.LastRead = 0, 0
	if in.Outcome != Applied {
		w.Unknown = true // an earlier try may have been, or may still be, applied: the next read tells
		if in.Outcome == Unknown {
			w.Again = w.Since + nameBackoff
		}
		return
	}
	m.Swap = nil
	v.At, v.Floor = w.Since, m.Now
	m.setRecord(w.Record, in.Version)
	m.broadcast(Wrote{Seq: w.Record.Seq})
}

// leads tells whether the record says that this instance leads the term that it is in.
func (m *machine) leads() bool {
	r := m.View.Record

	return r != nil && r.Primary.Member == m.Self.ID && r.Term == m.Disk.Led
}

// superseded tells whether the record has, or is on the way to, a later term than ours under somebody else.
func (m *machine) superseded() bool {
	r := m.View.Record
	if r == nil {
		return false
	}
	if r.Term > m.Disk.Led {
		return true
	}
	p := r.Pending
	if m.without(gPendCheck) && (p == nil || p.Term > m.Disk.Led) {
		return false
	}

	return p != nil && (p.Term > m.Disk.Led || p.Term == m.Disk.Led && p.Candidate.ID != m.Self.ID)
}
