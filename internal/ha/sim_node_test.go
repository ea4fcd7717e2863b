package ha

import (
	"cmp"
	"fmt"
	"time"
)

// node is a machine with a data volume, a PID 1 and a PostgreSQL.
type node struct {
	server
	w    *world
	id   int
	name string
	// clock
	rate float64
	off  time.Duration
	// volume
	disk   Disk
	volGen int
	// promise of the settings that reached it last
	promise time.Duration
	// PID 1
	alive      bool // the container runs
	st         State
	systemID   string // of the data, as far as PID 1 knows
	starts     int
	saved      time.Duration // when the last save will be done
	lastOp     uint64
	frozen     time.Duration // the whole node, until
	pidStop    time.Duration // PID 1 alone, until
	pgStop     time.Duration // PostgreSQL alone, until
	thawed     time.Duration
	killBy     time.Duration // watchdog, on this node's clock
	halted     bool
	removed    bool // from the spec
	gone       bool
	pgBroken   time.Duration // starts fail until
	primary    bool          // label
	silent     bool          // the node is gone: no kubelet tells of it
	told       bool          // the kubelet always tells
	stopFails  bool          // an orderly stop
	recovery   time.Duration // how much longer a start as primary takes
	refuses    time.Duration // no standby can connect until
	hung       bool          // nor to this run of PostgreSQL
	diesClosed bool          // before it opens
	copies     int           // from which node
	dies       time.Duration // PostgreSQL dies so long after each opening; 0 if it does not
	// delays of directed scenarios
	ckptDelay, senderDelay, rewindDelay, promoteDelay, leaveDelay, copyDelay time.Duration
	stopped                                                                  func()
}

func (n *node) memberID() MemberID { return MemberID(fmt.Sprintf("%s%d", n.name, n.volGen)) }

func (n *node) clock() time.Duration {
	return time.Duration(float64(n.w.now)*n.rate) + n.off
}

// inc names this life of PID 1.
func (n *node) inc() int { return n.starts }

// whenThawed runs f now, or when PID 1 runs again; never in another life.
func (n *node) whenThawed(inc int, f func()) {
	if !n.alive || n.starts != inc {
		return
	}
	until := max(n.frozen, n.pidStop)
	if until > n.w.now {
		n.w.at(until-n.w.now, func() { n.whenThawed(inc, f) })
		return
	}
	f()
}

func (n *node) settings() Settings {
	s := Settings{Acks: n.w.acks, Preferred: n.w.o.preferred, SystemID: n.systemID, Timing: DefaultTiming(), off: n.w.o.off}
	s.Timing.Promise = n.promise
	s.Timing.Heartbeat = cmp.Or(n.w.o.beat, s.Timing.Heartbeat)
	s.Timing.Establish = cmp.Or(n.w.o.establish, s.Timing.Establish)
	s.Timing.Deaths = cmp.Or(n.w.o.deaths, s.Timing.Deaths)
	for _, p := range n.w.nodes {
		if p != n && !p.removed {
			s.Peers = append(s.Peers, p.name)
		}
	}

	return s
}

func (n *node) start() {
	if n.alive {
		return
	}
	n.alive, n.gone, n.halted = true, false, false
	n.starts++
	n.w.runs++
	n.frozen, n.pidStop, n.pgStop = 0, 0, 0
	n.systemID = "1"
	if len(n.w.o.promises) > 0 && n.w.chance(2) {
		n.promise = n.w.promise // it is mounted by now, or not yet
	}
	if n.disk.Empty {
		n.systemID = ""
	}
	n.st = New(Instance{ID: n.disk.Member, Name: n.name}, n.name+"-uid", n.w.runs, n.disk, n.settings(), n.clock())
	n.killBy = 0
	n.w.tracef("%s starts: %+v at %v", n.name, n.disk, n.tip)
}

// crash ends every process of the container; what was not fsynced is lost.
func (n *node) crash(why string) {
	if !n.alive {
		return
	}
	n.w.tracef("%s %s", n.name, why)
	n.alive = false
	n.kill()
	n.frozen, n.pidStop, n.primary = 0, 0, false
	n.evidence()
}

// evidence: the kubelet tells the others that the container of this run has ended, also when another runs already.
func (n *node) evidence() {
	if n.w.o.directed || n.silent || !n.told && n.w.rnd.IntN(2) == 0 {
		return
	}
	member, run := n.st.Self.ID, n.st.Run
	for _, m := range n.w.nodes {
		if m == n || !n.w.canAPI(m) {
			continue
		}
		var look func()
		look = func() {
			if !m.alive || !n.w.canAPI(m) {
				return
			}
			in, inc := Ended{Member: member, Run: run, Seen: m.clock()}, m.inc()
			n.w.at(n.w.between(0, 300*ms), func() { m.whenThawed(inc, func() { m.event(in) }) })
			if n.w.rnd.IntN(5) > 0 {
				n.w.at(n.w.between(200*ms, 800*ms), look)
			}
		}
		n.w.at(n.w.between(20*ms, 800*ms), look)
	}
}

