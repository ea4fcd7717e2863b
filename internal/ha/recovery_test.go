package ha

import (
	"slices"
	"testing"
	"time"
)

// TestArmsThoughTheCheckpointerIsSlow: a degraded Cluster waits for replicas again, however long a checkpoint takes.
func TestArmsThoughTheCheckpointerIsSlow(t *testing.T) {
	for _, d := range []time.Duration{0, 5 * time.Second, 9 * time.Second, 40 * time.Second} {
		o := directed(2, 1)
		o.preferred = true
		w := newWorld(o, 1)
		w.steady(t)
		a, b := w.node("A"), w.node("B")
		b.crash("goes")
		w.must(t, "a degraded record", 30*time.Second, func() bool { return w.rec.Acks == 0 })
		a.ckptDelay = d
		b.start()
		from := w.now
		if !w.wait(2*d+30*time.Second, func() bool { return w.rec.Acks == 1 }) || w.fail != "" {
			t.Errorf("a checkpoint of %v: not armed after %v: %v %s", d, w.now-from, w.rec, w.fail)
		}
		// and if the replica goes while the checkpoint is still being made, nothing waits for it for long
		a.ckptDelay = 0
		b.crash("goes again")
		w.must(t, "a degraded record", 30*time.Second, func() bool { return w.rec.Acks == 0 })
		a.ckptDelay = time.Minute
		b.start()
		w.must(t, "a change under way", 2*time.Minute, func() bool { return a.st.Lead.Change })
		b.crash("goes while it is being armed")
		w.run(w.now + 15*time.Second)
		if acks := w.stats.acks; !w.wait(5*time.Second, func() bool { return w.stats.acks > acks+3 }) {
			t.Errorf("a checkpoint of %v: writes wait for a replica that is gone: %v %s", d, w.rec, w.fail)
		}
	}
}

// TestRecordRestoredFromBackup: whoever knows better halts, nobody serves, and all goes on when the record is put right.
func TestRecordRestoredFromBackup(t *testing.T) {
	w := newWorld(opt{n: 3, acks: 1, directed: true, trace: true}, 1)
	w.steady(t)
	backup := w.rec.Clone()
	a, b, c := w.node("A"), w.node("B"), w.node("C")
	a.crash("crashes")
	w.must(t, "B leading", 20*time.Second, func() bool { return b.admitted })
	w.writable(3 * time.Second)
	right := w.rec.Clone()
	w.rec = backup
	w.version++
	a.start()
	w.run(w.now + 15*time.Second)
	if a.admitted || b.admitted || c.admitted || !b.halted || !c.halted {
		w.dump()
		t.Fatalf("somebody serves, or does not say why not\n%s", w.traceText())
	}
	w.rec = right
	w.version++
	w.writable(15 * time.Second)
	w.must(t, "all together", 30*time.Second, w.joined)
	if w.fail != "" {
		t.Error(w.fail)
	}
}

// TestRecordDeleted: the serving primary makes it again; nobody else does.
func TestRecordDeleted(t *testing.T) {
	w := newWorld(opt{n: 3, acks: 1, directed: true, trace: true}, 1)
	w.steady(t)
	w.old = append(w.old, w.rec)
	w.rec = nil
	w.version++
	w.must(t, "the record made again", 10*time.Second, func() bool { return w.rec != nil })
	if w.rec.Term != 1 || w.rec.Primary.Name != "A" || len(w.rec.Voters) != 2 || w.rec.Acks != 1 {
		t.Errorf("made again as %v", w.rec)
	}
	w.writable(time.Second)

	w.old = append(w.old, w.rec)
	w.rec = nil
	w.version++
	w.node("A").crash("crashes before it notices")
	w.run(w.now + 30*time.Second)
	if w.rec != nil || w.node("B").admitted || w.node("C").admitted {
		t.Fatalf("somebody made up a record: %v\n%s", w.rec, w.traceText())
	}
	w.byHand("C")
	w.node("A").start()
	w.writable(30 * time.Second)
	w.must(t, "all together", 40*time.Second, w.joined)
	if w.rec.Primary.Name != "C" || w.fail != "" {
		t.Errorf("%v %s", w.rec, w.fail)
	}
}

