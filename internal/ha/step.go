package ha

import (
	"hash/fnv"
	"slices"
	"strconv"
	"time"
)

// machine applies one event to a state and collects the actions.
type machine struct {
	*State
	out []Action
}

// Step applies an event: it returns the next state and what to do, and leaves s as it was.
func Step(s State, ev Event) (State, []Action) {
	c := s.Clone()
	acts := c.step(ev)

	return c, acts
}

// step is Step in place.
func (s *State) step(ev Event) []Action {
	m := machine{State: s}
	m.Now = max(m.Now, ev.At)
	m.input(ev.Input)
	m.pass()

	return m.out
}

func (m *machine) do(a Action) { m.out = append(m.out, a) }

func (m *machine) note(text string) { m.do(Notice{Text: text}) }

func (m *machine) input(in Input) {
	switch in := in.(type) {
	case Tick:
	case Configured:
		in.Settings.off = m.Settings.off
		m.Settings = in.Settings
		m.setPeers(in.Settings.Peers)
	case RecordRead:
		m.onRecord(in)
	case RecordFailed:
		m.View.ReadSince = 0
	case Swapped:
		m.onSwapped(in)
	case Received:
		m.onMessage(in)
	case Saved:
		m.SavedN = max(m.SavedN, in.N)
	case Done:
		m.onDone(in)
	case Observed:
		if in.Asked >= m.Entered {
			m.Obs, m.ObsAt = in, in.Asked
		}
	case ClientsGone:
		m.onClientsGone(in)
	case Exited:
		m.onExited(in)
	case Ended:
		m.onEnded(in)
	case Switchover:
		m.onSwitchover(in)
	case HandOver:
		m.onHandOver(in)
	case ForceTerm:
		m.Force = m.Phase == Standby
	case Shutdown:
		m.onShutdown()
	case Broken:
		m.Broken = m.Leader.Term
	}
}

// pass decides what follows from the state, whatever the event was.
func (m *machine) pass() {
	m.pollRecord()
	switch m.Phase {
	case Idle:
		m.idle()
	case Standby:
		m.standby()
	case Promoting:
		m.promoting()
	case Establishing:
		m.establishing()
	case Gated:
		m.gated()
	case Primary:
		m.primary()
	case Resigned:
		m.resigned()
	case Rewinding:
		m.rewinding()
	case Cloning:
		m.cloning()
	case Restarting:
		m.restarting()
	case Stopping:
		m.beat()
	case Starting, Fencing, Halted, Gone:
	}
}

func (m *machine) enter(p Phase) {
	m.Phase, m.Entered = p, m.Now
	m.Obs, m.ObsAt = Observed{}, 0
	// A candidate that is promoted is labelled before clients are let in: the Services take a while to follow.
	if leads := p == Primary || p == Establishing; m.Primary != leads {
		m.Primary = leads
		m.do(SetLabel{Primary: m.Primary})
	}
}

// begin numbers an operation; one at a time.
func (m *machine) begin(k opKind) uint64 {
	m.LastOp++
	m.Op = Op{ID: m.LastOp, Kind: k, Since: m.Now}

	return m.LastOp
}

func (m *machine) save() uint64 {
	m.SaveN++
	m.do(Save{N: m.SaveN, Disk: m.Disk.clone()})

	return m.SaveN
}

func (m *machine) send(to string, msg Message) { m.do(Send{To: to, Message: msg}) }

func (m *machine) broadcast(msg Message) {
	for i := range m.Peers {
		m.send(m.Peers[i].Name, msg)
	}
}

// peer finds a peer by name, and learns its member ID.
func (m *machine) peer(from Instance) *Peer {
	i := slices.IndexFunc(m.Peers, func(p Peer) bool { return p.Name == from.Name })
	if i < 0 {
		return nil
	}
	p := &m.Peers[i]
	if p.ID != from.ID {
		*p = Peer{Name: from.Name, ID: from.ID}
	}

	return p
}

