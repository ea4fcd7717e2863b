package ha

import (
	"slices"
	"time"
)

const (
	leaveTimeout   = 10 * time.Second
	requestTimeout = 30 * time.Second
	targetTimeout  = 5 * time.Second // for a target that is about to become a voter
)

func (m *machine) onSwitchover(in Switchover) {
	if m.Phase == Primary && m.Request == nil {
		m.Request, m.RequestAt = &in, m.Now
	}
}

// onHandOver gives the term up at once: PostgreSQL is killed, and the others elect, without waiting for promises.
func (m *machine) onHandOver(in HandOver) {
	r := m.View.Record
	if r == nil || len(r.Voters) == 0 || m.Disk.Led == 0 || m.Disk.Led != r.Term || r.Primary.Member != m.Self.ID {
		return // nobody else may lead
	}
	if m.Phase.is(Primary, Gated, Restarting, Idle) {
		m.Request = &Switchover{Request: in.Reason}
		m.MinLSN, m.GiveUp = 0, true
		m.fence("handing over: "+in.Reason, m.Now+m.Settings.Timing.Promise/2)
	}
}

// Requests that a primary makes by itself, in words for people. A change of primary for one of them is a failover.
const (
	// RequestShutdown: its pod is stopped in order.
	RequestShutdown = "shutdown"
	// RequestRecovery: PostgreSQL died, and its recovery takes long.
	RequestRecovery = "recovery takes long"
	// RequestDying: PostgreSQL dies again and again.
	RequestDying = "PostgreSQL died again and again"
	// RequestClosed: after a restart in place too few replicas came, so that it did not open.
	RequestClosed = "too few replicas came back after a restart"
)

// IsOwnRequest tells whether a primary made a request by itself.
func IsOwnRequest(request string) bool {
	return slices.Contains([]string{RequestShutdown, RequestRecovery, RequestDying, RequestClosed}, request)
}

func (m *machine) onShutdown() {
	m.Leaving = true
	switch {
	case m.Phase == Primary:
		m.Request, m.RequestAt = &Switchover{Request: RequestShutdown}, m.Now
	case m.Phase == Standby:
		m.stopFast()
	case m.Phase.is(Stopping, Resigned, Gone):
	default:
		m.fence("shutdown", m.Now+m.Settings.Timing.Promise/2)
	}
}

// leave releases every promise and ends.
func (m *machine) leave() {
	m.broadcast(Release{Term: m.Disk.Led, Run: m.Run, Sent: m.Now})
	m.enter(Gone)
	m.do(Stopped{})
}

// beginSwitchover stops PostgreSQL in an orderly way. Nobody is chosen yet.
func (m *machine) beginSwitchover() {
	r := m.View.Record
	alone := len(r.Voters) == 0
	if alone && !m.Leaving {
		m.note("switchover refused: there are no voters")
		m.Request = nil
		return
	}
	if !alone && (r.Pending != nil || m.Swap != nil || m.Lead.Change || m.targetJoins(r) || !m.fresh(1500*time.Millisecond)) {
		m.switchoverWaits()
		return
	}
	if m.without(gChooseAfter) {
		m.chooseFirst(r)
		return
	}
	m.stopFast()
}

// targetJoins: who is wanted is here, but no voter yet, as after it has come back. Only voters can take over, so it is waited for a
// moment. It is no condition: another one is better than none.
func (m *machine) targetJoins(r *Record) bool {
	target := m.Request.Target
	if target == "" || slices.Contains(r.Voters, target) || m.Now-m.RequestAt > targetTimeout {
		return false
	}

	return slices.ContainsFunc(m.Peers, func(p Peer) bool { return p.ID == target })
}

func (m *machine) stopFast() {
	t := m.Settings.Timing.StopTimeout
	r := m.View.Record
	// Voters that are stopped, too, as for hibernation or a recovery in place, do not archive what is left.
	others := r != nil && len(r.Voters) > 0 && len(m.Obs.Senders) > 0
	var target MemberID
	if m.Request != nil {
		target = m.Request.Target
	}
	m.do(StopFast{
		Op: m.begin(opStop), CutSenders: m.Now + t*2/5, CutAll: m.Now + t*4/5, Deadline: m.Now + t,
		Target: target, SkipArchiving: m.Phase == Standby || others,
	})
	m.enter(Stopping)
	m.KillAt, m.ClientsGone = m.Now+t, false
}

// onClientsGone: the next heartbeats ask for no promise, the first of them at once.
func (m *machine) onClientsGone(in ClientsGone) {
	if m.Phase == Stopping && in.Op == m.Op.ID {
		m.ClientsGone, m.NextBeat = true, 0
		m.ClosedIn = m.Disk.Led
	}
}

// switchoverWaits for a change of the rule, or for the API. A pod that must go stops in the end without it.
func (m *machine) switchoverWaits() {
	waited := m.Now - m.RequestAt
	switch {
	case m.Leaving && waited > leaveTimeout:
		m.stopFast()
	case !m.Leaving && waited > requestTimeout:
		m.note("switchover given up: the record could not be read, or was busy")
		m.Request = nil
	default:
		m.membership()
	}
}

// chooseFirst is what not to do: a test takes the guard away.
func (m *machine) chooseFirst(r *Record) {
	next := r.Clone()
	next.Pending = r.nextPending()
	next.Pending.Forced = true
	for i := range m.Peers {
		if p := &m.Peers[i]; slices.Contains(r.Voters, p.ID) && (m.Request.Target == "" || p.ID == m.Request.Target) {
			next.Pending.Candidate = Instance{ID: p.ID, Name: p.Name}
		}
	}
	m.Request = nil
	m.swap(next, "switchover to a target chosen first")
}

// stopped: the shutdown checkpoint is written, and was sent to those that were connected.
func (m *machine) stopped(in Done) {
	r := m.View.Record
	switch {
	case m.Leaving && (in.Failed != "" || m.Request == nil || r == nil || len(r.Voters) == 0):
		m.leave()
	case in.Failed != "" && m.ClientsGone && !m.without(gClosedForGood):
		// The others may count on it that this run lets nobody in any more.
		m.note("stopped, though not in order: " + in.Failed)
		m.MinLSN = 0
		m.resign()
		m.enter(Resigned)
	case in.Failed != "":
		m.note("switchover given up: " + in.Failed)
		m.toIdle()
	default:
		m.MinLSN = in.Tip.LSN
		m.resign()
		m.enter(Resigned)
	}
}

// resign makes durable that this volume never serves in its term again. Only then the record may say so.
func (m *machine) resign() {
	m.Disk.Resigned = m.Disk.Led
	m.WaitSave = m.save()
}

// resigned asks for a term that any voter may lead which has all that this instance wrote.
func (m *machine) resigned() {
	if m.SavedN < m.WaitSave || m.swapping() {
		return
	}
	r := m.View.Record
	if m.Leaving && m.Now-m.Entered > leaveTimeout {
		m.leave()
		return
	}
	if r == nil || !m.fresh(time.Second) {
		return
	}
	if m.leads() && r.Pending == nil {
		req, lsn := m.Request, m.MinLSN
		m.ask("handing over", func(p *Pending) {
			p.Forced, p.MinLSN = true, lsn
			p.OldStopped = m.Disk.Opened == m.Disk.Led
			if req != nil {
				p.Request, p.Target = req.Request, req.Target
			}
		})
		return
	}
	if m.Leaving {
		m.leave()
		return
	}
	m.broadcast(Release{Term: m.Disk.Led, Run: m.Run, Sent: m.Now})
	m.toIdle()
}
