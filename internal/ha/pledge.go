package ha

import "time"

// pledge takes part in a pending term: wait out the promise, fsync the pledge, stop receiving, replay all, and only
// then tell. It reports whether this instance is pledged, or about to be, to the term that is pending.
func (m *machine) pledge() bool {
	r := m.View.Record
	if r == nil || r.Pending == nil || !m.fresh(3*time.Second) {
		return false
	}
	p := r.Pending
	switch {
	case p.Term < m.Disk.Pledged, p.Term <= m.Leader.Term:
		return false // a follower of its candidate
	case p.Term == m.Pledge.Term:
		m.pledgeNext()
		return true
	case p.Term == m.Disk.Pledged:
		if m.Disk.Led == p.Term {
			return false // a candidate that failed
		}
		m.Pledge = Pledge{Term: p.Term, Phase: pledgeSaving} // from before a restart
	default:
		if !m.mayPledge(r) {
			return false
		}
		m.Disk.Pledged = p.Term
		m.Pledge = Pledge{Term: p.Term, Phase: pledgeSaving, Save: m.save()}
	}
	m.pledgeNext()

	return true
}

func (m *machine) mayPledge(r *Record) bool {
	if m.isAside(r) {
		return false
	}
	if p := m.member(r.Primary.Member); r.Pending.OldStopped || p != nil && p.Report.Term == r.Pending.Term && p.Report.Stopped {
		return true // nobody is left that a promise could protect
	}
	if m.Now < m.Promise.Until && !m.without(gPromiseWait) {
		return false
	}
	if r.Primary.Member == m.Self.ID && m.Disk.Led == r.Term {
		return true // it has led since before it started: nobody has a promise of it
	}

	promised := m.Disk.Promised
	if promised == 0 || m.without(gAsked) {
		promised = m.Settings.Timing.Promise // a volume from before this was kept
	}

	return m.Now >= m.Boot+promiseWait(promised) || m.without(gBootWait)
}

func (m *machine) pledgeNext() {
	if m.Pledge.Phase != pledgeSaving || m.Op.Kind != opNone {
		return
	}
	if m.SavedN < m.Pledge.Save && !m.without(gDurable) {
		return
	}
	if m.without(gStopBeforeReply) && m.ObsAt != 0 {
		m.Pledge.Phase, m.Pledge.Tip = pledgeDone, m.Obs.Tip
		m.report()
		return
	}
	m.Pledge.Phase = pledgeStopping
	m.Following = 0
	m.do(StopReceiving{Op: m.begin(opStopReceiving), NobodySends: m.nobodySends()})
}

// nobodySends: the recorded primary has stopped for good, and this is the first term that was asked for since. A candidate of
// another one may lead, and send.
func (m *machine) nobodySends() bool {
	r := m.View.Record
	if m.without(gQuiet) {
		return true
	}

	return r != nil && r.Pending != nil && r.Pending.OldStopped && r.Pending.Term == m.Pledge.Term && r.Pending.Term == r.Term+1
}

func (m *machine) pledgeWent(k opKind, in Done) {
	if m.Phase != Standby || m.Pledge.Phase != pledgeStopping {
		return
	}
	if in.Failed != "" {
		m.Pledge.Phase = pledgeSaving // again
		return
	}
	if k == opStopReceiving {
		m.do(WaitReplayEnd{Op: m.begin(opWaitReplay)})
		return
	}
	m.Pledge.Phase, m.Pledge.Tip, m.Pledge.At = pledgeDone, in.Tip, m.Now
	m.report()
}

// reportAgain repeats the report while nobody is named.
func (m *machine) reportAgain() {
	if m.Now >= m.NextReport {
		m.report()
	}
}

// report tells all peers of the pledge.
func (m *machine) report() {
	m.NextReport = m.Now + m.Settings.Timing.Heartbeat
	m.broadcast(m.ownReport())
}

func (m *machine) ownReport() PledgeReport {
	d := &m.Disk
	r := m.View.Record
	stopped := r != nil && r.Primary.Member == m.Self.ID && d.Led == r.Term && d.Opened == r.Term

	return PledgeReport{Term: m.Pledge.Term, Tip: m.Pledge.Tip, SystemID: m.Settings.SystemID, Stopped: stopped}
}
