package ha

import (
	"slices"
	"testing"
	"time"
)

// TestRefusedWrites: an API server that answers reads, and refuses every write at once (its store is full, a right is gone), is not
// asked as fast as it answers.
func TestRefusedWrites(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, w *world){
		"a switchover's term is asked for": func(t *testing.T, w *world) {
			t.Helper()
			a := w.node("A")
			w.tell(a, Switchover{Request: "test"})
			w.must(t, "A stopping", 2*time.Second, func() bool { return a.st.Phase == Stopping })
			w.refuse = true
			w.must(t, "A resigned", 8*time.Second, func() bool { return a.st.Phase == Resigned })
		},
		"a voter is to be removed": func(t *testing.T, w *world) {
			t.Helper()
			w.refuse = true
			w.node("C").crash("is off")
			w.run(w.now + 14*time.Second)
		},
		"the record is gone": func(t *testing.T, w *world) {
			t.Helper()
			w.refuse = true
			w.old, w.rec = append(w.old, w.rec), nil
			w.hint()
			w.run(w.now + time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(directed(3, 1), 1)
			w.steady(t)
			begin(t, w)
			reads, swaps := w.reads, w.swaps
			w.run(w.now + 10*time.Second)
			if reads, swaps = w.reads-reads, w.swaps-swaps; reads > 150 || swaps > 40 || swaps == 0 {
				t.Errorf("%d reads and %d writes of the record in 10 s", reads, swaps)
			}
			w.refuse = false
			if name == "the record is gone" {
				w.must(t, "the record is made again", 5*time.Second, func() bool { return w.rec != nil })
			}
			w.must(t, "a primary that is open", 20*time.Second, func() bool {
				for _, n := range w.nodes {
					if n.admitted && n.st.Phase == Primary {
						return true
					}
				}
				return false
			})
		})
	}
}

// TestPrimaryThatNeverReadTheRecord leads by its voters' promises alone. It stops when it is told to, and forgets a wish for a
// switchover that it could not fulfil.
func TestPrimaryThatNeverReadTheRecord(t *testing.T) {
	begin := func(t *testing.T) (*world, *node) {
		t.Helper()
		w := newWorld(directed(3, 1), 1)
		w.steady(t)
		a := w.node("A")
		w.api(false, "A")
		a.crash("its PID 1 is killed")
		a.start()
		w.must(t, "A leads by promises", 10*time.Second, func() bool { return a.admitted && a.st.Phase == Primary })
		if a.st.View.Record != nil {
			t.Fatal("it has read the record")
		}
		return w, a
	}

	t.Run("stops", func(t *testing.T) {
		w, a := begin(t)
		w.tell(a, Shutdown{})
		w.must(t, "A has stopped", leaveTimeout+10*time.Second, func() bool { return a.st.Phase == Gone })
		w.must(t, "another leads", 20*time.Second, func() bool { return w.node("B").admitted || w.node("C").admitted })
	})
	t.Run("forgets", func(t *testing.T) {
		w, a := begin(t)
		w.tell(a, Switchover{Request: "user"})
		w.run(w.now + requestTimeout + time.Second)
		if a.st.Request != nil {
			t.Errorf("it still waits: %+v", a.st.Request)
		}
		term := w.rec.Term
		w.api(true, "A")
		w.run(w.now + 6*time.Second)
		if a.st.Phase != Primary || w.rec.Term != term {
			t.Errorf("A is %v, the record says %v", a.st.Phase, w.rec)
		}
	})
}

