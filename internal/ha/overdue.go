package ha

import (
	"slices"
	"time"
)

// overdue tells whether a server that is closed has waited too long for its voters: it is well, and heard, so that nobody
// else ends the waiting. As long as the log of a voter grows, however slowly, or a member is being copied from here, it goes
// on. The time doubles with each term that did not come about since there was a primary.
func (m *machine) overdue(replaced uint64) bool {
	var flushed uint64
	for _, x := range m.Obs.Senders {
		if slices.Contains(m.Lead.Sync.Voters, x.Member) {
			flushed += x.Flush
		}
	}
	if flushed > m.Lead.Flushed || m.Obs.Copied {
		m.Lead.Flushed, m.Lead.MovedAt = max(flushed, m.Lead.Flushed), m.Now
	}

	return m.Now-max(m.Entered, m.Lead.MovedAt) > m.Settings.Timing.Establish<<min(replaced, mostDoubled) && !m.without(gOverdue)
}

// giveUpCandidacy steps down from a term that does not come about, if an election could come to something: those count that
// answer and are members by the record, whose data are no later copy.
func (m *machine) giveUpCandidacy() bool {
	r := m.View.Record
	if r == nil || r.Pending == nil || m.Swap != nil || !m.overdue(r.Pending.Term-r.Term-1) || !m.fresh(1500*time.Millisecond) {
		return false
	}
	there := []MemberID{m.Self.ID}
	for i := range m.Peers {
		if p := &m.Peers[i]; r.isMember(p.ID) && p.Answered != 0 && m.Now-p.Answered <= m.Settings.Timing.missed() {
			there = with(there, p.ID)
		}
	}
	if len(there) <= max(r.Acks, 1) || !r.covers(func(id MemberID) bool { return slices.Contains(there, id) }, r.Quorum()) {
		return false
	}
	m.standAside(r)
	m.stepDown("too few replicas have followed in " + (m.Now - m.Entered).Truncate(time.Second).String() + ", and others may lead")

	return true
}

// standAside lets the others go first in elections over this rule. Without acknowledgements that could cost commits.
func (m *machine) standAside(r *Record) {
	if r.Acks > 0 {
		m.Aside = r.Term
	}
}

// isAside tells whether this instance holds its pledge back: the others elect one of them, if they can without it.
func (m *machine) isAside(r *Record) bool {
	return m.Aside != 0 && m.Aside == r.Term && m.Now-m.View.SameSince < spareOld && !m.without(gAside)
}
