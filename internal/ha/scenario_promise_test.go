package ha

import (
	"testing"
	"time"
)

// longerPromise: A alone knows that promises are longer now; then it hears of nobody any more, and only its watchdog is left.
func longerPromise(t *testing.T, w *world) {
	t.Helper()
	a := w.node("A")
	a.promise = 9 * time.Second
	w.tell(a, Configured{Settings: a.settings()})
	w.run(w.now + 2*time.Second)
	w.api(false, "A")
	w.must(t, "a heartbeat", time.Second, func() bool { return a.st.Peers[0].Answered > a.clock()-20*ms })
	a.pidStop = w.now + 30*time.Second
	w.wire(false, "AB")
}

func promiseScenarios() []scenario {
	async2 := directed(2, 0)

	return []scenario{
		{"a voter promises for as long as its own settings have, and the primary counts on its", gAsked, async2, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			longerPromise(t, w)
			w.tell(w.node("B"), ForceTerm{})
			w.run(w.now + 15*time.Second)
		}},
		{"a voter starts again with settings of shorter promises", gAsked, async2, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			longerPromise(t, w)
			w.tell(w.node("B"), ForceTerm{})
			w.must(t, "a pending term", time.Second, func() bool { return w.rec.Pending != nil })
			w.node("B").crash("crashes")
			w.node("B").start()
			w.run(w.now + 15*time.Second)
		}},
		{"a voter does not wait out its promise", gPromiseWait, async2, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b := w.node("A"), w.node("B")
			w.api(false, "A")
			w.must(t, "a heartbeat", time.Second, func() bool { return a.st.Peers[0].Answered > a.clock()-20*ms })
			a.pidStop = w.now + 20*time.Second // only the watchdog is left
			w.wire(false, "AB")
			w.tell(b, ForceTerm{})
			w.run(w.now + 8*time.Second)
		}},
		{"clients that leave late are with a primary that has given up its promises", gClientsGone, directed(3, 1), func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b := w.node("A"), w.node("B")
			a.leaveDelay = 20 * time.Second
			w.tell(a, Shutdown{})
			w.must(t, "A stopping", 2*time.Second, func() bool { return a.st.Phase == Stopping })
			w.api(false, "A")
			a.pidStop = w.now + 30*time.Second // only the watchdog is left
			w.wire(false, "AB", "AC")
			w.tell(b, ForceTerm{})
			w.run(w.now + 8*time.Second)
		}},
		{"a primary that told that it serves nobody serves again", gClosedForGood, async2, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b := w.node("A"), w.node("B")
			w.hold = func(_, to *node, m Message) bool { // B does not win the term that A asks for when it gave up
				_, wrote := m.(Wrote)
				return wrote && to == b
			}
			w.api(false, "B")
			a.stopFails = true
			w.tell(a, Switchover{Request: "test"})
			w.must(t, "A stopping", 2*time.Second, func() bool { return a.st.Phase == Stopping })
			w.wait(6*time.Second, func() bool { return a.admitted && a.st.Phase == Primary })
			w.wire(false, "AB")
			w.run(w.now + 6*time.Second) // promises are over
			w.wait(time.Second, func() bool { return a.st.View.At > a.clock()-60*ms })
			w.api(false, "A")
			a.pidStop = w.now + 20*time.Second
			w.api(true, "B")
			w.tell(b, ForceTerm{})
			w.hint()
			w.run(w.now + 8*time.Second)
		}},
		{"a voter forgets its promise in a crash", gBootWait, async2, func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a, b := w.node("A"), w.node("B")
			w.api(false, "A")
			w.must(t, "a heartbeat", time.Second, func() bool { return a.st.Peers[0].Answered > a.clock()-20*ms })
			a.pidStop = w.now + 20*time.Second
			w.wire(false, "AB")
			w.tell(b, ForceTerm{})
			w.must(t, "a pending term", time.Second, func() bool { return w.rec.Pending != nil })
			b.crash("crashes")
			b.start()
			w.run(w.now + 8*time.Second)
		}},
	}
}

// TestFirstVoterHasPromised: authority rests on promises from the moment that there is a voter. One whose promise is old by then, as replies
// get lost on a busy machine, must not take the primary's authority with it as soon as the API server is slow.
func TestFirstVoterHasPromised(t *testing.T) {
	for name, c := range map[string]struct{ silent, answers time.Duration }{
		"its promise is about to run out":              {silent: 9 * time.Second},
		"half of it is left, and the next is lost too": {silent: 6 * time.Second, answers: 300 * ms},
	} {
		o := directed(2, 1)
		o.voters, o.beat = -1, 4*time.Second
		w := newWorld(o, 1)
		a, b := w.node("A"), w.node("B")
		a.refuses = forever // B is started, and does not stream yet
		w.must(t, "a promise", 20*time.Second, func() bool { return a.admitted && a.st.Peers[0].Answered > a.clock()-20*ms })
		w.hold = func(from, _ *node, m Message) bool {
			_, reply := m.(HeartbeatReply)
			return reply && from == b
		}
		lost := w.hold
		w.run(w.now + c.silent)
		a.refuses = 0
		if c.answers > 0 {
			w.hold = nil
		}
		w.wait(2*time.Second, func() bool { return len(w.rec.Voters) > 0 })
		w.api(false, "A")
		w.run(w.now + c.answers)
		w.hold = lost
		w.run(w.now + 4*time.Second)
		w.hold = nil
		w.api(true, "A")
		w.must(t, "a voter", 20*time.Second, func() bool { return len(w.rec.Voters) > 0 })
		w.run(w.now + 5*time.Second)
		if w.fail != "" || w.stats.fences > 0 || a.st.Phase != Primary {
			t.Errorf("%s: %s A is %v, %d fences\n%s", name, w.fail, a.st.Phase, w.stats.fences, w.traceText())
		}
	}
}