// TestAsynchronousSwitchoverThatFails: with no commit waiting for a replica, a switchover whose stop does not end in order leaves the
// last commits on the old primary alone. It leads again.
func TestAsynchronousSwitchoverThatFails(t *testing.T) {
	for _, n := range []int{2, 3} {
		w := newWorld(directed(n, 0), 1)
		w.steady(t)
		a := w.node("A")
		isBehind := true
		var lag func()
		lag = func() {
			if !isBehind {
				return
			}
			for _, x := range w.nodes[1:] {
				if x.mode == pgStandby {
					x.upstream = -1
				}
			}
			w.at(5*ms, lag)
		}
		lag()
		w.run(w.now + time.Second)
		a.stopFails = true
		w.tell(a, Switchover{Request: "operator"})
		w.must(t, "A stopping", 2*time.Second, func() bool { return a.st.Phase == Stopping })
		w.wait(500*ms, func() bool { return a.mode == pgShutting })
		told := a.visible
		w.must(t, "A stopped", 8*time.Second, func() bool { return a.st.Phase != Stopping })
		isBehind = false
		var leader *node
		w.must(t, "a primary", 20*time.Second, func() bool {
			for _, x := range w.nodes {
				if x.admitted && x.st.Phase == Primary {
					leader = x
				}
			}
			return leader != nil
		})
		if !w.anc(told, leader.tip) {
			t.Errorf("%d instances: acknowledged up to %v, %s leads at %v\n%s", n, told, leader.name, leader.tip, w.traceText())
		}
	}
}

// TestHaltedAfterItToldThatItServesNobody: a record that goes back for a moment while a primary stops does not bring it back into the
// term in which the others may count on its having ended.
func TestHaltedAfterItToldThatItServesNobody(t *testing.T) {
	w := newWorld(directed(3, 1), 1)
	w.steady(t)
	a := w.node("A")
	w.tell(a, Switchover{Request: "test"})
	w.must(t, "the others know", 2*time.Second, func() bool { return a.st.ClientsGone && w.node("B").st.Closed.Run != 0 })
	term := a.st.Disk.Led
	w.rec.Seq--
	w.version++
	a.disk.Seen = max(a.disk.Seen, w.rec.Seq+1)
	a.st.Disk.Seen = a.disk.Seen
	a.st.View.NextRead, a.st.View.LastRead = 0, 0
	w.tell(a, Tick{})
	w.must(t, "A halts", 3*time.Second, func() bool { return a.st.Halted != "" })
	w.rec.Seq++
	w.version++
	w.must(t, "a primary", 20*time.Second, func() bool {
		for _, x := range w.nodes {
			if x.admitted && x.st.Phase == Primary {
				return true
			}
		}
		return false
	})
	if a.admitted && a.st.Disk.Led == term {
		t.Errorf("A leads term %d again\n%s", term, w.traceText())
	}
}

// TestSwitchoverWaitsForItsTarget: an instance that has just come back is no voter yet. Whoever asks for it gets it.
func TestSwitchoverWaitsForItsTarget(t *testing.T) {
	w := newWorld(directed(3, 1), 1)
	w.steady(t)
	a, c := w.node("A"), w.node("C")
	isVoter := func() bool { return slices.Contains(w.rec.Voters, c.st.Self.ID) }
	c.crash("is off")
	w.must(t, "C is no voter", time.Minute, func() bool { return !isVoter() })
	c.start()
	w.must(t, "C follows", 30*time.Second, func() bool { return c.st.Phase == Standby && !isVoter() })
	w.tell(a, Switchover{Request: "user", Target: c.st.Self.ID})
	w.must(t, "C leads", 20*time.Second, func() bool { return c.admitted && c.st.Phase == Primary })
	if w.rec.Term != 2 {
		t.Errorf("it took until term %d", w.rec.Term)
	}
}

// TestSwitchoverDoesNotWaitForEver for a target that does not become a voter.
func TestSwitchoverDoesNotWaitForEver(t *testing.T) {
	w := newWorld(directed(3, 1), 1)
	w.steady(t)
	a, c := w.node("A"), w.node("C")
	c.crash("is off")
	w.must(t, "C is no voter", time.Minute, func() bool { return !slices.Contains(w.rec.Voters, c.st.Self.ID) })
	w.tell(a, Switchover{Request: "user", Target: c.st.Self.ID})
	w.must(t, "B leads", targetTimeout+10*time.Second, func() bool { return w.node("B").admitted && w.node("B").st.Phase == Primary })
}
