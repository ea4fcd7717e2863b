package ha

import (
	"slices"
	"time"
)

const (
	voteAge     = 1500 * time.Millisecond
	askEvery    = 150 * time.Millisecond
	voteTime    = 400 * time.Millisecond
	freedTime   = time.Second
	gatherTime  = 300 * time.Millisecond // for reports that are on their way
	spareOld    = 5 * time.Second        // how long a switchover avoids the old primary; shorter than stuckAfter
	stuckAfter  = 6 * time.Second        // the first candidate has so long; patience has what the next ones have
	mostDoubled = 2
	nameBackoff = 400 * time.Millisecond
)

// suspect asks for a new term when the primary is silent, and R voters say so.
func (m *machine) suspect() {
	r := m.View.Record
	if r == nil || !r.isMember(m.Self.ID) || m.swapping() || m.Now < m.Backoff {
		return
	}
	if r.Pending != nil {
		m.Force = false
		m.retake()
		return
	}
	if m.Force {
		if len(r.Voters) > 0 && m.fresh(time.Second) {
			m.Force = false
			m.ask("forced", func(p *Pending) { p.Forced = true })
		}
		return
	}
	if r.Primary.Member == m.Self.ID && m.Disk.Resigned >= r.Term && m.SavedN == m.SaveN {
		if m.fresh(time.Second) { // it gave up, and the asking got lost
			m.ask("the primary resigned", func(p *Pending) { p.Forced, p.OldStopped = true, m.Disk.Opened == r.Term })
		}
		return
	}
	if m.primaryEnded(r) && len(r.Voters) > 0 && m.fresh(time.Second) {
		m.ask("the primary has ended", func(*Pending) {})
		return
	}
	silent := m.Now - max(m.Leader.Heard, m.View.TermSince)
	limit := m.Settings.Timing.missed()<<min(m.Asked, 3) + m.jitter(200*time.Millisecond)
	if silent <= limit-voteTime || len(r.Voters) == 0 {
		m.AskSince = 0
		return
	}
	// the peers are asked a little before, so that they have time to answer that they do hear it
	if votes := m.votes(r); votes && silent > limit && m.fresh(1200*time.Millisecond) {
		m.Asked++
		m.ask("the primary is silent", func(*Pending) {})
	}
}

// retake replaces a pending term whose candidate died, or whose minimum nobody has, by a new one over new pledges.
func (m *machine) retake() {
	r := m.View.Record
	p := r.Pending
	own := p.Candidate.ID == m.Self.ID && m.Disk.Led == p.Term // we were promoted in it, and did not make it
	stuck := m.Now-m.View.SameSince > m.patience(r)+m.jitter(stuckAfter/2) &&
		m.Now-m.Leader.Heard > m.Settings.Timing.missed() && (p.Candidate.ID != "" || p.MinLSN != 0)
	if !own && !stuck || !m.fresh(1200*time.Millisecond) {
		return
	}
	if m.without(gNameCAS) && m.Pledge.Phase == pledgeDone && p.Candidate.ID != "" {
		next := r.Clone() // another candidate in the same term
		next.Pending.Candidate = m.Self
		next.Pending.Candidate.ID = m.Self.ID
		m.Backoff = m.Now + nameBackoff
		m.swap(next, "name another in the same term")
		return
	}
	m.ask("term "+p.Candidate.Name+" did not come about", func(*Pending) {})
}

// patience is how long a candidate has to come about. It doubles with each that was replaced since there was a primary:
// where everything is slow, one that needs long would be replaced shortly before its end, and the next one, too.
func (m *machine) patience(r *Record) time.Duration {
	replaced := r.Pending.Term - r.Term - 1
	if m.without(gPatience) {
		replaced = 0
	}

	return stuckAfter << min(replaced, mostDoubled)
}

// ask makes the next term pending.
func (m *machine) ask(why string, set func(*Pending)) {
	next := m.View.Record.Clone()
	next.Pending = m.View.Record.nextPending()
	set(next.Pending)
	m.Backoff = m.Now + nameBackoff + m.jitter(time.Second)
	m.note("asking for a new term: " + why)
	m.swap(next, why)
}

