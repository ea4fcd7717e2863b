package ha

import "time"

// faults schedules random faults until healing.
func (w *world) faults() {
	var next func()
	next = func() {
		if w.healed || w.o.directed {
			return
		}
		w.at(w.between(500*ms, 5*time.Second), next)
		w.fault()
	}
	w.at(w.between(1*time.Second, 4*time.Second), next)
}

func (w *world) victim() *node {
	if w.rnd.IntN(2) == 0 {
		for _, n := range w.nodes {
			if n.mode == pgPrimary {
				return n
			}
		}
	}

	return w.nodes[w.rnd.IntN(len(w.nodes))]
}

func (w *world) fault() {
	n := w.victim()
	if w.o.refuse && w.rnd.IntN(6) == 0 {
		n.refuses = w.now + w.between(0, 10*time.Second)
		w.tracef("%s lets no standby connect", n.name)
		return
	}
	switch w.rnd.IntN(21) {
	case 0, 1, 2:
		n.crash("crashes")
		if w.rnd.IntN(3) > 0 {
			w.at(w.between(200*ms, 8*time.Second), func() { n.start() })
		}
	case 3, 4:
		w.postgresDies(n)
	case 5:
		if w.o.freeze {
			w.freeze(n)
		}
	case 6:
		w.isolate(n)
	case 7:
		w.cutLink()
	case 8:
		w.tracef("%s loses the API", n.name)
		w.apiTo[n.id] = false
	case 9:
		w.tracef("API down")
		w.apiUp = false
		w.at(w.between(500*ms, 15*time.Second), func() { w.apiUp = true; w.tracef("API up") })
	case 10, 11, 12:
		w.mend()
	case 13:
		for _, m := range w.nodes {
			m.start()
		}
	case 14, 15:
		w.switchover()
	case 16:
		w.force(n)
	case 17:
		if w.o.loss {
			w.loseVolume(n)
		}
	case 18:
		w.orderlyStop(n)
	case 19:
		w.varyAcks()
		w.varyPromise()
	case 20:
		if w.o.missing && w.rec != nil && w.rec.Pending == nil {
			w.tracef("the record is deleted")
			w.old, w.rec = append(w.old, w.rec), nil
		}
	}
}

// varyPromise is another: each instance knows at another time, and some only after a restart.
func (w *world) varyPromise() {
	if len(w.o.promises) == 0 {
		return
	}
	w.promise = w.o.promises[w.rnd.IntN(len(w.o.promises))]
	w.tracef("the spec asks for promises of %v", w.promise)
	for _, n := range w.nodes {
		inc, wanted := n.inc(), w.promise
		w.at(w.between(10*ms, 6*time.Second), func() {
			n.whenThawed(inc, func() {
				n.promise = wanted
				n.event(Configured{Settings: n.settings()})
			})
		})
	}
}

// varyAcks is a change of the spec; it reaches the instances one after the other.
func (w *world) varyAcks() {
	if len(w.o.vary) == 0 {
		return
	}
	w.acks = w.o.vary[w.rnd.IntN(len(w.o.vary))]
	w.tracef("W is to be %d", w.acks)
	for _, n := range w.nodes {
		inc := n.inc()
		w.at(w.between(10*ms, 3*time.Second), func() { n.whenThawed(inc, func() { n.event(Configured{Settings: n.settings()}) }) })
	}
}

func (w *world) postgresDies(n *node) {
	if n.mode != pgPrimary && n.mode != pgStandby || !n.alive {
		return
	}
	w.dies(n)
	if w.rnd.IntN(3) == 0 {
		n.pgBroken = w.now + w.between(0, 6*time.Second)
	}
}

func (w *world) dies(n *node) {
	w.tracef("%s postgres dies", n.name)
	n.kill()
	if !n.st.Phase.is(Fencing, Stopping) { // who ends it on purpose is told how it ended
		n.lastOp = 0
	}
	n.whenThawed(n.inc(), func() { n.event(Exited{}) })
}

