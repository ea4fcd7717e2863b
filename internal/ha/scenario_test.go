package ha

import (
	"slices"
	"testing"
	"time"
)

// scenario is a directed run: no random faults. With the guard the script ends without a violation; without it, not.
type scenario struct {
	name   string
	guard  guard
	o      opt
	script func(t *testing.T, w *world)
}

func directed(n, acks int) opt { return opt{n: n, acks: acks, directed: true} }

func (w *world) node(name string) *node { return w.nodes[int(name[0]-'A')] }

// replaceSlowClock asks for a term against A, which B lags behind, and which will not fence itself: its clock nearly stands still.
func (w *world) replaceSlowClock(t *testing.T) {
	t.Helper()
	w.steady(t)
	w.staleOK = true
	a := w.node("A")
	w.api(false, "A")
	a.off, a.rate = a.clock()-w.now/100, 0.01
	w.wire(false, "AB")
	w.run(w.now + time.Second)
	w.tell(w.node("C"), ForceTerm{})
	w.must(t, "a pending term", time.Second, func() bool { return w.rec.Pending != nil })
	w.hint()
}

// steady runs until A serves and all voters stream.
func (w *world) steady(t *testing.T) {
	t.Helper()
	w.must(t, "a steady cluster", 20*time.Second, func() bool {
		streaming := 0
		for _, n := range w.nodes {
			if n.upstream == 0 {
				streaming++
			}
		}

		return w.node("A").admitted && streaming == len(w.nodes)-1 && w.stats.acks > 0
	})
	w.run(w.now + 2*time.Second)
}

// wait runs until the condition holds, a violation, or the time is over.
func (w *world) wait(d time.Duration, cond func() bool) bool {
	for end := w.now + d; w.now < end && w.fail == ""; {
		if cond() {
			return true
		}
		w.run(w.now + 10*ms)
	}

	return cond()
}

// must is wait for what the scenario itself needs.
func (w *world) must(t *testing.T, what string, d time.Duration, cond func() bool) {
	t.Helper()
	if !w.wait(d, cond) && w.fail == "" {
		w.dump()
		t.Fatalf("the scenario did not come to %s by %v\n%s", what, w.now, w.traceText())
	}
}

// writable fails the run if nothing is acknowledged within the time.
func (w *world) writable(d time.Duration) {
	acks := w.stats.acks
	if !w.wait(d, func() bool { return w.stats.acks > acks+3 }) && w.fail == "" {
		w.failf("L: not writable within %v", d)
	}
}

func (w *world) wire(on bool, pairs ...string) {
	for _, p := range pairs {
		i, j := int(p[0]-'A'), int(p[1]-'A')
		w.link[i][j], w.link[j][i] = on, on
	}
	w.tracef("links %v: %v", pairs, on)
}

func (w *world) api(on bool, names string) {
	for _, c := range names {
		w.apiTo[int(c-'A')] = on
	}
	w.tracef("API of %s: %v", names, on)
}

func (w *world) tell(n *node, in Input) { n.whenThawed(n.inc(), func() { n.event(in) }) }

// hint makes all that can read the record do so.
func (w *world) hint() {
	for _, n := range w.nodes {
		w.tell(n, RecordRead{})
	}
}

func (n *node) pledgedTo(t uint64) bool {
	return n.st.Pledge.Term == t && n.st.Pledge.Phase == pledgeDone
}

func scenarios() []scenario {
	return slices.Concat(pledgeScenarios(), restartScenarios(), ruleScenarios(), timeScenarios(), promiseScenarios(), boundScenarios())
}

