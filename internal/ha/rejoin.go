package ha

import "time"

const (
	cloneEarly  = 5 * time.Second // from a primary that is not established, where there is nothing to lose
	followRetry = 2 * time.Second
	maxFailures = 3
)

// idle decides the role of an instance whose PostgreSQL is stopped.
func (m *machine) idle() {
	d, r := &m.Disk, m.View.Record
	if m.Op.Kind != opNone {
		return
	}
	switch {
	case d.Dirty && m.SavedN != m.SaveN:
		return // the marker first
	case d.Dirty:
		m.do(Discard{Op: m.begin(opDiscard)})
		m.enter(Cloning)
		return
	case d.Empty || m.mustClone():
		m.pledgeEmpty()
		m.clone()
		return
	case m.mayLead() && (r == nil || m.leads() && r.Pending == nil):
		if !m.handOverDead() {
			m.prove()
		}
		return
	}
	m.do(StartStandby{Op: m.begin(opStartStandby)})
	m.enter(Starting)
}

// mayLead: it led, has not given up, has pledged to nothing later, and has not told anybody in this term that it serves nobody
// any more.
func (m *machine) mayLead() bool {
	d := &m.Disk

	return d.Led > 0 && d.Resigned < d.Led && d.Pledged <= d.Led && (m.ClosedIn < d.Led || m.without(gClosedForGood))
}

// prove starts read-write only with proof that the term is still this instance's (I4): a live read sent since it
// stopped, and the record claimed for this run; or, without the API, fresh promises of W voters.
func (m *machine) prove() {
	d, r := &m.Disk, m.View.Record
	if m.without(gProof) {
		m.startPrimary(d.Sync)
		return
	}
	if r != nil && m.leads() && m.View.At >= m.Entered && m.fresh(time.Second) {
		switch {
		case m.Swap != nil:
			m.retrySwap()
		case r.Primary.Run != m.Run && !m.without(gClaim):
			m.claim(r)
		default:
			m.Lead.Established = true
			m.startPrimary(r.sync())
		}
		return
	}
	if d.Sync.Acks == 0 || d.Established != d.Led && !m.without(gEstMark) {
		return
	}
	m.Lead.Sync = d.Sync.clone()
	m.beat()
	if m.promisedUntil(0) > m.Now+m.Settings.Timing.Promise/2 {
		m.Lead.Established = true
		m.startPrimary(d.Sync)
	}
}

func (m *machine) startPrimary(s Sync) {
	m.Lead.Sync = s.clone()
	if !m.Disk.Sync.equal(s) {
		m.Disk.Sync = s.clone()
		m.save()
	}
	m.LastGen++
	m.Lead.Gen = m.LastGen
	if m.Disk.Opened != m.Disk.Led {
		m.Lead.OldOver = max(m.Lead.OldOver, m.Now+m.Settings.Timing.readWait())
	}
	m.do(StartPrimary{Op: m.begin(opStartPrimary), Gen: m.LastGen, Sync: s.clone(), Closed: !m.without(gClientsOut)})
	m.enter(Restarting)
}

// restarting gives a recovery the time that a stop has. One that takes longer is cut short for a later term, or handed
// over if others are there to lead at once: they have all that was acknowledged.
func (m *machine) restarting() {
	m.beat()
	if m.superseded() {
		m.stepDown("a later term is asked for")
		return
	}
	if m.Now-m.Entered > m.Settings.Timing.StopTimeout && m.othersCanLead(m.Settings.Timing.missed()) {
		m.onHandOver(HandOver{Reason: RequestRecovery})
	}
}

// othersCanLead tells whether so many voters have answered within that time that they can elect and establish one of them
// without this instance.
func (m *machine) othersCanLead(within time.Duration) bool {
	if !m.leads() || m.View.Record.Pending != nil || m.Swap != nil || !m.fresh(1500*time.Millisecond) {
		return false
	}
	r, n := m.View.Record, 0
	for _, v := range r.Voters {
		if p := m.member(v); p != nil && p.Answered != 0 && m.Now-p.Answered <= within {
			n++
		}
	}
	if m.Settings.Preferred {
		return len(r.Voters) > 0 && n >= r.Quorum()
	}

	return len(r.Voters) > 0 && n >= max(r.Quorum(), r.Acks+1)
}

