package ha

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

// The simulator: instances that run the state machine, on a model of PostgreSQL, a network, an API server and clocks
// that all misbehave, from one seed. A failing seed prints its trace.

const ms = time.Millisecond

// opt is a configuration of the simulated cluster.
type opt struct {
	name      string
	n, acks   int
	preferred bool
	freeze    bool            // pauses of nodes and of PID 1, with clocks that stand still
	loss      bool            // volumes are lost and made anew
	vary      []int           // the user changes W to one of these
	promises  []time.Duration // the user changes the length of promises to one of these
	missing   bool            // the record is deleted
	fault     time.Duration
	writable  time.Duration // after the last fault
	heal      time.Duration // until all have rejoined
	off       guard
	directed  bool // no random faults, delays or losses
	trace     bool
	noLive    bool          // do not check liveness
	voters    int           // so many in the first rule; 0 for all, -1 for none
	establish time.Duration // other bounds than the product's
	deaths    int
	refuse    bool          // now and then no standby can connect
	beat      time.Duration // another interval of heartbeats than the product's; promises are four of them
}

type item struct {
	at time.Duration
	n  int
	f  func()
}

type queue []item

func (q *queue) Len() int { return len(*q) }
func (q *queue) Less(i, j int) bool {
	a, b := (*q)[i], (*q)[j]

	return a.at < b.at || a.at == b.at && a.n < b.n
}
func (q *queue) Swap(i, j int) { (*q)[i], (*q)[j] = (*q)[j], (*q)[i] }
func (q *queue) Push(x any)    { *q = append(*q, x.(item)) }
func (q *queue) Pop() any {
	o := *q
	x := o[len(o)-1]
	o[len(o)-1] = item{}
	*q = o[:len(o)-1]

	return x
}

type stats struct {
	opened, switchovers, degraded, changes, inPlace, rewinds, clones, fences, lost, frozen, unrecoverable int
	acks, gaveUp, dying                                                                                   int
}

type world struct {
	o     opt
	rnd   *rand.Rand
	now   time.Duration
	q     queue
	seq   int
	nodes []*node
	fail  string
	log   []string
	stats stats

	// network
	link [8][8]bool
	hold func(from, to *node, m Message) bool // directed scenarios drop messages

	// API
	rec     *Record
	version int
	old     []*Record
	apiUp   bool
	apiTo   [8]bool
	holdCAS func(n *node, a CompareAndSwap) time.Duration
	written func(n *node, a CompareAndSwap) // after a write was applied

	// logs and the history of clients
	br       []branch
	exposed  map[int]uint64 // branch -> highest position that a client was told of or could read
	estTerm  uint64
	estPos   pos
	openT    uint64
	staleOK  bool
	healed   bool
	joinedAt time.Duration
	ackAt    time.Duration // first acknowledgement after healing
	lastAck  time.Duration
	maxGap   time.Duration
	runs     uint64
	reads    int
	swaps    int
	refuse   bool // every write of the record is refused at once, and reads work
	acks     int  // that the user wants
	promise  time.Duration
}

func newWorld(o opt, seed uint64) *world {
	h := fnv.New64a()
	_, _ = h.Write([]byte(o.name))
	w := &world{o: o, rnd: rand.New(rand.NewPCG(seed, h.Sum64())) /* #nosec G404 -- repeatable */, apiUp: true, exposed: map[int]uint64{}, acks: o.acks, promise: DefaultTiming().Promise}
	if o.beat != 0 {
		w.promise = 4 * o.beat
	}
	w.br = []branch{{parent: -1, tl: 1}}
	for i := range o.n {
		w.apiTo[i] = true
		for j := range o.n {
			w.link[i][j] = true
		}
	}
	w.bootstrap()

	return w
}

// bootstrap is a cluster that has run for a while.
func (w *world) bootstrap() {
	r := &Record{SystemID: "1", Rule: Rule{Term: 1, Timeline: 1, Acks: w.o.acks}}
	for i := range w.o.n {
		n := &node{w: w, id: i, name: string(rune('A' + i)), rate: 1, off: time.Duration(100+i) * time.Second, volGen: 1, promise: w.promise}
		if !w.o.directed {
			n.rate = 1 + (w.rnd.Float64()-0.5)*0.08
			n.off = time.Duration(w.rnd.IntN(1000)+100) * time.Second
		}
		n.disk = Disk{Member: n.memberID(), Pledged: 1}
		n.tip = pos{0, 1}
		n.flushed = n.tip
		n.upstream = -1
		w.nodes = append(w.nodes, n)
		if i > 0 && (w.o.voters == 0 || i <= w.o.voters) {
			r.Voters = with(r.Voters, n.disk.Member)
		}
	}
	if len(r.Voters) == 0 { // a single instance, or one that is not armed yet
		r.Acks = 0
	}
	a := w.nodes[0]
	r.Primary = Holder{Member: a.disk.Member, Name: a.name}
	a.disk.Led, a.disk.Established, a.disk.Opened, a.disk.Sync = 1, 1, 1, r.sync()
	w.rec, w.version = r, 1
	w.estTerm, w.estPos, w.openT = 1, a.tip, 1
	for _, n := range w.nodes {
		n.start()
		n.loop()
	}
}