func pledgeScenarios() []scenario {
	pref3 := directed(3, 1)
	pref3.preferred = true

	return []scenario{
		{"a voter forgets its pledge in a crash", gDurable, directed(4, 1), forgetfulVoter},
		{"a pledged voter that knows no record follows the old primary again", gTerm, directed(4, 1), forgetfulVoter},
		{"the longest log is of an older term", gOrderByTerm, pref3, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b, c := w.node("A"), w.node("B"), w.node("C")
			w.wire(false, "AB", "AC")
			for range 200 {
				a.insert()
			}
			w.must(t, "A fencing itself", 5*time.Second, func() bool { return a.st.Phase == Fencing })
			a.crash("crashes with what nobody else has")
			w.must(t, "B leading", 15*time.Second, func() bool { return b.admitted })
			w.hold = func(from, to *node, m Message) bool { // A hears no primary
				_, beat := m.(Heartbeat)
				return beat && to == a
			}
			a.start()
			w.wire(true, "AB", "AC")
			w.must(t, "A in recovery", 5*time.Second, func() bool { return a.st.Phase == Standby })
			w.tell(c, ForceTerm{})
			w.must(t, "a primary with A among its voters", 15*time.Second, func() bool {
				return w.openT == 3 && len(w.rec.Voters) == 2 && w.rec.Pending == nil
			})
			w.run(w.now + 300*ms)
			w.find(w.rec.Primary.Name).crash("crashes")
			w.run(w.now + 15*time.Second)
			w.hold = nil
			b.start()
			c.start()
			w.writable(20 * time.Second)
		}},
		{"a voter goes on receiving after its pledge", gStopBeforeReply, directed(4, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.replaceSlowClock(t)
			w.must(t, "a candidate", 8*time.Second, func() bool { return w.rec.Pending.Candidate.ID != "" })
			w.wire(false, "BC", "BD")
			w.run(w.now + 3*time.Second)
			w.wire(true, "BC", "BD")
			w.writable(15 * time.Second)
			w.run(w.now + 3*time.Second)
		}},
		{"a voter's receiver starts once more after its pledge", gQuiet, directed(4, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.replaceSlowClock(t)
			c := w.node("C")
			w.must(t, "C stops receiving", 8*time.Second, func() bool { return c.st.Pledge.Phase == pledgeStopping && c.follow < 0 })
			w.wire(false, "AC") // D alone acknowledges more
			w.must(t, "a candidate", 8*time.Second, func() bool { return w.rec.Pending.Candidate.ID != "" })
			w.run(w.now + 3*time.Second)
			w.writable(15 * time.Second)
			w.run(w.now + 3*time.Second)
		}},
		{"the term's message is not on any voter", gEstFlush, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			b := w.node("B")
			w.tell(w.node("A"), Switchover{Target: b.disk.Member})
			w.must(t, "a candidate", 5*time.Second, func() bool { return b.st.Phase == Promoting })
			w.wire(false, "AB", "BC")
			w.run(w.now + 4*time.Second)
			b.crash("is gone for good")
			w.writable(30 * time.Second)
		}},
		{"a voter's volume is made anew", gIdent, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			w.wire(false, "AC")
			w.run(w.now + 2*time.Second) // acknowledged by B alone
			w.node("A").crash("crashes")
			w.node("B").loseVolume()
			w.wire(true, "AC")
			w.node("B").start()
			w.run(w.now + 20*time.Second)
			w.node("A").start()
			w.writable(20 * time.Second)
		}},
		{"a rewind onto a primary that is not established is interrupted", gRewind, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b := w.node("A"), w.node("B")
			w.wire(false, "AC")
			w.run(w.now + 2*time.Second) // acknowledged by B alone
			w.hold = func(from, to *node, _ Message) bool { return from == a || to == a }
			w.link[1][0], w.link[0][1] = false, false
			w.run(w.now + 300*ms) // A has what nobody else has
			a.crash("crashes")
			w.must(t, "a promotion", 15*time.Second, func() bool { return b.st.Phase == Promoting })
			w.wire(false, "BC")
			w.must(t, "a closed primary", 3*time.Second, func() bool { return b.st.Phase == Establishing })
			w.wire(true, "AB")
			w.hold = nil
			a.rewindDelay = 5 * time.Second
			a.start()
			w.wait(8*time.Second, func() bool { return a.disk.Dirty })
			a.crash("crashes")
			b.loseVolume()
			w.run(w.now + time.Second)
		}},
	}
}