func (m *machine) member(id MemberID) *Peer {
	i := slices.IndexFunc(m.Peers, func(p Peer) bool { return p.ID == id })
	if i < 0 {
		return nil
	}

	return &m.Peers[i]
}

// jitter is a share of d that differs between members and terms, and is always the same for the same.
func (m *machine) jitter(d time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(m.Self.Name))
	_, _ = h.Write(strconv.AppendUint(nil, m.Disk.Pledged, 10))
	_, _ = h.Write(strconv.AppendInt(nil, int64(m.View.LastRead), 10))

	return d * time.Duration(h.Sum32()%1000) / 1000
}

func (m *machine) onMessage(in Received) {
	p := m.peer(in.From)
	if p == nil {
		return // not, or no longer, an instance of this Cluster
	}
	switch msg := in.Message.(type) {
	case Heartbeat:
		m.onHeartbeat(in.From, msg)
	case HeartbeatReply:
		m.onHeartbeatReply(p, msg)
	case Ask:
		m.send(in.From.Name, AskReply{Term: msg.Term, Hears: m.hears(msg.Term)})
	case AskReply:
		if m.View.Record != nil && msg.Term == m.View.Record.Term {
			if msg.Hears {
				p.Hears, p.HearsNot = m.Now, 0
			} else {
				p.HearsNot, p.Hears = m.Now, 0
			}
		}
	case PledgeReport:
		if msg.Term >= p.Report.Term {
			p.Report = msg
		}
	case Release:
		m.onRelease(in.From, msg)
	case Wrote:
		m.onWrote(msg)
	}
}

// onDone routes the end of an operation; late ends of operations that were cut off are dropped.
func (m *machine) onDone(in Done) {
	if in.Op != m.Op.ID {
		return
	}
	k := m.Op.Kind
	m.Op = Op{}
	switch k {
	case opStartStandby:
		m.startedStandby(in)
	case opStartPrimary:
		m.startedPrimary(in)
	case opStopReceiving, opWaitReplay:
		m.pledgeWent(k, in)
	case opSettle, opSettleReplay:
		m.settledWent(k, in)
	case opPromote:
		m.promoted(in)
	case opTermMessage:
		if in.Failed == "" && m.Phase == Establishing {
			m.Lead.TermLSN = in.Tip.LSN
		}
	case opFence:
		m.fenced()
	case opStop:
		m.stopped(in)
	case opRewind:
		m.rewound(in)
	case opDiscard:
		m.discarded(in)
	case opReclone:
		m.recloned(in)
	case opNone:
	}
}

// onExited: PostgreSQL ended by itself.
func (m *machine) onExited(in Exited) {
	switch m.Phase {
	case Standby, Starting, Promoting, Establishing, Restarting, Gated, Primary:
		m.note("postgres exited while " + m.Phase.String())
		m.Op = Op{}
		if !in.Ordered {
			m.died()
		}
		m.toIdle()
	case Idle, Stopping, Resigned, Fencing, Rewinding, Cloning, Halted, Gone:
	}
}

func (m *machine) toIdle() {
	m.Lead = Lead{Failures: m.Lead.Failures, OldOver: m.Lead.OldOver}
	m.Pledge, m.Following = Pledge{}, 0
	m.Request, m.MinLSN, m.Took = nil, 0, nil
	m.enter(Idle)
	m.View.NextRead = 0
}

// fence kills everything; from every phase.
func (m *machine) fence(why string, deadline time.Duration) {
	m.note("fencing: " + why)
	m.do(Fence{Op: m.begin(opFence), Deadline: deadline, Why: why})
	m.enter(Fencing)
	m.KillAt = deadline
}

func (m *machine) fenced() {
	switch {
	case m.Leaving && !m.GiveUp:
		m.leave()
	case m.Halted != "":
		m.enter(Halted)
	case m.GiveUp:
		m.GiveUp = false
		m.resign()
		m.enter(Resigned)
	default:
		m.toIdle()
	}
}
