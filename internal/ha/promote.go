package ha

import (
	"fmt"
	"slices"
	"time"
)

// promote begins when this instance is named: it re-reads the record and its pledge, and makes durable that it leads.
func (m *machine) promote() {
	r := m.View.Record
	p := r.Pending
	if p.Candidate.ID != m.Self.ID || m.Disk.Led >= p.Term || m.Disk.Pledged != p.Term {
		return
	}
	if m.Op.Kind != opNone || !m.fresh(500*time.Millisecond) {
		return
	}
	sync := m.firstSync(r)
	m.Disk.Led, m.Disk.Sync = p.Term, sync
	m.Lead = Lead{Sync: sync, OldOver: m.oldOver(r)}
	m.Took = &Takeover{From: r.Primary.Name, Request: p.Request, Why: m.whyNamed(r)}
	if m.Leader.ID == r.Primary.Member {
		m.Took.Heard = m.Leader.Heard
	}
	m.Deaths, m.Stays = nil, false
	if p.Request == RequestDying && r.Primary.Member != m.Self.ID {
		m.Disk.TookDying = p.Term
	}
	m.clearPeers()
	m.enter(Promoting)
	m.WaitSave = m.save()
}

// whyNamed is what the record and this instance know of the primary before, and of candidates since.
func (m *machine) whyNamed(r *Record) string {
	why := m.whyReplaced(r)
	switch n := r.Pending.Term - r.Term - 1; n {
	case 0:
		return why
	case 1:
		return why + "; one candidate before did not come about"
	default:
		return why + fmt.Sprintf("; %d candidates before did not come about", n)
	}
}

func (m *machine) whyReplaced(r *Record) string {
	switch p := r.Pending; {
	case IsOwnRequest(p.Request) && p.Request != RequestShutdown:
		return "it handed over: " + p.Request
	case p.Request != "" && p.OldStopped:
		return "it handed over"
	case p.OldStopped:
		return "it stopped for good"
	case p.Forced:
		return "it was to be replaced"
	case m.oldEnded(r):
		return "its container ended"
	case m.oldServesNot(r):
		return "it was stopping, and fell silent"
	default:
		return "it was silent"
	}
}

// oldOver is when nobody named earlier can serve any more. Promises to it are over: those that pledged waited them out.
// What is left is authority from a live read that was sent before the pending term was written.
func (m *machine) oldOver(r *Record) time.Duration {
	if r.Pending.OldStopped || m.oldServesNot(r) || m.without(gOpenWait) {
		return m.Now
	}

	return m.View.PendingSince + m.Settings.Timing.readWait()
}

// firstSync is what the new primary starts with: the voters are those that pledged with it.
func (m *machine) firstSync(r *Record) Sync {
	var pledged, all []MemberID
	for _, x := range m.pledged() {
		pledged = with(pledged, x.From.ID)
	}
	pledged = without(pledged, m.Self.ID)
	all = without(with(slices.Clone(r.Voters), r.Primary.Member), m.Self.ID)
	switch {
	case r.Acks == 0 && len(r.Voters) == 0:
		return Sync{} // degraded, or never armed: it is armed through the barrier later
	case r.Acks == 0:
		return Sync{Voters: all}
	case len(pledged) >= r.Acks:
		return Sync{Voters: pledged, Acks: r.Acks}
	case m.Settings.Preferred:
		return Sync{}
	default:
		return Sync{Voters: all, Acks: r.Acks}
	}
}

func (m *machine) clearPeers() {
	for i := range m.Peers {
		p := &m.Peers[i]
		p.Held, p.HeldFor, p.Answered = 0, 0, 0
	}
}

// configure tells PostgreSQL, and the volume first.
func (m *machine) configure(s Sync) {
	m.Lead.Sync = s.clone()
	if !m.Disk.Sync.equal(s) {
		m.Disk.Sync = s.clone()
		m.save()
	}
	m.NextBeat = min(m.NextBeat, m.Now) // authority is about to rest on others' promises
	m.LastGen++
	m.Lead.Gen = m.LastGen
	m.do(ConfigureSync{Gen: m.LastGen, Sync: s.clone()})
}

func (m *machine) promoting() {
	if m.WaitSave == 0 || m.SavedN < m.WaitSave {
		return
	}
	r := m.View.Record
	if m.superseded() || r.Pending == nil || r.Pending.Candidate.ID != m.Self.ID {
		m.WaitSave = 0
		m.stepDown("named no more")
		return
	}
	m.WaitSave = 0
	m.configure(m.Lead.Sync)
	tl := r.Pending.Timeline
	if m.without(gUniqueTL) {
		tl = 0 // PostgreSQL picks
	}
	m.do(Promote{Op: m.begin(opPromote), Term: m.Disk.Led, Timeline: tl, Closed: !m.without(gClientsOut)})
}

// stepDown leaves a read-write phase, or one that may have become so.
func (m *machine) stepDown(why string) {
	m.fence(why, m.Now+m.Settings.Timing.Promise/2)
}

func (m *machine) promoted(in Done) {
	if in.Failed != "" {
		m.stepDown("promotion failed: " + in.Failed)
		return
	}
	m.enter(Establishing)
	m.Obs.Tip, m.NextBeat = in.Tip, 0
	if m.Took != nil {
		m.Took.Tip = in.Tip
	}
	m.Lead.ChooseAt = m.Now + 3*time.Second
	m.do(CommitTermMessage{Op: m.begin(opTermMessage), Term: m.Disk.Led})
}