// forgetfulVoter: B pledges and crashes, and hears of nothing but the old primary afterwards.
func forgetfulVoter(t *testing.T, w *world) {
	t.Helper()
	w.steady(t)
	a, b, c, d := w.node("A"), w.node("B"), w.node("C"), w.node("D")
	w.api(false, "AD")
	w.tell(c, ForceTerm{})
	w.must(t, "a pending term", time.Second, func() bool { return w.rec.Pending != nil })
	w.hint()
	w.wire(false, "AB", "AC")
	w.must(t, "pledges of B and C", 8*time.Second, func() bool { return b.pledgedTo(2) && c.pledgedTo(2) })
	w.run(w.now + time.Second)
	b.crash("crashes")
	w.api(false, "B")
	w.wire(true, "AB")
	w.wire(false, "BC", "BD")
	b.start()
	w.wait(4*time.Second, func() bool { return b.upstream == a.id })
	w.run(w.now + time.Second)
	w.api(true, "D")
	w.hint()
	w.wait(12*time.Second, func() bool { return d.pledgedTo(2) })
	w.writable(10 * time.Second)
	w.run(w.now + 2*time.Second)
}

func restartScenarios() []scenario {
	pref3 := directed(3, 1)
	pref3.preferred = true

	return []scenario{
		{"a restart in place shows what nobody else has", gGate, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a := w.node("A")
			w.wire(false, "AB", "AC")
			w.run(w.now + 300*ms)
			a.kill()
			a.event(Exited{})
			w.wait(4*time.Second, func() bool { return a.admitted })
			a.crash("crashes")
			w.wait(15*time.Second, func() bool { return w.openT > 1 })
			w.wire(true, "AB", "AC")
			a.start()
			w.writable(15 * time.Second)
		}},
		{"promises restart a candidate that never was established", gEstMark, pref3, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b, c := w.node("A"), w.node("B"), w.node("C")
			a.crash("crashes")
			w.must(t, "B promoting", 15*time.Second, func() bool { return b.st.Phase == Promoting })
			w.api(false, "BC")
			w.wire(false, "AB", "AC")
			w.must(t, "C following B", 5*time.Second, func() bool { return c.upstream == b.id && b.st.Lead.TermLSN != 0 })
			w.run(w.now + time.Second)
			b.crash("crashes")
			b.start()
			w.wait(6*time.Second, func() bool { return b.admitted })
			a.start()
			w.must(t, "A leading in a later term", 40*time.Second, func() bool { return a.admitted })
			w.wire(true, "AB", "AC")
			w.api(true, "BC")
			w.writable(15 * time.Second)
		}},
		{"the record is older than the volumes", gRecordBehind, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b, c := w.node("A"), w.node("B"), w.node("C")
			a.crash("crashes")
			w.must(t, "a pending term", 5*time.Second, func() bool { return w.rec.Pending != nil })
			backup := w.rec.Clone()
			w.must(t, "B leading C", 20*time.Second, func() bool { return b.admitted && c.upstream == b.id })
			w.run(w.now + 2*time.Second)
			right := w.rec
			w.rec = backup
			w.version++
			restored := w.version
			w.wire(false, "BC")
			w.run(w.now + 300*ms)
			b.crash("crashes")
			c.crash("crashes")
			c.start()
			a.start()
			w.run(w.now + 30*time.Second)
			w.wire(true, "BC")
			b.start()
			if w.version == restored {
				w.rec = right
				w.version++
			}
			if !w.wait(40*time.Second, w.joined) && w.fail == "" {
				w.failf("J: not all have rejoined")
			}
		}},
	}
}

