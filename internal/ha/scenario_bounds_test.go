package ha

import (
	"testing"
	"time"
)

// boundScenarios: an instance that is well and heard, and of no use, makes room.
func boundScenarios() []scenario {
	return []scenario{
		{"a candidate that is heard never comes about", gOverdue, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			unfollowed(t, w)
			w.writable(90 * time.Second)
		}},
		{"a candidate that gave up is named again before the others can be", gAside, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			unfollowed(t, w)
			w.writable(90 * time.Second)
		}},
		{"a candidate that is heard never comes about, and there is no other", gOverdue, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			w.node("A").crash("is lost for good")
			w.must(t, "a candidate", 10*time.Second, func() bool { return w.node("B").st.Phase == Promoting })
			w.node("B").hung = true // until it is started anew
			w.writable(90 * time.Second)
			if w.rec.Primary.Name != "B" {
				w.failf("%s leads without what only B may have", w.rec.Primary.Name)
			}
		}},
		{"nobody follows a primary that was restarted in place", gOverdue, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a := w.node("A")
			a.refuses = forever
			w.dies(a)
			w.must(t, "A waiting for replicas", 10*time.Second, func() bool { return a.st.Phase == Gated })
			w.writable(90 * time.Second)
			w.must(t, "all together", 30*time.Second, w.joined)
		}},
		{"postgres dies after each opening", gDying, directed(3, 1), diesOnOpening},
		{"postgres dies after each opening, of two that prefer to go on", gDying, prefers(directed(2, 1)), diesOnOpening},
		{"postgres dies after each opening, and the only other one is needed", gDying, directed(2, 1), diesOnOpening},
		{"postgres dies after each opening, and nothing waits for the other one", gDying, directed(2, 0), diesOnOpening},
		{"postgres dies before it opens", gDying, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a := w.node("A")
			a.diesClosed = true
			w.dies(a)
			w.writable(time.Minute)
			w.must(t, "all together", 30*time.Second, w.joined)
		}},
		{"postgres dies after each opening, wherever that is", gOnce, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			for _, n := range w.nodes {
				n.dies = 400 * ms
			}
			w.dies(w.node("A"))
			w.run(w.now + 3*time.Minute)
			if w.openT > 2 {
				w.failf("the primary's role goes round: term %d is open", w.openT)
			}
			heir := w.find(w.rec.Primary.Name)
			if told := heir.st.Dying(); w.openT == 2 && (told.Deaths != 5 || !told.Inherited) {
				t.Errorf("%s, which stays, tells %+v", heir.name, told)
			}
		}},
	}
}

func diesOnOpening(t *testing.T, w *world) {
	t.Helper()
	w.steady(t)
	a := w.node("A")
	a.dies = 400 * ms
	w.dies(a)
	if !w.wait(time.Minute, func() bool {
		if told := a.st.Dying(); told != (Dying{}) && w.fail == "" {
			w.failf("A says that it stays: %+v", told)
		}

		return w.openT > 1
	}) && w.fail == "" {
		w.failf("A leads and dies for ever")
	}
	w.writable(5 * time.Second)
	w.must(t, "all together", 30*time.Second, w.joined)
	if w.stats.rewinds > 0 && w.fail == "" {
		w.failf("a log diverged, although the primary was stopped in order")
	}
}

func prefers(o opt) opt {
	o.preferred = true

	return o
}

// unfollowed: B is named and promoted, and nobody can follow it; A and C are well.
func unfollowed(t *testing.T, w *world) {
	t.Helper()
	w.steady(t)
	b := w.node("B")
	b.refuses = forever
	w.tell(w.node("A"), Switchover{Target: b.disk.Member})
	w.must(t, "B waiting for replicas", 10*time.Second, func() bool { return b.st.Phase == Establishing })
}