func (m *machine) startedPrimary(in Done) {
	if in.Failed != "" {
		m.Lead.Failures++
		m.note("restart in place failed: " + in.Failed)
		failures := m.Lead.Failures
		m.toIdle()
		if r := m.View.Record; failures >= maxFailures && r != nil && len(r.Voters) > 0 {
			m.resign() // somebody else may have better luck
			m.enter(Resigned)
		}
		return
	}
	m.Lead.GateLSN = in.Tip.LSN
	m.enter(Gated)
	m.Obs.Tip, m.NextBeat = in.Tip, 0
}

// gated lets nobody in before W voters have flushed what recovery brought to light: it could still be lost.
func (m *machine) gated() {
	m.beat()
	if m.superseded() {
		m.stepDown("a later term is asked for")
		return
	}
	if m.flushed(m.Lead.GateLSN) || m.without(gGate) {
		m.establishedNow()
		if !m.handOverClosed() {
			m.open()
		}
		return
	}
	if m.overdue(0) && m.othersCanLead(m.Settings.Timing.missed()) {
		m.standAside(m.View.Record)
		m.onHandOver(HandOver{Reason: RequestClosed})
		return
	}
	m.membership()
}

func (m *machine) startedStandby(in Done) {
	if in.Failed != "" {
		m.note("standby did not start: " + in.Failed)
		if m.Now-m.Boot > time.Minute { // not at once: it may be a matter of configuration
			m.Broken = m.Leader.Term
		}
		m.toIdle()
		return
	}
	m.enter(Standby)
	m.Obs.Tip = in.Tip
}

// standby pledges, names, follows and suspects.
func (m *machine) standby() {
	if m.pledge() {
		m.Obs.Receiving = m.Obs.Receiving && m.Pledge.Phase != pledgeDone
		if m.Pledge.Phase != pledgeDone {
			return
		}
		m.name()
		if m.View.Record.Pending != nil && m.View.Record.Pending.Candidate.ID == "" {
			m.reportAgain()
		}
		m.promote()
		if m.Phase == Standby {
			m.suspect()
		}
		return
	}
	r := m.View.Record
	if m.mayLead() && m.leads() && r.Pending == nil && m.fresh(time.Second) {
		m.fence("the term is this instance's after all", m.Now+m.Settings.Timing.Promise)
		return
	}
	m.follow()
	if m.Phase == Standby {
		m.suspect()
	}
}

// mustClone: the data lacks WAL that the leader no longer has. It is given up for an established leader only: until then
// it is a copy, and takes part in elections.
func (m *machine) mustClone() bool {
	l := &m.Leader

	return m.Broken != 0 && m.Broken == l.Term && l.Established && m.Now-l.Heard <= m.Settings.Timing.missed()
}

// follow streams from the leader that is heard, or makes that possible.
func (m *machine) follow() {
	l, d := &m.Leader, &m.Disk
	if m.Op.Kind != opNone || l.ID == "" || m.Now-l.Heard > m.Settings.Timing.missed() || l.Tip.Timeline == 0 {
		return
	}
	if l.Term < d.Pledged && !m.without(gTerm) || m.SavedN < m.AdoptN && !m.without(gDurable) || m.Obs.Tip.Timeline == 0 {
		return
	}
	if m.Following != 0 && m.Following != l.Term && !m.without(gSettle) {
		m.do(StopReceiving{Op: m.begin(opSettle)})
		return
	}
	if m.mustClone() {
		m.fence("the upstream no longer has the WAL that this standby needs", m.Now+m.Settings.Timing.Promise)
		return
	}
	if !m.Obs.Tip.canFollow(l.Tip) {
		if l.Established || m.without(gRewind) {
			m.beginRewind()
		}
		return
	}
	if m.Following == l.Term && (m.Obs.Receiving || m.Now-m.FollowAt < followRetry) {
		return
	}
	m.Following, m.FollowAt = l.Term, m.Now
	m.Pledge = Pledge{}
	m.do(Follow{Leader: l.Instance})
}