func ruleScenarios() []scenario {
	pref := directed(2, 1)
	pref.preferred = true
	pref3 := directed(3, 1)
	pref3.preferred = true

	return []scenario{
		{"armed while the checkpointer still lets commits through", gCkptBarrier, pref, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b := w.node("A"), w.node("B")
			b.crash("crashes")
			w.must(t, "a degraded primary", 20*time.Second, func() bool { return w.rec.Acks == 0 && a.ckpt.Acks == 0 })
			a.ckptDelay = time.Minute
			b.start()
			w.wait(6*time.Second, func() bool { return w.rec.Acks == 1 })
			w.link[1][0], w.link[0][1] = false, false
			w.run(w.now + 500*ms)
			a.crash("crashes")
			w.wait(10*time.Second, func() bool { return b.admitted })
			a.ckptDelay, a.senderDelay = 0, 0
			a.start()
			w.wire(true, "AB")
			w.writable(20 * time.Second)
		}},
		{"armed while a walsender still has the old setting", gBarrier, pref, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b := w.node("A"), w.node("B")
			b.crash("crashes")
			w.must(t, "a degraded primary", 20*time.Second, func() bool { return w.rec.Acks == 0 && a.ckpt.Acks == 0 })
			a.ckptDelay, a.senderDelay = 20*time.Second, 20*time.Second
			b.start()
			w.wait(6*time.Second, func() bool { return w.rec.Acks == 1 })
			w.link[1][0], w.link[0][1] = false, false
			w.run(w.now + 500*ms)
			a.crash("crashes")
			w.wait(10*time.Second, func() bool { return b.admitted })
			a.ckptDelay, a.senderDelay = 0, 0
			a.start()
			w.wire(true, "AB")
			w.writable(20 * time.Second)
		}},
		{"degraded in PostgreSQL before the record says so", gRecordFirst, pref, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a := w.node("A")
			w.api(false, "B")
			w.wire(false, "AB")
			asked := false
			w.holdCAS = func(n *node, _ CompareAndSwap) time.Duration {
				if n == a {
					asked = true
					return 900 * ms
				}
				return 0
			}
			w.must(t, "A asking to be degraded", 20*time.Second, func() bool { return asked })
			w.api(true, "B")
			w.hint()
			w.must(t, "B asking for a term", 5*time.Second, func() bool { return w.rec.Pending != nil || w.rec.Acks == 0 })
			w.run(w.now + 10*time.Second)
			w.wire(true, "AB")
			w.writable(20 * time.Second)
		}},
		{"a candidate that never was established restarts from its disk", gProof, pref, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b := w.node("A"), w.node("B")
			a.crash("crashes")
			w.must(t, "B promoting", 10*time.Second, func() bool { return b.st.Phase == Promoting })
			w.wire(false, "AB")
			w.api(false, "B")
			a.start()
			w.must(t, "A leading in a later term", 40*time.Second, func() bool { return a.admitted && a.term == 3 })
			b.crash("crashes")
			b.start()
			w.run(w.now + 5*time.Second)
			w.api(true, "B")
			w.wire(true, "AB")
			w.writable(10 * time.Second)
		}},
		{"a late write of an earlier run takes a voter out", gClaim, pref3, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b, c := w.node("A"), w.node("B"), w.node("C")
			c.crash("crashes")
			removing := false
			w.holdCAS = func(_ *node, x CompareAndSwap) time.Duration {
				if len(x.Record.Voters) == 1 && !removing {
					removing = true
					return 9 * time.Second
				}
				return 0
			}
			w.must(t, "C being taken out", 20*time.Second, func() bool { return removing })
			a.crash("crashes")
			a.start()
			c.start()
			w.must(t, "A serving again", 10*time.Second, func() bool { return a.admitted && c.upstream == 0 })
			w.run(w.now + 2*time.Second)
			w.link[1][0], w.link[0][1] = false, false
			w.wait(8*time.Second, func() bool { return len(w.rec.Voters) == 1 })
			w.run(w.now + 500*ms)
			a.crash("crashes")
			c.crash("crashes")
			w.wait(15*time.Second, func() bool { return b.admitted })
			w.wire(true, "AB")
			a.start()
			c.start()
			w.writable(20 * time.Second)
		}},
	}
}