// TestOverdueWaitsForWhatGrows: a candidate whose replica receives all the time, and one whose replica is being copied from
// it, are left alone, however long that takes.
func TestOverdueWaitsForWhatGrows(t *testing.T) {
	for name, sees := range map[string]func(b *node, o *Observed){
		"a voter that catches up": func(b *node, o *Observed) {
			o.Senders = []Sender{{Member: "C1", Gen: b.gen, Flush: b.st.Lead.Flushed + 1}}
		},
		"a copy":  func(_ *node, o *Observed) { o.Copied = true },
		"nothing": func(*node, *Observed) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(directed(3, 1), 1)
			unfollowed(t, w)
			b := w.node("B")
			for range 150 {
				if b.st.Phase != Establishing {
					break
				}
				in := Observed{Asked: b.clock(), Tip: b.st.Obs.Tip, CheckpointerGen: b.ckptGen}
				sees(b, &in)
				b.st.Lead.TermLSN = 1 << 40 // far from what a voter has
				b.event(in)
				w.run(w.now + 2*time.Second)
			}
			if gaveUp := b.st.Phase != Establishing || w.rec.Pending == nil || w.rec.Pending.Term != 2; gaveUp != (name == "nothing") {
				t.Errorf("gave up: %v; %v, %v", gaveUp, b.st.Phase, w.rec)
			}
		})
	}
	t.Run("the only copy is being made", func(t *testing.T) {
		w := newWorld(directed(2, 1), 1)
		w.steady(t)
		a, b := w.node("A"), w.node("B")
		a.loseVolume()
		w.must(t, "B as candidate", 30*time.Second, func() bool { return b.st.Phase == Promoting || b.st.Phase == Standby })
		a.copyDelay = 10 * time.Minute
		a.start()
		w.must(t, "A being copied from B", 30*time.Second, func() bool { return a.st.Phase == Cloning && b.st.Phase == Establishing })
		w.run(w.now + 5*time.Minute)
		if a.st.Phase != Cloning || b.st.Phase != Establishing {
			t.Errorf("the copy was ended: A is %v, B is %v", a.st.Phase, b.st.Phase)
		}
		w.writable(10 * time.Minute)
		if w.fail != "" {
			t.Error(w.fail)
		}
	})
}

// TestDeathsThatDoNotCount: restarts that were asked for, deaths long ago, and those of an instance alone.
func TestDeathsThatDoNotCount(t *testing.T) {
	for name, die := range map[string]func(w *world, a *node){
		"ordered": func(w *world, a *node) {
			a.kill()
			a.event(Exited{Ordered: true})
			w.run(w.now + 5*time.Second)
		},
		"rare": func(w *world, a *node) {
			w.dies(a)
			w.run(w.now + 3*time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(directed(3, 1), 1)
			w.steady(t)
			for range 12 {
				die(w, w.node("A"))
			}
			if w.openT != 1 || !w.node("A").admitted || w.fail != "" || w.node("A").st.Dying() != (Dying{}) {
				t.Errorf("A no longer leads: %v %s", w.rec, w.fail)
			}
		})
	}
	for name, o := range map[string]opt{"alone": directed(1, 0)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(o, 1)
			w.steady(t)
			a := w.node("A")
			a.dies = 400 * ms
			w.dies(a)
			w.run(w.now + 2*time.Minute)
			if w.openT != 1 || w.fail != "" || a.st.Dying() != (Dying{Deaths: 5}) {
				t.Errorf("term %d is open; it tells %+v %s", w.openT, a.st.Dying(), w.fail)
			}
			a.dies = 0
			w.writable(10 * time.Second)
			if w.run(w.now + deathWindow + time.Minute); w.fail != "" || a.st.Dying() != (Dying{}) {
				t.Errorf("it still tells %+v %s", a.st.Dying(), w.fail)
			}
		})
	}
}

// TestCalmPrimaryHandsOverAgain: it dies again and again long after it took over for that.
func TestCalmPrimaryHandsOverAgain(t *testing.T) {
	w := newWorld(directed(3, 1), 1)
	w.steady(t)
	a := w.node("A")
	a.dies = 400 * ms
	w.dies(a)
	w.must(t, "another primary", time.Minute, func() bool { return w.openT == 2 })
	a.dies = 0
	w.run(w.now + calmAfter + time.Minute)
	heir := w.find(w.rec.Primary.Name)
	heir.dies = 400 * ms
	w.dies(heir)
	w.must(t, "a third one", time.Minute, func() bool { return w.openT == 3 })
	if w.fail != "" {
		t.Error(w.fail)
	}
}