// byHand is the decision of a person that this instance has what counts: a term above all that the volumes know, whose
// only member it is, and a pending one that it may elect itself in.
func (w *world) byHand(name string) {
	n := w.node(name)
	top, tl := uint64(0), uint32(0)
	for _, m := range w.nodes {
		top = max(top, m.disk.Pledged, m.disk.Led)
	}
	for _, b := range w.br {
		tl = max(tl, b.tl)
	}
	w.rec = &Record{
		SystemID: "1",
		Seq:      w.old[len(w.old)-1].Seq + 100,
		Rule:     Rule{Term: top, Primary: Holder{Member: n.disk.Member, Name: n.name}, Timeline: w.br[n.tip.b].tl},
		Pending:  &Pending{Term: top + 1, Timeline: tl + 1, Forced: true},
	}
	w.version++
}

// TestScaleDown: a voter that is no instance any more leaves the voters.
func TestScaleDown(t *testing.T) {
	w := newWorld(opt{n: 3, acks: 1, directed: true, trace: true}, 1)
	w.steady(t)
	w.node("C").crash("is removed")
	w.node("C").removed = true
	for _, n := range w.nodes[:2] {
		n.event(Configured{Settings: n.settings()})
	}
	w.must(t, "C out of the voters", 15*time.Second, func() bool { return slices.Equal(w.rec.Voters, []MemberID{"B1"}) })
	w.writable(time.Second)
}

// TestGrow: one instance without voters, others join and it is armed.
func TestGrow(t *testing.T) {
	w := newWorld(opt{n: 3, acks: 1, voters: -1, directed: true, trace: true}, 1)
	for _, n := range w.nodes[1:] {
		n.crash("does not exist yet")
		n.disk = Disk{Member: n.disk.Member, Empty: true}
		n.tip, n.flushed = pos{}, pos{}
	}
	w.must(t, "a single primary", 10*time.Second, func() bool { return w.node("A").admitted })
	w.writable(time.Second)
	for _, n := range w.nodes[1:] {
		n.start()
	}
	w.must(t, "three armed instances", 30*time.Second, w.joined)
	if w.fail != "" {
		t.Error(w.fail)
	}
}

// TestOrderlyStop: the primary hands over before it goes, and says when it is done.
func TestOrderlyStop(t *testing.T) {
	w := newWorld(opt{n: 3, acks: 1, directed: true, trace: true}, 1)
	w.steady(t)
	a := w.node("A")
	from := w.now
	a.event(Shutdown{})
	w.must(t, "A gone", 10*time.Second, func() bool { return !a.alive })
	w.must(t, "another primary", 10*time.Second, func() bool { return w.openT == 2 })
	if d := w.now - from; d > 3*time.Second {
		t.Errorf("took %v\n%s", d, w.traceText())
	}
	w.writable(time.Second)
	a.start()
	w.must(t, "all together", 20*time.Second, w.joined)
	if w.stats.rewinds > 0 || w.stats.clones > 0 {
		t.Error("an orderly stop led to a rewind or a clone")
	}
}

// TestEmptyVolumeFollows: a volume made anew cannot vote, but it lets another lead: it can follow anybody.
func TestEmptyVolumeFollows(t *testing.T) {
	w := newWorld(opt{n: 3, acks: 1, directed: true, trace: true}, 1)
	w.steady(t)
	a, b, c := w.node("A"), w.node("B"), w.node("C")
	c.loseVolume()
	w.hold = func(_, to *node, m Message) bool { // C hears nobody to copy
		_, beat := m.(Heartbeat)
		return beat && to == c
	}
	c.start()
	w.must(t, "B as the only voter", 30*time.Second, func() bool { return len(w.rec.Voters) == 1 })
	w.hold = nil
	a.crash("is lost for good")
	w.must(t, "B leading", 15*time.Second, func() bool { return b.admitted })
	w.writable(10 * time.Second)
	if w.fail != "" {
		t.Error(w.fail)
	}
}

// TestFilledVolumeVotes: a volume that was empty when PID 1 started votes once it is filled, as the data it has by then.
func TestFilledVolumeVotes(t *testing.T) {
	w := newWorld(opt{n: 3, acks: 1, directed: true, trace: true}, 1)
	w.steady(t)
	a, c := w.node("A"), w.node("C")
	c.loseVolume()
	c.start()
	w.must(t, "C as a voter again", 30*time.Second, func() bool { return slices.Contains(w.rec.Voters, c.disk.Member) })
	a.crash("is lost for good")
	w.must(t, "another primary", 15*time.Second, func() bool { return w.openT == 2 })
	w.writable(10 * time.Second)
	if w.fail != "" {
		t.Error(w.fail)
	}
}