func timeScenarios() []scenario {
	async2, async3 := directed(2, 0), directed(3, 0)
	async3.voters = 1

	return []scenario{
		{"every promotion takes longer than the first candidate may", gPatience, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			for _, n := range w.nodes {
				n.promoteDelay = 16 * time.Second
			}
			w.node("A").crash("is lost for good")
			w.writable(2 * time.Minute)
		}},
		{"a voter is added, and elects, while the primary does not know that it was", gAuthUnion, async3, func(t *testing.T, w *world) {
			t.Helper()
			w.written = func(_ *node, x CompareAndSwap) {
				if len(x.Record.Voters) == 2 {
					w.api(false, "AB") // the answer is lost
					w.wire(false, "AC", "BC")
					w.written = nil
				}
			}
			w.must(t, "C added", 20*time.Second, func() bool { return len(w.rec.Voters) == 2 })
			w.wait(15*time.Second, func() bool { return w.node("C").admitted })
			w.run(w.now + 2*time.Second)
		}},
		{"the new primary does not wait for the old one's last read", gOpenWait, async2, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b := w.node("A"), w.node("B")
			w.api(false, "B")
			w.wire(false, "AB")
			w.run(w.now + 6*time.Second) // promises are over, A serves on its reads
			w.must(t, "a read", time.Second, func() bool { return a.st.View.At > a.clock()-60*ms })
			w.api(false, "A")
			a.pidStop = w.now + 20*time.Second
			w.api(true, "B")
			w.tell(b, ForceTerm{})
			w.hint()
			w.must(t, "B being primary", 10*time.Second, func() bool { return b.admitted })
			w.run(w.now + time.Second)
		}},
		{"word of an earlier run is taken for the one that serves", gEndedRun, async2, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b := w.node("A"), w.node("B")
			over := Ended{Member: a.disk.Member, Run: a.st.Run}
			a.crash("crashes")
			a.start()
			w.must(t, "A serving again", 15*time.Second, func() bool { return a.admitted && b.upstream == 0 })
			w.run(w.now + 2*time.Second)
			w.api(false, "B")
			w.wire(false, "AB")
			w.run(w.now + 6*time.Second) // promises are over, A serves on its reads
			w.must(t, "a read", time.Second, func() bool { return a.st.View.At > a.clock()-60*ms })
			w.api(false, "A")
			a.pidStop = w.now + 20*time.Second
			w.api(true, "B")
			over.Seen = b.clock()
			w.tell(b, over)
			w.tell(b, ForceTerm{})
			w.hint()
			w.must(t, "B being primary", 10*time.Second, func() bool { return b.admitted })
			w.run(w.now + time.Second)
		}},
		{"a log is compared before it is settled", gSettle, directed(5, 2), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			w.wire(false, "AB", "AC", "AD", "AE")
			w.api(false, "AE")
			e := w.node("E") // it neither pledges nor notices that A is cut off
			e.follow = 0
			w.must(t, "a new primary", 15*time.Second, func() bool { return w.openT == 2 })
			w.run(w.now + 3*time.Second)
			if w.stats.rewinds > 0 {
				w.failf("E, which has nothing of its own, was rewound")
			}
			w.must(t, "E following", 5*time.Second, func() bool { return e.upstream > 0 })
		}},
		{"a read that shows a pending term counts as authority", gPendCheck, async2, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			b := w.node("B")
			w.wire(false, "AB")
			w.wait(15*time.Second, func() bool { return b.admitted })
			w.run(w.now + 2*time.Second)
		}},
	}
}

func (s scenario) run(t *testing.T, off guard) *world {
	t.Helper()
	o := s.o
	o.off, o.trace = off, true
	w := newWorld(o, 1)
	s.script(t, w)

	return w
}

// TestScenarios: the protocol holds in all of them.
func TestScenarios(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			if w := s.run(t, 0); w.fail != "" {
				w.dump()
				t.Errorf("%s\n%s", w.fail, w.traceText())
			}
		})
	}
}