func (w *world) tracef(format string, args ...any) {
	if w.o.trace {
		w.log = append(w.log, fmt.Sprintf("%8.3f ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

func (w *world) failf(format string, args ...any) {
	if w.fail == "" {
		w.fail = fmt.Sprintf("t=%.3fs ", w.now.Seconds()) + fmt.Sprintf(format, args...)
		w.tracef("VIOLATION %s", w.fail)
	}
}

func (w *world) at(d time.Duration, f func()) {
	w.seq++
	heap.Push(&w.q, item{w.now + d, w.seq, f})
}

func (w *world) between(a, b time.Duration) time.Duration {
	if w.o.directed {
		return (a + b) / 2
	}

	return a + time.Duration(w.rnd.Int64N(int64(b-a)+1))
}

func (w *world) chance(n int) bool { return !w.o.directed && w.rnd.IntN(n) == 0 }

// run until a time, or a violation.
func (w *world) run(until time.Duration) {
	for w.fail == "" && len(w.q) > 0 && w.q[0].at <= until {
		it := heap.Pop(&w.q).(item)
		w.now = it.at
		it.f()
	}
	if w.fail == "" {
		w.now = max(w.now, until)
	}
}

// simulate one seed: faults, then healing, then a writable primary within the bound that has everything.
func simulate(o opt, seed uint64) *world {
	w := newWorld(o, seed)
	w.faults()
	w.run(o.fault)
	if w.fail != "" {
		return w
	}
	w.heal()
	end := w.now + o.heal
	for w.fail == "" && w.now < end && (w.ackAt == 0 || !w.joined()) {
		w.run(w.now + 250*ms)
	}
	switch {
	case w.fail != "" || o.noLive:
	case w.ackAt == 0 && !w.recoverable():
		w.stats.unrecoverable++
	case w.ackAt == 0 || w.ackAt > o.fault+o.writable:
		w.failf("L: nothing acknowledged %v after the last fault", o.writable)
		w.dump()
	case !w.joined():
		w.failf("J: not all have rejoined %v after the last fault", o.heal)
		w.dump()
	default:
		w.joinedAt = w.now
	}

	return w
}

// joined: everybody streams from the one primary, and is counted by it as the spec says.
func (w *world) joined() bool {
	if w.rec == nil || w.rec.Pending != nil || w.rec.Acks != min(w.acks, w.o.n-1) || len(w.rec.Voters) != w.o.n-1 {
		return false
	}
	p := w.find(w.rec.Primary.Name)
	for _, n := range w.nodes {
		if n.primary != (n == p) || n == p && !n.admitted || n != p && n.upstream != p.id {
			return false
		}
	}

	return true
}

func (w *world) find(name string) *node {
	for _, u := range w.nodes {
		if u.name == name {
			return u
		}
	}

	return nil
}

func (w *world) dump() {
	w.tracef("record v%d %v", w.version, w.rec)
	for _, n := range w.nodes {
		w.tracef("%s alive=%v pg=%v tip=%v tl%d disk=%+v", n.name, n.alive, n.mode, n.tip, w.br[n.tip.b].tl, n.disk)
		s := n.st
		w.tracef("  follow %d upstream %d following %d/%v saves %d/%d/%d broken %v leader tip %+v", n.follow, n.upstream, s.Following, s.FollowAt, s.SaveN, s.SavedN, s.AdoptN, s.Broken, s.Leader.Tip)
		w.tracef("  %v since %v op=%v leader=%v/%d heard %v ago pledge=%+v lead=%+v swap=%+v view at %v ago %v obs=%+v", s.Phase,
			s.Now-s.Entered, s.Op, s.Leader.ID, s.Leader.Term, s.Now-s.Leader.Heard, s.Pledge, s.Lead, s.Swap,
			s.Now-s.View.At, s.View.Record, s.Obs)
	}
}

// recoverable tells whether enough of the members that the record names still have their data.
func (w *world) recoverable() bool {
	has := func(id MemberID) bool {
		for _, n := range w.nodes {
			if n.disk.Member == id && !n.disk.Dirty && !n.disk.Empty && n.alive {
				return true
			}
		}

		return false
	}
	if w.rec == nil {
		return false
	}
	members := 0
	for _, v := range w.rec.Voters {
		if has(v) {
			members++
		}
	}
	if has(w.rec.Primary.Member) {
		members++
	}

	return w.rec.covers(has, w.rec.Quorum()) && (w.o.preferred || members > w.rec.Acks)
}

func (w *world) traceText() string { return strings.Join(w.log, "\n") }

// The network.

func (w *world) transmit(a *node, to string, m Message) {
	from := Instance{ID: a.st.Self.ID, Name: a.name}
	for _, b := range w.nodes {
		if b.name != to {
			continue
		}
		if !w.link[a.id][b.id] || w.chance(200) || w.hold != nil && w.hold(a, b, m) {
			return
		}
		w.deliver(b, from, m)
		if w.chance(100) {
			w.deliver(b, from, m)
		}
	}
}

func (w *world) deliver(b *node, from Instance, m Message) {
	d := w.between(1*ms, 20*ms)
	if w.chance(50) {
		d += w.between(0, 1500*ms)
	}
	w.at(d, func() { b.whenThawed(b.inc(), func() { b.event(Received{From: from, Message: m}) }) })
}

// The API server.

func (w *world) canAPI(n *node) bool { return w.apiUp && w.apiTo[n.id] }

// read the record as it is.
func (w *world) read(n *node) {
	w.reads++
	w.answer(n, func() RecordRead {
		return RecordRead{Version: fmt.Sprint(w.version), Record: w.rec.Clone(), Live: true}
	})
}

// watch brings some state of the past.
func (w *world) watch(n *node) {
	w.answer(n, func() RecordRead { return RecordRead{Record: w.old[w.rnd.IntN(len(w.old))].Clone()} })
}

func (w *world) answer(n *node, get func() RecordRead) {
	sent, inc := n.clock(), n.inc()
	fails := func() {
		w.at(w.between(100*ms, 900*ms), func() { n.whenThawed(inc, func() { n.event(RecordFailed{}) }) })
	}
	if !w.canAPI(n) {
		fails()
		return
	}
	w.at(w.between(2*ms, 25*ms), func() {
		if !w.canAPI(n) {
			fails()
			return
		}
		in := get()
		in.Sent = sent
		w.at(w.between(2*ms, 25*ms), func() {
			if w.canAPI(n) {
				n.whenThawed(inc, func() { n.event(in) })
			} else {
				fails()
			}
		})
	})
}

func (w *world) swap(n *node, a CompareAndSwap) {
	inc := n.inc()
	answered := false
	answer := func(o Outcome, v string) {
		if !answered {
			answered = true
			n.whenThawed(inc, func() { n.event(Swapped{ID: a.ID, Outcome: o, Version: v}) })
		}
	}
	w.swaps++
	if w.refuse {
		w.at(4*ms, func() { answer(Unknown, "") })
		return
	}
	w.at(time.Second, func() { answer(Unknown, "") })
	if !w.canAPI(n) {
		return
	}
	d := w.between(2*ms, 30*ms)
	if w.chance(40) {
		d += w.between(0, 5*time.Second) // long on its way, also past the caller's patience
	}
	if w.holdCAS != nil {
		d += w.holdCAS(n, a)
	}
	w.at(d, func() {
		if !w.canAPI(n) {
			return
		}
		out, v := Conflict, ""
		if w.rec == nil && a.Expect == "" || w.rec != nil && a.Expect == fmt.Sprint(w.version) {
			w.write(n, a)
			out, v = Applied, fmt.Sprint(w.version)
			if w.written != nil {
				w.written(n, a)
			}
		}
		if w.chance(30) {
			return // the answer is lost
		}
		w.at(w.between(2*ms, 30*ms), func() {
			if w.canAPI(n) {
				answer(out, v)
			}
		})
	})
}

func (w *world) write(n *node, a CompareAndSwap) {
	if w.rec != nil {
		w.old = append(w.old, w.rec)
		if a.Record.Seq <= w.rec.Seq || a.Record.Term < w.rec.Term || a.Record.MaxTerm() < w.rec.MaxTerm() && a.Record.Term != w.rec.MaxTerm() {
			w.failf("record: terms went back: %v over %v", a.Record, w.rec)
		}
		if a.Record.Term > w.rec.Term && len(a.Record.Voters) == 0 && w.o.preferred || w.rec.Acks > 0 && a.Record.Acks == 0 {
			w.stats.degraded++
		}
		if a.Record.Term == w.rec.Term && a.Record.Pending == nil {
			w.stats.changes++
		}
		if a.Record.Pending != nil && a.Record.Pending.MinLSN > 0 && a.Record.Pending.Candidate.ID == "" {
			w.stats.switchovers++
		}
	}
	if p := a.Record.Pending; p != nil && p.Request == RequestDying && w.rec != nil && w.rec.Pending == nil {
		w.stats.dying++
	}
	w.rec = a.Record.Clone()
	w.version++
	w.tracef("%s record v%d (%s): %v", n.name, w.version, a.Why, w.rec)
	for _, m := range w.nodes {
		if w.chance(4) && len(w.old) > 0 {
			w.watch(m)
		}
	}
}