// loseVolume: the volume is made anew, empty.
func (n *node) loseVolume() {
	n.crash("loses its volume")
	n.w.stats.lost++
	if n.w.o.off&gIdent == 0 {
		n.volGen++
		n.disk = Disk{Member: n.memberID(), Empty: true}
	} else {
		n.disk = Disk{Member: n.disk.Member}
	}
	n.tip, n.flushed = pos{0, 0}, pos{0, 0}
	n.w.copies()
}

// loop is everything that a node does by itself.
func (n *node) loop() {
	w := n.w
	var tick, stream, client func()
	tick = func() {
		w.at(w.between(80*ms, 120*ms), tick)
		n.watchdog()
		inc := n.inc()
		if !n.alive || max(n.frozen, n.pidStop) > w.now {
			return
		}
		if n.mode == pgPrimary || n.mode == pgStandby {
			n.observe(inc)
		} else {
			n.event(Tick{})
		}
	}
	stream = func() {
		w.at(w.between(40*ms, 80*ms), stream)
		n.stream()
	}
	client = func() {
		w.at(w.between(60*ms, 140*ms), client)
		n.client()
	}
	w.at(w.between(1*ms, 100*ms), tick)
	w.at(w.between(1*ms, 100*ms), stream)
	w.at(w.between(1*ms, 100*ms), client)
}

// watchdog is the child that kills when PID 1 does not say otherwise in time.
func (n *node) watchdog() {
	if n.alive && n.frozen <= n.w.now && n.admitted && n.killBy != 0 && n.clock() >= n.killBy {
		n.w.tracef("%s watchdog kills postgres", n.name)
		n.kill()
		inc := n.inc()
		n.whenThawed(inc, func() { n.event(Exited{}) })
	}
}

func (n *node) observe(inc int) {
	if n.pgStop > n.w.now {
		return
	}
	o := Observed{Asked: n.clock(), Tip: n.w.tipOf(n.flushed), CheckpointerGen: n.ckptGen, Receiving: n.upstream >= 0}
	if n.mode == pgPrimary {
		o.Senders = n.statReplication()
		o.Copied = n.copied()
	} else if o.Receiving && n.w.nodes[n.upstream].tip.b == n.tip.b {
		o.Tip.LSN++ // the beginning of a record whose end is still to come
	}
	pg := n.pgInc
	n.w.at(n.w.between(1*ms, 10*ms), func() {
		if n.pgInc == pg {
			n.whenThawed(inc, func() { n.event(o) })
		}
	})
}

func (n *node) copied() bool {
	for _, m := range n.w.nodes {
		if m.alive && m.st.Op.Kind == opReclone && m.copies == n.id {
			return true
		}
	}

	return false
}

// statReplication is what pg_stat_replication shows: also walsenders whose standby is long gone, which may still have an
// acknowledgement on its way.
func (n *node) statReplication() []Sender {
	var out []Sender
	for i := range n.senders {
		x := &n.senders[i]
		v := n.w.nodes[i%len(n.w.nodes)]
		live := v.upstream == n.id && v.conn == x.conn
		if x.conn != 0 && !live && n.w.rnd.IntN(5) == 0 {
			*x = walsender{} // noticed
		}
		if x.conn == 0 {
			continue
		}
		s := Sender{Member: x.member, Gen: x.gen}
		if x.has {
			s.Flush = x.known.p
		}
		out = append(out, s)
	}

	return out
}

// event steps the state machine and carries out what it says.
func (n *node) event(in Input) {
	if !n.alive || n.gone {
		return
	}
	before := n.st.Phase
	aside := n.st.Aside
	acts := n.st.step(Event{At: n.clock(), Input: in})
	if n.st.Aside != aside {
		n.w.stats.gaveUp++
	}
	if n.w.o.trace && n.st.Phase != before {
		n.w.tracef("%s %v -> %v", n.name, before, n.st.Phase)
	}
	for _, a := range acts {
		n.act(a)
	}
	n.killBy = n.st.KillBy()
}

func (n *node) later(lo, hi time.Duration, f func()) {
	inc := n.inc()
	n.w.at(n.w.between(lo, hi), func() { n.whenThawed(inc, f) })
}

// op runs f later unless the operation was cut off, and reports.
func (n *node) op(id uint64, lo, hi time.Duration, f func() Done) {
	n.lastOp = id
	n.later(lo, hi, func() {
		if n.lastOp != id {
			return
		}
		d := Done{Failed: "an error before anything was done", Untouched: true}
		if fence := n.st.Op.Kind == opFence; fence || !n.w.chance(80) {
			d = f()
			if !fence && d.Failed == "" && n.w.chance(80) {
				d = Done{Failed: "an error after all was done"}
			}
		}
		d.Op = id
		n.event(d)
	})
}

