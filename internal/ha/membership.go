package ha

import (
	"slices"
	"time"
)

const (
	changeTimeout = 8 * time.Second
	// clientsFirst is how long after its opening a primary lets no voter in: for a new setting the walsenders connect anew, and
	// commits wait for them. Who has waited for a primary comes first.
	clientsFirst = time.Second
)

// membership keeps voters and acknowledgements as they should be (I1). A weaker rule (a voter more, fewer
// acknowledgements) goes to the record first, a stricter one to PostgreSQL first and then through the barrier.
func (m *machine) membership() {
	r := m.View.Record
	if !m.leads() || r.Pending != nil || m.swapping() {
		return
	}
	if m.Swap != nil {
		m.retrySwap()
		return
	}
	switch {
	case r.Primary.Run != m.Run && !m.without(gClaim) && !m.without(gEndedRun):
		m.claim(r) // it was started on promises alone
	case m.Lead.Change:
		m.finishChange(r)
	case !m.Lead.Sync.equal(r.sync()):
		m.followRecord(r)
	case m.settled():
		m.nextChange(r)
	}
}

// settled: a primary whose PostgreSQL does not answer now knows nothing of its voters, and leaves the rule alone.
func (m *machine) settled() bool { return m.ObsAt > m.Entered && m.mayBeat() && m.reloaded() }

// followRecord brings PostgreSQL to the record's weaker rule. Only the run that claimed the record may: a write of an
// earlier run, which makes it stricter, might still arrive.
func (m *machine) followRecord(r *Record) {
	if r.Primary.Run != m.Run && !m.without(gClaim) {
		m.claim(r)
		return
	}
	m.configure(r.sync())
}

// claim writes this run into the record, so that writes of earlier runs that are still under way fail.
func (m *machine) claim(r *Record) {
	if m.swapping() || !m.fresh(1500*time.Millisecond) {
		return
	}
	next := r.Clone()
	next.Primary = m.holder()
	m.swap(next, "claim the term for this run")
}

// finishChange waits for the barrier of a stricter rule, and then writes it.
func (m *machine) finishChange(r *Record) {
	l := &m.Lead
	if m.Now-l.ChangeSince > changeTimeout && !m.arming(r) {
		l.Change = false // back to the record's rule, which is the weaker one
		return
	}
	if !m.without(gBarrier) && !m.barrier() || m.SavedN != m.SaveN || !m.fresh(1500*time.Millisecond) {
		return
	}
	next := r.Clone()
	next.Voters, next.Acks = slices.Clone(l.Sync.Voters), l.Sync.Acks
	l.Change = false
	m.swap(next, "voters changed")
}

// arming: commits are to wait again for the first time, and the voters are well. Their flush is not what is missing, but
// the checkpointer, which reads its configuration between two checkpoints only. Nothing waits for nobody meanwhile, and to
// go back would cost another checkpoint.
func (m *machine) arming(r *Record) bool {
	alive := 0
	for _, v := range m.Lead.Sync.Voters {
		if p := m.member(v); p != nil && m.Now-p.Answered < m.Settings.Timing.missed() && m.streams(v) {
			alive++
		}
	}

	return r.Acks == 0 && alive >= m.Lead.Sync.Acks
}

// barrier: all walsenders and the checkpointer have loaded the new setting; then W of its voters have flushed all that
// was written until that moment, and so all that was acknowledged under the old one.
func (m *machine) barrier() bool {
	l := &m.Lead
	if m.ObsAt <= l.ChangeSince || !m.reloaded() {
		return false
	}
	if l.ChangeLSN == 0 {
		l.ChangeLSN = m.Obs.Tip.LSN
	}

	return m.flushedBy(l.ChangeLSN) >= l.Sync.Acks
}

// stricter begins with PostgreSQL, if the record can be written afterwards.
func (m *machine) stricter(s Sync) {
	if !m.fresh(1500 * time.Millisecond) {
		return
	}
	m.configure(s)
	m.Lead.Change, m.Lead.ChangeSince, m.Lead.ChangeLSN = true, m.Now, 0
}

// weaker begins with the record; PostgreSQL follows when it is known to be written.
func (m *machine) weaker(r *Record, s Sync, why string) {
	if !m.fresh(1500 * time.Millisecond) {
		return
	}
	if m.without(gRecordFirst) {
		m.configure(s)
	}
	next := r.Clone()
	next.Voters, next.Acks = slices.Clone(s.Voters), s.Acks
	m.swap(next, why)
}

func (m *machine) nextChange(r *Record) {
	if m.degrade(r) || m.removeVoter(r) {
		return
	}
	var ready []MemberID
	for _, x := range m.Obs.Senders {
		p := m.member(x.Member)
		if p != nil && x.Flush > 0 && m.promises(p) {
			ready = with(ready, x.Member)
		}
	}
	if m.changeAcks(r, ready) {
		return
	}
	if m.Now-m.Entered < clientsFirst && len(r.Voters) > 0 {
		return
	}
	if r.Acks == 0 && m.Settings.Acks > 0 {
		return // to be armed, once enough are ready
	}
	for _, id := range ready {
		if !slices.Contains(r.Voters, id) {
			m.weaker(r, Sync{Voters: with(r.Voters, id), Acks: r.Acks}, "voter added")
			return
		}
	}
}

// promises tells whether enough is left of the peer's promise. Authority may rest on it from the moment that it is a voter.
func (m *machine) promises(p *Peer) bool {
	return p.Answered != 0 && p.Held > m.Now+m.Settings.Timing.Promise/2
}

// removeVoter takes out a voter that is gone for long, or whose volume is not the one that was named.
func (m *machine) removeVoter(r *Record) bool {
	for _, v := range r.Voters {
		if len(r.Voters)-1 < max(r.Acks, 1) && r.Acks > 0 || !m.isGone(v) {
			continue
		}
		m.stricter(Sync{Voters: without(r.Voters, v), Acks: r.Acks})
		return true
	}

	return false
}

func (m *machine) isGone(id MemberID) bool {
	since := m.Entered
	if p := m.member(id); p != nil {
		since = max(since, p.Answered)
	} else if m.Now-since > m.Settings.Timing.missed() && m.replaced() {
		return true
	}

	return m.Now-since > m.Settings.Timing.RemoveAfter
}

// replaced: all peers are known by now, so a voter that is none of them lives on no volume any more.
func (m *machine) replaced() bool {
	return !slices.ContainsFunc(m.Peers, func(p Peer) bool { return p.ID == "" })
}

// changeAcks brings W to the settings' one: up through the barrier, down by the record.
func (m *machine) changeAcks(r *Record, ready []MemberID) bool {
	want := m.Settings.Acks
	switch {
	case want < r.Acks:
		m.weaker(r, Sync{Voters: r.Voters, Acks: want}, "fewer acknowledgements")
		return true
	case want > r.Acks && r.Acks == 0 && len(ready) >= want:
		m.stricter(Sync{Voters: ready, Acks: want}) // armed anew; earlier voters had no part in any commit
		return true
	case want > r.Acks && r.Acks > 0 && len(r.Voters) >= want && len(ready) >= want:
		m.stricter(Sync{Voters: r.Voters, Acks: want})
		return true
	}

	return false
}
