package ha

import (
	"testing"
	"time"
)

// TestPeerCases replays failures that were reported of other systems. Each asserts that the fault happened, that nothing
// acknowledged was lost, and that the cluster is writable soon after.
func TestPeerCases(t *testing.T) {
	for _, c := range peerCases() {
		t.Run(c.name, func(t *testing.T) {
			if w := c.run(t, 0); w.fail != "" {
				w.dump()
				t.Errorf("%s\n%s", w.fail, w.traceText())
			}
		})
	}
}

func peerCases() []scenario {
	pref := directed(2, 1)
	pref.preferred = true

	return []scenario{
		{name: "CloudNativePG 11114: switchover to a replica that lags", o: directed(3, 1), script: func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			w.link[0][2] = false // C receives nothing more, and nobody notices
			w.run(w.now + time.Second)
			w.tell(w.node("A"), Switchover{Request: "user", Target: w.node("C").disk.Member})
			w.must(t, "a new primary", 10*time.Second, func() bool { return w.openT == 2 })
			if w.rec.Primary.Name != "B" {
				t.Errorf("primary is %s, want B, the only one with everything", w.rec.Primary.Name)
			}
			w.mend()
			w.writable(5 * time.Second)
		}},
		{name: "CloudNativePG 11293: the target falls behind while the old primary shuts down", o: directed(3, 1), script: func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			c := w.node("C")
			w.tell(w.node("A"), Switchover{Request: "user", Target: c.disk.Member})
			w.must(t, "the shutdown", 5*time.Second, func() bool { return w.node("A").mode == pgShutting })
			w.link[0][2] = false
			c.upstream = -1
			w.must(t, "a new primary", 12*time.Second, func() bool { return w.openT == 2 })
			if w.rec.Primary.Name != "B" {
				t.Errorf("primary is %s, want B", w.rec.Primary.Name)
			}
			w.mend()
			w.writable(5 * time.Second)
		}},
		{name: "CloudNativePG 8790: two nodes, preferred, failing in turn", o: pref, script: func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			for i := range 12 {
				down, up := w.nodes[i%2], w.nodes[(i+1)%2]
				down.crash("crashes")
				w.must(t, "the other one serving alone", 25*time.Second, func() bool { return up.admitted && up.ckpt.Acks == 0 })
				w.writable(5 * time.Second)
				up.senderDelay = time.Duration(i%3) * 700 * ms
				up.ckptDelay = time.Duration(i%4) * 500 * ms
				down.start()
				w.run(w.now + time.Duration(200+i*137)*ms) // not always armed again before the next failure
				if i%2 == 0 {
					w.must(t, "being armed again", 25*time.Second, func() bool { return w.rec.Acks == 1 })
				}
				w.must(t, "a safe moment", 25*time.Second, func() bool { return w.rec.Acks == 1 || w.rec.Primary.Name == up.name })
				if w.rec.Acks == 0 { // only the primary may lead: wait, as the next failure is the primary's
					w.must(t, "being armed again", 25*time.Second, func() bool { return w.rec.Acks == 1 })
				}
			}
		}},
		{name: "CloudNativePG 10591: the old primary's walsender lives on and keeps its connections", o: directed(3, 1), script: func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			a := w.node("A")
			a.pidStop = w.now + time.Hour // PID 1 and its watchdog are gone with the disk; the walsender is not
			a.killBy = 0
			from := w.now
			w.staleOK = true
			w.must(t, "a new primary", 15*time.Second, func() bool { return w.openT == 2 })
			if d := w.now - from; d > 8*time.Second {
				t.Errorf("failover took %v", d)
			}
			if a.mode != pgPrimary {
				t.Error("the old primary should have been alive all the time")
			}
			w.writable(3 * time.Second)
		}},
		{name: "CloudNativePG 1688: a promotion that was asked for long ago", o: directed(3, 1), script: func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			b := w.node("B")
			w.tell(w.node("A"), Switchover{Request: "user", Target: b.disk.Member})
			w.must(t, "B being named", 5*time.Second, func() bool { return w.rec.Pending != nil && w.rec.Pending.Candidate.Name == "B" })
			b.pidStop = w.now + 25*time.Second
			w.must(t, "another primary", 25*time.Second, func() bool { return w.openT >= 3 })
			w.writable(3 * time.Second)
			w.run(w.now + 15*time.Second)
			if b.admitted || b.mode == pgPrimary {
				t.Error("the late candidate is read-write")
			}
			w.writable(3 * time.Second)
		}},
		{name: "stolon 783: a standby that stopped streaming long ago is not promoted", o: directed(3, 1), script: func(t *testing.T, w *world) {
			t.Helper()
			w.steady(t)
			c := w.node("C")
			w.link[0][2] = false
			c.upstream, c.follow = -1, -1
			c.st.FollowAt = c.st.Now + time.Hour // and nothing repairs it
			w.run(w.now + 20*time.Second)
			w.node("A").crash("crashes")
			w.node("B").crash("crashes")
			w.mend()
			w.run(w.now + 40*time.Second)
			if c.admitted || w.openT != 1 {
				t.Fatalf("the outdated standby leads: %v", w.rec)
			}
			w.node("B").start()
			w.writable(15 * time.Second)
			if w.rec.Primary.Name != "B" {
				t.Errorf("primary is %s, want B", w.rec.Primary.Name)
			}
		}},
	}
}