// settledWent: before another is followed, what came from the one before is over, and the end of the log is known. It may
// have grown since it was last observed, beyond where the new leader took over; or end in the middle of a record.
func (m *machine) settledWent(k opKind, in Done) {
	if m.Phase != Standby || in.Failed != "" {
		return // it is tried again
	}
	if k == opSettle {
		m.do(WaitReplayEnd{Op: m.begin(opSettleReplay)})
		return
	}
	m.Following = 0
	m.Obs.Tip, m.Obs.Receiving = in.Tip, false
}

// HasDiverged tells whether this standby's log went on beyond where the leader that it hears took over.
func (s *State) HasDiverged() bool {
	l := &s.Leader
	heard := l.ID != "" && s.Now-l.Heard <= s.Settings.Timing.missed() && l.Tip.Timeline != 0

	return s.Phase == Standby && heard && l.Term >= s.Disk.Pledged && s.Obs.Tip.Timeline != 0 && !s.Obs.Tip.canFollow(l.Tip)
}

// beginRewind marks the directory before it is touched.
func (m *machine) beginRewind() {
	m.note("diverged from " + m.Leader.Name + ": rewinding")
	m.Disk.Dirty = true
	m.Pledge, m.Following, m.Diverged = Pledge{}, 0, m.Obs.Tip
	m.enter(Rewinding)
	m.WaitSave = m.save()
}

// rewinding begins once the marker is on the disk. Another may lead by then, which is to be established too.
func (m *machine) rewinding() {
	l := &m.Leader
	if m.Op.Kind == opNone && m.SavedN >= m.WaitSave && (l.Established || m.without(gRewind)) {
		m.do(Rewind{Op: m.begin(opRewind), From: l.Instance, Own: m.Diverged, Onto: l.Tip})
	}
}

func (m *machine) rewound(in Done) {
	if in.Failed != "" {
		m.note("rewind failed: " + in.Failed)
	}
	if in.Failed == "" || in.Untouched {
		m.Disk.Dirty = false
		m.save()
	}
	m.toIdle()
}

// clone fills an empty directory from the leader. Data that only lacks WAL is given up for that, if the leader is
// established.
func (m *machine) clone() {
	l := &m.Leader
	if l.ID == "" || m.Now-l.Heard > m.Settings.Timing.missed() || m.SavedN != m.SaveN {
		return
	}
	switch {
	case !m.Disk.Empty && l.Established:
		m.Broken = 0
		m.Disk.Dirty = true
		m.save()
	case l.Established, m.Disk.Empty && m.Now-l.Since >= cloneEarly:
		m.Disk.Pledged = max(m.Disk.Pledged, l.Term)
		m.enter(Cloning)
		m.WaitSave = m.save()
	}
}

func (m *machine) cloning() {
	if m.Op.Kind == opNone && m.SavedN >= m.WaitSave {
		m.do(Reclone{Op: m.begin(opReclone), From: m.Leader.Instance})
	}
}

func (m *machine) recloned(in Done) {
	if in.Failed != "" {
		m.note("clone failed: " + in.Failed)
	} else {
		m.Disk.Empty = false
		m.save()
	}
	m.toIdle()
}

// discarded: the volume is a new member, and empty.
func (m *machine) discarded(in Done) {
	if in.Failed != "" {
		m.note("the unusable directory could not be emptied: " + in.Failed)
	} else {
		m.Disk = Disk{Member: in.Member, Pledged: m.Disk.Pledged, Seen: m.Disk.Seen, Empty: true}
		m.Self.ID = in.Member
		m.save()
	}
	m.toIdle()
}

// pledgeEmpty tells those that elect that this member has nothing, and can follow anybody.
func (m *machine) pledgeEmpty() {
	r := m.View.Record
	if !m.Disk.Empty || r == nil || r.Pending == nil || r.isMember(m.Self.ID) || !m.fresh(3*time.Second) {
		return
	}
	p := r.Pending
	if p.Term > m.Disk.Pledged {
		m.Disk.Pledged = p.Term
		m.save()
	}
	if p.Candidate.ID == "" && m.Disk.Pledged == p.Term && m.SavedN == m.SaveN {
		m.Pledge = Pledge{Term: p.Term, Phase: pledgeDone}
		m.reportAgain()
	}
}