// votes asks the peers whether they hear the primary. Those that hear it do not count, and veto as long as they are so
// many that it can still commit.
func (m *machine) votes(r *Record) bool {
	if m.AskSince == 0 {
		m.AskSince = m.Now
	}
	if m.Now >= m.NextAsk {
		m.NextAsk = m.Now + askEvery
		m.broadcast(Ask{Term: r.Term})
	}
	not, hear := map[MemberID]bool{m.Self.ID: true}, 0
	for i := range m.Peers {
		p := &m.Peers[i]
		if p.HearsNot != 0 && m.Now-p.HearsNot < voteAge {
			not[p.ID] = true
		}
		if p.Hears != 0 && m.Now-p.Hears < voteAge && r.isMember(p.ID) {
			hear++
		}
	}
	if m.Now-m.AskSince < voteTime {
		return false
	}
	// the primary's own word that it does not serve is as good as its pledge
	return r.covers(func(id MemberID) bool { return not[id] }, r.Quorum()) && hear < max(1, r.Acks)
}

// pledged are the reports for the pending term, this instance's own among them.
func (m *machine) pledged() []Report {
	t := m.Pledge.Term
	out := []Report{{m.Self, m.ownReport()}}
	for i := range m.Peers {
		p := &m.Peers[i]
		if p.Report.Term == t && p.ID != "" && (p.Report.SystemID == m.Settings.SystemID || p.Report.isEmpty()) {
			out = append(out, Report{Instance{ID: p.ID, Name: p.Name}, p.Report})
		}
	}

	return out
}

// Report is a pledge and whose it is.
type Report struct {
	From Instance
	PledgeReport
}

// name picks the candidate once the pledges shut out every acknowledgement under the rule that the record has now.
func (m *machine) name() {
	r := m.View.Record
	p := r.Pending
	if p.Candidate.ID != "" || m.swapping() || m.Now < m.NextName || !m.fresh(time.Second) {
		return
	}
	set := m.pledged()
	if len(set) < len(m.Peers)+1 && m.Now-m.View.SameSince < gatherTime {
		return
	}
	has := func(id MemberID) bool {
		return slices.ContainsFunc(set, func(x Report) bool { return x.From.ID == id })
	}
	quorum := r.Quorum()
	if m.without(gQuorum) {
		quorum = max(1, quorum-1)
	}
	if !r.covers(has, quorum) {
		return
	}
	if r.Acks == 0 && p.OldStopped && p.MinLSN == 0 && !has(r.Primary.Member) && m.Now-m.View.SameSince < spareOld {
		return // asynchronous, and not stopped in order: only the old primary has every commit, and it comes back
	}
	best, ok := m.best(r, set)
	if !ok {
		return
	}
	next := r.Clone()
	next.Pending.Candidate = best.From
	for _, x := range set {
		if x.From.ID == r.Primary.Member && x.Stopped {
			next.Pending.OldStopped = true
		}
	}
	m.NextName = m.Now + nameBackoff + m.jitter(nameBackoff)
	m.swap(next, "name "+best.From.Name)
}

// best is the report with the best log of those that may be named.
func (m *machine) best(r *Record, set []Report) (Report, bool) {
	p := r.Pending
	var best Report
	for _, x := range set {
		switch {
		case !r.isMember(x.From.ID),
			!m.without(gOrderByTerm) && !x.Tip.contains(r.Timeline, p.MinLSN),
			p.MinLSN != 0 && x.From.ID == r.Primary.Member && m.Now-m.View.SameSince < spareOld:
			continue
		}
		if best.From.ID == "" || m.preferred(x, best, r) {
			best = x
		}
	}
	if best.From.ID == "" {
		return best, false
	}
	followers := 0
	for _, x := range set {
		if best.Tip.contains(x.Tip.Timeline, x.Tip.LSN) {
			followers++ // itself too
		}
	}
	if followers > r.Acks || m.without(gPrefix) {
		return best, true
	}
	// it could not be established without a rewind of the others, or in the first place; preferred does without, but
	// waits a moment for those that the old primary, alive and stopped, has just freed from their promises
	old := slices.ContainsFunc(set, func(x Report) bool { return x.From.ID == r.Primary.Member })

	return best, m.Settings.Preferred && (!old || m.Now-m.Pledge.At > freedTime)
}

func (m *machine) preferred(a, b Report, r *Record) bool {
	switch {
	case m.without(gBest):
		return a.From.ID == m.Self.ID
	case m.without(gOrderByTerm):
		if a.Tip.LSN != b.Tip.LSN {
			return a.Tip.LSN > b.Tip.LSN
		}
	case a.Tip.better(b.Tip):
		return true
	case b.Tip.better(a.Tip):
		return false
	}
	if target := r.Pending.Target; (a.From.ID == target) != (b.From.ID == target) {
		return a.From.ID == target
	}
	if old := r.Primary.Member; IsOwnRequest(r.Pending.Request) && (a.From.ID == old) != (b.From.ID == old) {
		return b.From.ID == old // it has its reasons
	}

	return a.From.Name < b.From.Name
}
