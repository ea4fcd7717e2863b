package ha

import (
	"slices"
	"time"
)

// pos is a place in the tree of logs: a branch, and a position on it (an LSN).
type pos struct {
	b int
	p uint64
}

// branch is a timeline's part of a log. Two branches may have the same timeline ID only if a guard is gone.
type branch struct {
	parent int
	fork   uint64
	tl     uint32
	hist   []Switch
}

// anc tells whether the log that ends at x holds a.
func (w *world) anc(a, x pos) bool {
	for {
		if a.b == x.b {
			return a.p <= x.p
		}
		b := w.br[x.b]
		if b.parent < 0 {
			return false
		}
		x = pos{b.parent, b.fork}
	}
}

// common is the end of what two logs share.
func (w *world) common(a, x pos) pos {
	for !w.anc(a, x) {
		for y := x; ; y = (pos{w.br[y.b].parent, w.br[y.b].fork}) {
			if y.b == a.b {
				return pos{a.b, min(a.p, y.p)}
			}
			if w.br[y.b].parent < 0 {
				break
			}
		}
		if w.br[a.b].parent < 0 {
			return pos{0, 0}
		}
		a = pos{w.br[a.b].parent, w.br[a.b].fork}
	}

	return a
}

func (w *world) tipOf(x pos) Tip {
	return Tip{Timeline: w.br[x.b].tl, LSN: x.p, History: w.br[x.b].hist}
}

type pgMode int

const (
	pgOff pgMode = iota
	pgStandby
	pgPrimary
	pgShutting // shut down, its walsenders send the last record
)

func (m pgMode) String() string { return [...]string{"off", "standby", "primary", "shutting"}[m] }

// walsender is the upstream's process for one standby, with the setting that it has loaded.
type walsender struct {
	conn   int
	member MemberID
	has    bool
	known  pos
	sync   Sync
	gen    uint64
}

// server is the model of PostgreSQL on a node.
type server struct {
	mode     pgMode
	pgInc    int
	term     uint64 // that PID 1 has it lead, for the checker
	closed   bool
	admitted bool
	tip      pos // inserted (primary) or flushed (standby)
	flushed  pos
	// standby
	follow, upstream int
	// changes of the upstream's setting.
	changes int
	conn    int
	// primary
	sync    Sync // the postmaster's
	gen     uint64
	ckpt    Sync
	ckptGen uint64
	senders [8]walsender
	visible pos
	conns   int
}

// learn tells the protocol whose data these are, as every start of PostgreSQL does before it: a volume that was empty may
// have been filled since PID 1 started.
func (n *node) learn() {
	n.later(1*ms, 20*ms, func() {
		n.systemID = "1"
		n.event(Configured{Settings: n.settings()})
	})
}

func (n *node) startServer(mode pgMode, s Sync, gen uint64) {
	n.pgInc++
	n.mode = mode
	n.follow, n.upstream = -1, -1
	n.sync, n.gen, n.ckpt, n.ckptGen = s, gen, s, gen
	n.senders = [8]walsender{}
	n.closed, n.admitted = true, false
}

// kill ends all processes: what was not flushed is lost.
func (n *node) kill() {
	if n.mode == pgOff {
		return
	}
	n.tip = n.flushed
	n.mode, n.admitted = pgOff, false
	n.pgStop = 0
	n.pgInc++
	n.upstream, n.follow, n.hung = -1, -1, false
	n.senders = [8]walsender{}
	for _, v := range n.w.nodes {
		if v.upstream == n.id && n.w.link[n.id][v.id] {
			v.upstream = -1 // who is cut off notices later
		}
	}
}

// reload is asynchronous in every process.
func (n *node) reload(s Sync, gen uint64) {
	n.sync, n.gen = s, gen
	inc := n.pgInc
	w := n.w
	for i := range n.senders {
		if n.senders[i].conn != 0 {
			conn := n.senders[i].conn
			w.at(w.between(5*ms, 600*ms)+n.senderDelay, func() {
				if x := &n.senders[i]; n.pgInc == inc && x.conn == conn && x.gen < gen {
					x.sync, x.gen = s, gen
				}
			})
		}
	}
	w.at(w.between(5*ms, 600*ms)+n.ckptDelay, func() {
		if n.pgInc == inc && n.ckptGen < gen {
			n.ckpt, n.ckptGen = s, gen
			if s.Acks == 0 && n.mode == pgPrimary {
				n.acknowledge(n.flushed) // whoever waited is released
			}
		}
	})
}