func (n *node) act(a Action) {
	w := n.w
	switch a := a.(type) {
	case ReadRecord:
		w.read(n)
	case CompareAndSwap:
		w.swap(n, a)
	case Send:
		w.transmit(n, a.To, a.Message)
	case Save:
		n.save(a)
	case Follow:
		n.followNow(a)
	case ConfigureSync:
		if n.mode == pgPrimary {
			n.reload(a.Sync, a.Gen)
		} else {
			n.sync, n.gen = a.Sync, a.Gen
		}
	case AdmitClients:
		if n.mode == pgPrimary {
			n.admitted, n.term, n.visible = true, a.Term, n.tip
			w.expose(n, n.tip)
			w.opened(n)
			if inc := n.pgInc; n.dies > 0 {
				w.at(n.dies, func() {
					if n.pgInc == inc {
						w.dies(n)
					}
				})
			}
		}
	case SetLabel:
		n.primary = a.Primary
	case Halt:
		n.halted = true
		w.tracef("%s halts: %s", n.name, a.Reason)
	case Notice:
		w.tracef("%s: %s", n.name, a.Text)
	case Stopped:
		n.gone = true
		n.crash("has stopped in an orderly way")
		if n.stopped != nil {
			n.stopped()
		}
	default:
		n.longAct(a)
	}
}

func (n *node) save(a Save) {
	n.saved = max(n.w.now+n.w.between(3*ms, 30*ms), n.saved+1) // one after the other
	n.later(n.saved-n.w.now, n.saved-n.w.now, func() {
		d := a.Disk.clone()
		if n.st.without(gDurable) && d.Pledged > n.disk.Pledged {
			d.Pledged = n.disk.Pledged
		}
		n.disk = d
		n.event(Saved{N: a.N})
	})
}

// followNow: a reload is asynchronous, so is the reconnect.
func (n *node) followNow(a Follow) {
	pg := n.pgInc
	n.later(20*ms, 200*ms, func() {
		for _, u := range n.w.nodes {
			if u.name == a.Leader.Name && n.pgInc == pg && n.mode == pgStandby {
				n.follow, n.upstream = u.id, -1
				n.changes++
			}
		}
	})
}

// straggler is a walreceiver that PostgreSQL was about to start when its upstream was taken away. It ends a moment later.
func (n *node) straggler(upstream int) {
	pg, changes := n.pgInc, n.changes
	isOn := func() bool { return n.pgInc == pg && n.changes == changes && n.mode == pgStandby }
	n.later(0, 50*ms, func() {
		if isOn() {
			n.follow = upstream
		}
	})
	n.later(100*ms, 300*ms, func() {
		if isOn() {
			n.follow, n.upstream = -1, -1
		}
	})
}

func (n *node) longAct(a Action) {
	switch a := a.(type) {
	case StartStandby:
		n.learn()
		n.op(a.Op, 200*ms, 800*ms, func() Done {
			if n.w.now < n.pgBroken {
				return Done{Failed: "out of order"}
			}
			n.startServer(pgStandby, Sync{}, 0)
			return Done{Tip: n.w.tipOf(n.tip)}
		})
	case StartPrimary:
		n.learn()
		n.op(a.Op, 300*ms+n.recovery, 1500*ms+n.recovery, func() Done { return n.startPrimary(a) })
	case StopReceiving:
		n.op(a.Op, 20*ms, 300*ms, func() Done {
			was := n.follow
			n.follow, n.upstream = -1, -1
			n.changes++
			if a.NobodySends && was >= 0 {
				n.straggler(was)
			}
			return Done{}
		})
	case WaitReplayEnd:
		n.op(a.Op, 5*ms, 200*ms, func() Done { return Done{Tip: n.w.tipOf(n.tip)} })
	case Promote:
		n.op(a.Op, 100*ms+n.promoteDelay, 500*ms+n.promoteDelay, func() Done {
			if n.mode != pgStandby {
				return Done{Failed: "not running"}
			}
			n.promoteServer(a.Timeline)
			n.closed, n.term = a.Closed, a.Term
			n.w.tracef("%s promotes to timeline %d at %v for term %d", n.name, n.w.br[n.tip.b].tl, n.tip, a.Term)
			return Done{Tip: n.w.tipOf(n.tip)}
		})
	case CommitTermMessage:
		n.op(a.Op, 5*ms, 30*ms, func() Done {
			n.tip.p++
			n.flushed = n.tip
			return Done{Tip: n.w.tipOf(n.tip)}
		})
	case Fence:
		n.fence(a)
	case StopFast:
		n.stopFast(a)
	case Rewind:
		n.rewind(a)
	case Discard:
		n.w.tracef("%s discards its directory", n.name)
		n.kill()
		n.w.copies()
		n.op(a.Op, 50*ms, 200*ms, func() Done {
			if n.w.o.off&gIdent == 0 {
				n.volGen++
			}
			n.tip, n.flushed = pos{0, 0}, pos{0, 0}
			return Done{Member: n.memberID()}
		})
	case Reclone:
		n.reclone(a)
	}
}