// establishing: W voters have the term's message, then the record says so, then the old primary is over, then clients.
func (m *machine) establishing() {
	m.beat()
	if m.superseded() {
		m.stepDown("a later term is asked for")
		return
	}
	if m.leads() || m.without(gEstCAS) && m.flushed(m.Lead.TermLSN) {
		m.establishedNow()
		m.open()
		return
	}
	if m.giveUpCandidacy() {
		return
	}
	r := m.View.Record
	if m.Lead.TermLSN == 0 && m.Op.Kind == opNone {
		m.do(CommitTermMessage{Op: m.begin(opTermMessage), Term: m.Disk.Led}) // it failed: again
		return
	}
	if !m.flushed(m.Lead.TermLSN) && !m.without(gEstFlush) {
		m.chooseVoters()
		return
	}
	if m.Swap != nil || r.Pending == nil || r.Pending.Term != m.Disk.Led {
		m.retrySwap()
		return
	}
	next := &Record{SystemID: r.SystemID, Rule: Rule{
		Term: m.Disk.Led, Primary: m.holder(), Timeline: m.Obs.Tip.Timeline,
		Voters: slices.Clone(m.Lead.Sync.Voters), Acks: m.Lead.Sync.Acks,
	}}
	if next.Timeline == 0 || m.SavedN != m.SaveN {
		return // not observed, or not durable, yet
	}
	if next.SystemID == "" {
		next.SystemID = m.Settings.SystemID
	}
	m.swap(next, "established")
}

func (m *machine) holder() Holder {
	return Holder{Member: m.Self.ID, Name: m.Self.Name, PodUID: m.PodUID, Run: m.Run}
}

// retrySwap writes the same again while it is not known whether it was applied.
func (m *machine) retrySwap() {
	if m.Swap != nil && m.Swap.Unknown && m.View.Version == m.Swap.Expect && m.View.At > m.Swap.Since {
		m.swap(m.Swap.Record, m.Swap.Why)
	}
}

// chooseVoters lets a candidate that nobody relies on yet change its voters to those that stream from it.
func (m *machine) chooseVoters() {
	s := m.Lead.Sync
	if m.Now < m.Lead.ChooseAt || s.Acks == 0 || m.Swap != nil {
		return
	}
	m.Lead.ChooseAt = m.Now + 2*time.Second
	var now []MemberID
	for _, x := range m.Obs.Senders {
		if x.Flush > 0 && m.member(x.Member) != nil {
			now = with(now, x.Member)
		}
	}
	switch {
	case len(now) >= s.Acks:
		if next := (Sync{Voters: now, Acks: s.Acks}); !next.equal(s) {
			m.configure(next)
		}
	case m.Settings.Preferred:
		m.configure(Sync{})
	}
}

// flushed tells whether all walsenders count under the newest setting, and W voters have flushed the LSN.
func (m *machine) flushed(lsn uint64) bool {
	if lsn == 0 || m.ObsAt == 0 || m.ObsAt < m.Entered {
		return false
	}
	if m.Lead.Sync.Acks == 0 {
		return true
	}

	return m.reloaded() && m.flushedBy(lsn) >= m.Lead.Sync.Acks
}

func (m *machine) flushedBy(lsn uint64) int {
	n := 0
	for _, x := range m.Obs.Senders {
		if x.Flush >= lsn && slices.Contains(m.Lead.Sync.Voters, x.Member) {
			n++
		}
	}

	return n
}

// reloaded tells whether every walsender, and the checkpointer, has loaded the newest setting.
func (m *machine) reloaded() bool {
	for _, x := range m.Obs.Senders {
		if x.Gen < m.Lead.Gen {
			return false
		}
	}

	return m.Obs.CheckpointerGen >= m.Lead.Gen || m.without(gCkptBarrier)
}

func (m *machine) establishedNow() {
	if m.Lead.Established {
		return
	}
	m.Lead.Established = true
	m.NextBeat = 0
	m.Disk.Established = m.Disk.Led
	m.save()
}

// open lets the clients in, once the earlier primary's authority is over and ours holds.
func (m *machine) open() {
	if m.Now < m.Lead.OldOver || !m.hasAuthority() {
		m.View.NextRead = min(m.View.NextRead, m.Now)
		return
	}
	lead, obs, at := m.Lead, m.Obs, m.ObsAt
	m.enter(Primary)
	m.Lead, m.Obs, m.ObsAt = lead, obs, at
	m.Lead.Failures, m.Stays = 0, m.isDying()
	m.Disk.Opened = m.Disk.Led
	m.save()
	m.do(AdmitClients{Term: m.Disk.Led, Took: m.Took})
	m.Took = nil
	m.note("open for clients")
}

// primary serves: it keeps its authority, gives way to a pending term, and looks after its voters.
func (m *machine) primary() {
	m.beat()
	if m.superseded() {
		m.stepDown("a later term is asked for")
		return
	}
	if !m.keepAuthority() {
		return
	}
	m.calmed()
	switch {
	case m.Request == nil:
		m.membership()
	case m.leads():
		m.beginSwitchover()
	default: // it leads by promises, and has not read the record in this run
		m.switchoverWaits()
	}
}