func (w *world) freeze(n *node) {
	d := w.between(200*ms, 9*time.Second)
	if w.rnd.IntN(2) == 0 {
		w.tracef("%s PID 1 stops for %v", n.name, d)
		n.pidStop = w.now + d
		return
	}
	w.tracef("%s freezes for %v", n.name, d)
	w.stats.frozen++
	n.frozen = w.now + d
	n.thawed = n.frozen
	if w.rnd.IntN(3) == 0 { // the guest's clock stands still too: no timer can help, and reads may be stale
		n.off -= time.Duration(float64(d) * n.rate)
		w.staleOK = true
	}
}

func (w *world) isolate(n *node) {
	w.tracef("%s is cut off from its peers", n.name)
	for _, m := range w.nodes {
		if m != n {
			w.link[n.id][m.id], w.link[m.id][n.id] = false, false
		}
	}
}

func (w *world) cutLink() {
	i, j := w.rnd.IntN(w.o.n), w.rnd.IntN(w.o.n)
	if i == j {
		return
	}
	w.tracef("link %s->%s cut", w.nodes[i].name, w.nodes[j].name)
	w.link[i][j] = false
	if w.rnd.IntN(2) == 0 {
		w.link[j][i] = false
	}
}

func (w *world) mend() {
	w.tracef("network and API mended")
	w.apiUp = true
	for i := range w.nodes {
		w.apiTo[i] = true
		for j := range w.nodes {
			w.link[i][j] = true
		}
	}
}

func (w *world) switchover() {
	for _, m := range w.nodes {
		if m.admitted {
			w.tracef("switchover asked of %s", m.name)
			in := Switchover{Request: "user"}
			if t := w.nodes[w.rnd.IntN(w.o.n)]; t != m && w.rnd.IntN(2) == 0 {
				in.Target = t.disk.Member
			}
			m.whenThawed(m.inc(), func() { m.event(in) })
		}
	}
}

func (w *world) force(n *node) {
	if n.mode == pgPrimary {
		w.tracef("%s hands over", n.name)
		n.whenThawed(n.inc(), func() { n.event(HandOver{Reason: "sick"}) })
		return
	}
	w.tracef("%s is told to force a term", n.name)
	n.whenThawed(n.inc(), func() { n.event(ForceTerm{Reason: "test"}) })
}

func (w *world) orderlyStop(n *node) {
	if !n.alive {
		return
	}
	w.tracef("%s is stopped in an orderly way", n.name)
	n.whenThawed(n.inc(), func() { n.event(Shutdown{}) })
	d := w.between(2*time.Second, 8*time.Second)
	w.at(d, func() {
		n.crash("is killed after its grace time")
		w.at(w.between(200*ms, 3*time.Second), func() { n.start() })
	})
}

// loseVolume only where the rest has no loss already: W volumes may go, not more.
func (w *world) loseVolume(n *node) {
	if w.rec == nil || w.rec.Pending != nil || w.rec.Acks == 0 || !w.rec.isMember(n.disk.Member) {
		return
	}
	for _, m := range w.nodes {
		if m.disk.Dirty || m.disk.Empty || !w.rec.isMember(m.disk.Member) {
			return
		}
	}
	if n.mode == pgStandby && w.rnd.IntN(3) == 0 {
		w.tracef("%s can no longer stream: the WAL is gone", n.name)
		n.whenThawed(n.inc(), func() { n.event(Broken{Reason: "test"}) })
		return
	}
	n.loseVolume()
	w.at(w.between(500*ms, 5*time.Second), func() { n.start() })
}

// heal ends all faults; the clocks go on drifting, messages get lost now and then.
func (w *world) heal() {
	w.healed = true
	w.tracef("all faults end")
	if w.rec == nil { // nobody made it again: a person does, with the newest that is known
		w.tracef("a person makes the record again")
		w.rec = w.old[len(w.old)-1].Clone()
		w.version++
	}
	w.mend()
	for _, n := range w.nodes {
		n.pgBroken, n.refuses = 0, 0
		if n.frozen > w.now || n.pidStop > w.now {
			n.crash("is restarted")
		}
		n.start()
	}
}