// promoteServer ends recovery on a new branch.
func (n *node) promoteServer(tl uint32) {
	w := n.w
	parent := w.br[n.tip.b]
	if tl == 0 {
		tl = parent.tl + 1
		for _, h := range parent.hist {
			tl = max(tl, h.Timeline+1)
		}
	}
	hist := append(slices.Clone(parent.hist), Switch{Timeline: parent.tl, End: n.tip.p})
	w.br = append(w.br, branch{parent: n.tip.b, fork: n.tip.p, tl: tl, hist: hist})
	n.tip = pos{len(w.br) - 1, n.tip.p + 1}
	n.flushed = n.tip
	n.pgInc++
	n.mode, n.follow, n.upstream = pgPrimary, -1, -1
	n.senders = [8]walsender{}
	n.ckpt, n.ckptGen = n.sync, n.gen
}

// insert WAL; it is flushed a little later.
func (n *node) insert() {
	n.tip.p++
	x, inc := n.tip, n.pgInc
	n.w.at(n.w.between(1*ms, 30*ms), func() {
		if n.pgInc == inc && n.mode == pgPrimary && n.w.anc(n.flushed, x) && n.frozen <= n.w.now {
			n.flushed = x
			if n.ckpt.Acks == 0 {
				n.acknowledge(x)
			}
		}
	})
}

// connect as PostgreSQL does: by timeline and LSN, all that it can see.
func (n *node) connect() {
	w := n.w
	u := w.nodes[n.follow]
	if u.mode != pgPrimary || u.frozen > w.now || u.hung || u.refuses > w.now || !w.link[n.id][u.id] || !w.link[u.id][n.id] {
		return
	}
	mine, theirs := w.tipOf(n.tip), w.tipOf(u.flushed)
	if !theirs.contains(mine.Timeline, mine.LSN) {
		return // "requested timeline is not in this server's history"
	}
	if !w.anc(n.tip, u.tip) {
		w.failf("silent divergence: %s follows %s on timeline %d", n.name, u.name, mine.Timeline)
		return
	}
	w.seq++
	u.conns++
	n.upstream, n.conn = u.id, w.seq
	u.senders[n.id] = walsender{conn: w.seq, member: n.disk.Member, sync: u.sync, gen: u.gen}
}

// stream is the life of the walreceiver.
func (n *node) stream() {
	w := n.w
	if n.mode != pgStandby || n.frozen > w.now || n.follow < 0 {
		return
	}
	if n.upstream < 0 {
		n.connect()
		return
	}
	u := w.nodes[n.upstream]
	if !w.link[u.id][n.id] {
		if w.chance(20) {
			n.upstream = -1
		}
		return
	}
	if u.mode != pgPrimary && u.mode != pgShutting || u.senders[n.id].conn != n.conn {
		n.upstream = -1
		return
	}
	if u.frozen > w.now || !w.anc(n.tip, u.flushed) || w.chance(10) {
		return
	}
	x, conn, inc := u.flushed, n.conn, n.pgInc
	w.at(w.between(1*ms, 40*ms), func() {
		if n.pgInc != inc || n.conn != conn || n.upstream != u.id || n.frozen > w.now || !w.anc(n.tip, x) {
			return
		}
		n.tip, n.flushed = x, x
		if !w.link[n.id][u.id] {
			return
		}
		d := w.between(1*ms, 40*ms)
		if w.chance(20) {
			d += w.between(0, 3*time.Second) // an acknowledgement that is long under way
		}
		w.at(d, func() { u.acked(n.id, conn, x) })
	})
}

func (n *node) acked(from, conn int, x pos) {
	w := n.w
	if n.mode != pgPrimary && n.mode != pgShutting || n.senders[from].conn != conn {
		return
	}
	if until := max(n.frozen, n.pgStop); until > w.now {
		w.at(until-w.now, func() { n.acked(from, conn, x) })
		return
	}
	s := &n.senders[from]
	if !s.has || w.anc(s.known, x) {
		s.known, s.has = x, true
	}
	n.release(from)
}