func (n *node) startPrimary(a StartPrimary) Done {
	if n.w.now < n.pgBroken {
		return Done{Failed: "out of order"}
	}
	n.startServer(pgPrimary, a.Sync, a.Gen)
	n.closed, n.term = a.Closed, n.st.Disk.Led
	n.tip.p++ // end-of-recovery checkpoint
	n.flushed = n.tip
	n.visible = n.tip
	n.w.stats.inPlace++
	if inc := n.pgInc; n.diesClosed {
		n.w.at(100*ms, func() {
			if n.pgInc == inc {
				n.w.dies(n)
			}
		})
	}
	if !a.Closed {
		n.w.expose(n, n.tip)
	}

	return Done{Tip: n.w.tipOf(n.tip)}
}

// fence cuts the clients at once and kills.
func (n *node) fence(a Fence) {
	n.w.stats.fences++
	n.admitted, n.closed = false, true
	n.op(a.Op, 20*ms, 300*ms, func() Done {
		n.kill()
		return Done{}
	})
}

// stopFast: clients go, the shutdown checkpoint is sent to those that are connected.
func (n *node) stopFast(a StopFast) {
	if n.mode != pgPrimary {
		n.op(a.Op, 20*ms, 300*ms, func() Done { n.kill(); return Done{} })
		return
	}
	n.lastOp = a.Op
	n.later(5*ms+n.leaveDelay, 300*ms+n.leaveDelay, func() {
		switch {
		case n.lastOp != a.Op:
		case n.mode == pgPrimary:
			n.shutDown(a)
		default:
			n.event(Done{Op: a.Op, Failed: "it ended otherwise"})
		}
	})
}

// shutDown: the last client has gone.
func (n *node) shutDown(a StopFast) {
	n.admitted, n.closed = false, true
	n.mode = pgShutting
	n.tip.p++
	n.flushed = n.tip
	n.event(ClientsGone{Op: a.Op})
	var wait func()
	wait = func() {
		if n.lastOp != a.Op || n.mode != pgShutting {
			return
		}
		all, one := true, false
		for i := range n.senders {
			x := &n.senders[i]
			if x.conn != 0 && n.w.nodes[i].upstream == n.id && n.w.nodes[i].conn == x.conn && (!x.has || x.known != n.tip) {
				all = false
			}
			one = one || x.has && x.known == n.tip
		}
		switch {
		case all || one && n.clock() > a.CutSenders || n.clock() > a.CutAll:
			if n.stopFails || n.w.chance(30) {
				n.kill()
				n.event(Done{Op: a.Op, Failed: "the checkpoint takes too long"})
				return
			}
			tip := n.w.tipOf(n.tip)
			n.kill()
			n.event(Done{Op: a.Op, Tip: tip})
		case n.clock() > a.Deadline:
			n.kill()
			n.event(Done{Op: a.Op, Failed: "not stopped in time"})
		default:
			n.later(20*ms, 60*ms, wait)
		}
	}
	n.later(50*ms, 200*ms, wait)
}

func (n *node) rewind(a Rewind) {
	n.w.stats.rewinds++
	n.w.tracef("%s rewinds onto %s", n.name, a.From.Name)
	n.kill()
	n.w.copies()
	u := n.w.find(a.From.Name)
	inc := u.pgInc
	n.op(a.Op, 500*ms+n.rewindDelay, 2*time.Second+n.rewindDelay, func() Done {
		if u.mode != pgPrimary || u.pgInc != inc || !n.w.link[u.id][n.id] {
			return Done{Failed: "lost the source"}
		}
		n.tip = n.w.common(n.tip, u.tip)
		n.flushed = n.tip
		return Done{}
	})
}

func (n *node) reclone(a Reclone) {
	n.w.stats.clones++
	n.w.tracef("%s clones from %s", n.name, a.From.Name)
	n.kill()
	n.w.copies()
	u := n.w.find(a.From.Name)
	inc := u.pgInc
	n.copies = u.id
	n.op(a.Op, 1*time.Second+n.copyDelay, 4*time.Second+n.copyDelay, func() Done {
		if u.mode != pgPrimary || u.pgInc != inc || !n.w.link[u.id][n.id] || u.frozen > n.w.now {
			return Done{Failed: "lost the source"}
		}
		n.tip, n.flushed = u.flushed, u.flushed
		return Done{}
	})
}