// release is SyncRepReleaseWaiters as the walsender of v runs it, with its own idea of the setting.
func (n *node) release(v int) {
	me := &n.senders[v]
	if n.mode != pgPrimary || me.sync.Acks == 0 || !slices.Contains(me.sync.Voters, me.member) {
		return
	}
	best := pos{-1, 0}
	for a := range n.senders {
		x := &n.senders[a]
		if !x.has || !slices.Contains(x.sync.Voters, x.member) {
			continue
		}
		k := 0
		for b := range n.senders {
			y := &n.senders[b]
			if y.has && slices.Contains(y.sync.Voters, y.member) && n.w.anc(x.known, y.known) {
				k++
			}
		}
		if k >= me.sync.Acks && x.known.p > best.p {
			best = x.known
		}
	}
	if best.b >= 0 {
		n.acknowledge(best)
	}
}

// acknowledge tells the clients, if there are any.
func (n *node) acknowledge(x pos) {
	w := n.w
	if !n.admitted && n.closed {
		return
	}
	if !n.admitted && x.b != n.tip.b {
		return // leaked sessions only wait for what they wrote
	}
	if w.anc(x, n.visible) {
		return
	}
	n.visible = x
	w.expose(n, x)
	w.stats.acks++
	if n.term >= w.openT && n.admitted {
		if w.lastAck > 0 {
			w.maxGap = max(w.maxGap, w.now-w.lastAck)
		}
		w.lastAck = w.now
		if w.healed && w.ackAt == 0 {
			w.ackAt = w.now
		}
	}
}

// What clients saw.

func (w *world) expose(n *node, x pos) {
	for y := x; ; {
		if w.exposed[y.b] < y.p {
			w.exposed[y.b] = y.p
		}
		if w.br[y.b].parent < 0 {
			break
		}
		y = pos{w.br[y.b].parent, w.br[y.b].fork}
	}
	if w.lossy() {
		return
	}
	if n.term < w.estTerm && !w.anc(x, w.estPos) {
		w.failf("S1: %s (term %d) acknowledged or showed %v, which term %d lacks", n.name, n.term, x, w.estTerm)
	}
}

// lossy: asynchronous replication promises less.
func (w *world) lossy() bool { return w.o.acks == 0 || slices.Contains(w.o.vary, 0) }

func (w *world) opened(n *node) {
	w.tracef("%s opens in term %d at %v", n.name, n.term, n.tip)
	w.stats.opened++
	if !w.lossy() && n.term >= w.estTerm {
		for b, p := range w.exposed {
			if !w.anc(pos{b, p}, n.tip) {
				w.failf("S1: %s opens term %d without %v, which a client was told of or could read", n.name, n.term, pos{b, p})
			}
		}
	}
	for _, o := range w.nodes {
		if o != n && o.admitted && o.term == n.term {
			w.failf("S3: %s and %s are both open in term %d", n.name, o.name, n.term)
		}
	}
	if n.term > w.estTerm {
		w.estTerm, w.estPos = n.term, n.tip
	}
	w.openT = max(w.openT, n.term)
}

// copies: what a client was told of has an intact copy somewhere.
func (w *world) copies() {
	if w.lossy() {
		return
	}
	for b, p := range w.exposed {
		ok := slices.ContainsFunc(w.nodes, func(n *node) bool {
			return !n.disk.Dirty && !n.disk.Empty && w.anc(pos{b, p}, n.flushed)
		})
		if !ok {
			w.failf("S4: no intact copy is left of %v", pos{b, p})
			return
		}
	}
}

// client of a node: it writes, and looks for reads that are out of date.
func (n *node) client() {
	w := n.w
	if n.mode != pgPrimary || max(n.frozen, n.pgStop) > w.now || n.closed && !n.admitted {
		return
	}
	if n.admitted && n.term < w.openT && !w.staleOK && w.now > n.thawed+400*ms {
		w.failf("S2: %s still serves term %d while term %d is open", n.name, n.term, w.openT)
	}
	n.insert()
}
