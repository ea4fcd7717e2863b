package ha

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

const sec = time.Second

func voter() State {
	set := Settings{Peers: []string{"a", "c"}, Acks: 1, SystemID: "1", Timing: DefaultTiming()}
	s := New(Instance{ID: "B", Name: "b"}, "uid-b", 1, Disk{Member: "B", Pledged: 3, Promised: set.Timing.Promise}, set, 100*sec)
	s.Phase, s.Entered = Standby, 100*sec
	s.Obs = Observed{Asked: 100 * sec, Tip: Tip{Timeline: 3, LSN: 50}}
	s.ObsAt = 100 * sec

	return s
}

func rec(pending *Pending) *Record {
	return &Record{SystemID: "1", Rule: Rule{
		Term: 3, Primary: Holder{Member: "A", Name: "a"}, Timeline: 3, Voters: []MemberID{"B", "C"}, Acks: 1,
	}, Pending: pending}
}

// play applies events.
func play(s State, evs ...Event) State {
	for _, e := range evs {
		s, _ = Step(s, e)
	}

	return s
}

func find[A Action](acts []Action) (A, bool) {
	for _, a := range acts {
		if x, ok := a.(A); ok {
			return x, true
		}
	}
	var none A

	return none, false
}

func reply(t *testing.T, acts []Action) HeartbeatReply {
	t.Helper()
	for _, a := range acts {
		if s, ok := a.(Send); ok {
			if r, ok := s.Message.(HeartbeatReply); ok {
				return r
			}
		}
	}
	t.Fatalf("no reply in %v", acts)

	return HeartbeatReply{}
}

func beatOf(term uint64) Received {
	return Received{From: Instance{ID: "A", Name: "a"}, Message: Heartbeat{Term: term, Run: 9, Sent: 7, Tip: Tip{Timeline: 3, LSN: 60}}}
}

func TestHeartbeatIsAnsweredWithAPromise(t *testing.T) {
	pending := RecordRead{Sent: 100 * sec, Version: "2", Record: rec(&Pending{Term: 4, Timeline: 4}), Live: true}
	cases := []struct {
		name    string
		before  []Event
		term    uint64
		promise bool
	}{
		{"its own term", nil, 3, true},
		{"a lower term", nil, 2, false},
		{"a pending term is known", []Event{{100 * sec, pending}}, 3, false},
		{"somebody unknown", nil, 3, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := play(voter(), c.before...)
			_, acts := Step(s, Event{101 * sec, beatOf(c.term)})
			if got := reply(t, acts); got.Promise != c.promise {
				t.Errorf("reply %+v, want promise %v", got, c.promise)
			}
		})
	}
}

func TestHigherTermIsSavedBeforeItIsAnswered(t *testing.T) {
	s, acts := Step(voter(), Event{101 * sec, beatOf(5)})
	sv, ok := find[Save](acts)
	if !ok || sv.Disk.Pledged != 5 {
		t.Fatalf("no Save with the new term: %v", acts)
	}
	for _, a := range acts {
		if _, ok := a.(Send); ok {
			t.Errorf("answered before it is on the disk: %v", a)
		}
		if _, ok := a.(Follow); ok {
			t.Errorf("streams before it is on the disk: %v", a)
		}
	}
	s, _ = Step(s, Event{101100 * ms, Saved{N: sv.N}})
	_, acts = Step(s, Event{101500 * ms, beatOf(5)})
	if !reply(t, acts).Promise {
		t.Error("no promise although it is on the disk")
	}
}

// TestPledge: promise, fsync, stop receiving, replay, and only then a report.
func TestPledge(t *testing.T) {
	pending := func(at time.Duration) Event {
		return Event{at, RecordRead{Sent: at, Version: "2", Record: rec(&Pending{Term: 4, Timeline: 4}), Live: true}}
	}
	reported := func(acts []Action) bool {
		for _, a := range acts {
			if s, ok := a.(Send); ok {
				if _, ok := s.Message.(PledgeReport); ok {
					return true
				}
			}
		}

		return false
	}
	s, _ := Step(voter(), Event{110 * sec, beatOf(3)}) // promises until 113.3
	s, acts := Step(s, pending(112*sec))
	if _, ok := find[Save](acts); ok {
		t.Fatalf("pledges within its promise: %v", acts)
	}
	s, acts = Step(s, pending(113400*ms))
	sv, ok := find[Save](acts)
	if !ok || sv.Disk.Pledged != 4 || reported(acts) {
		t.Fatalf("want Save{Pledged: 4} and no report, got %v", acts)
	}
	s, acts = Step(s, Event{113500 * ms, Saved{N: sv.N}})
	stop, ok := find[StopReceiving](acts)
	if !ok || reported(acts) {
		t.Fatalf("want StopReceiving and no report, got %v", acts)
	}
	s, acts = Step(s, Event{113600 * ms, Done{Op: stop.Op}})
	wait, ok := find[WaitReplayEnd](acts)
	if !ok || reported(acts) {
		t.Fatalf("want WaitReplayEnd and no report, got %v", acts)
	}
	s, acts = Step(s, Event{113700 * ms, Done{Op: wait.Op, Tip: Tip{Timeline: 3, LSN: 61}}})
	if !reported(acts) {
		t.Fatalf("no report: %v", acts)
	}
	_, acts = Step(s, Event{113800 * ms, beatOf(3)})
	if reply(t, acts).Promise {
		t.Error("promises to the term that it has pledged against")
	}
}

// TestNobodySends: a voter does without the time in which a walreceiver might still start only where nobody could send to it.
func TestNobodySends(t *testing.T) {
	for name, tc := range map[string]struct {
		pending Pending
		want    bool
	}{
		"the primary has stopped":         {Pending{Term: 4, Timeline: 4, OldStopped: true}, true},
		"it is only silent":               {Pending{Term: 4, Timeline: 4}, false},
		"a candidate in between may send": {Pending{Term: 5, Timeline: 5, OldStopped: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, acts := Step(voter(), Event{113400 * ms, RecordRead{Sent: 113400 * ms, Version: "2", Record: rec(&tc.pending), Live: true}})
			sv, ok := find[Save](acts)
			if !ok {
				t.Fatalf("no pledge: %v", acts)
			}
			_, acts = Step(s, Event{113500 * ms, Saved{N: sv.N}})
			if stop, ok := find[StopReceiving](acts); !ok || stop.NobodySends != tc.want {
				t.Errorf("%v, want NobodySends %v", acts, tc.want)
			}
		})
	}
}

func TestBootWait(t *testing.T) {
	s := voter()
	s.Boot = 100 * sec
	read := func(at time.Duration) Event {
		return Event{at, RecordRead{Sent: at, Version: "2", Record: rec(&Pending{Term: 4, Timeline: 4}), Live: true}}
	}
	s, acts := Step(s, read(103*sec))
	if _, ok := find[Save](acts); ok {
		t.Fatal("pledges sooner after its start than a promise lasts")
	}
	if _, acts = Step(s, read(103400*ms)); len(acts) == 0 {
		t.Fatal("does not pledge at all")
	}
}

func TestRecordOlderThanVolumeHalts(t *testing.T) {
	old := rec(nil)
	old.Term = 2
	s, acts := Step(voter(), Event{101 * sec, RecordRead{Sent: 101 * sec, Version: "9", Record: old, Live: true}})
	h, ok := find[Halt](acts)
	if !ok || h.Reason != RecordBehind {
		t.Fatalf("want Halt{RecordBehind}, got %v", acts)
	}
	f, ok := find[Fence](acts)
	if !ok {
		t.Fatalf("postgres goes on: %v", acts)
	}
	s, _ = Step(s, Event{102 * sec, Done{Op: f.Op}})
	if s.Phase != Halted {
		t.Fatalf("phase %v", s.Phase)
	}
	s, _ = Step(s, Event{110 * sec, RecordRead{Sent: 110 * sec, Version: "10", Record: rec(nil), Live: true}})
	if s.Phase == Halted {
		t.Error("still halted although the record is right again")
	}
}

func TestStaleReadsAreNoFacts(t *testing.T) {
	s, _ := Step(voter(), Event{101 * sec, RecordRead{Sent: 101 * sec, Version: "5", Record: rec(nil), Live: true}})
	old := rec(nil)
	old.Term = 1
	s, acts := Step(s, Event{102 * sec, RecordRead{Sent: 102 * sec, Record: old}})
	if s.View.Record.Term != 3 || s.Halted != "" {
		t.Error("a watch was believed")
	}
	if _, ok := find[ReadRecord](acts); !ok {
		t.Error("a watch's news did not lead to a live read")
	}
	s, _ = Step(s, Event{103 * sec, RecordRead{Sent: 100 * sec, Version: "4", Record: old, Live: true}})
	if s.View.Record.Term != 3 {
		t.Error("an answer older than what is known was believed")
	}
}

// TestStepIsPure: Step leaves its argument alone, and gives the same for the same.
func TestStepIsPure(t *testing.T) {
	w := newWorld(opt{name: "pure", n: 3, acks: 1}, 7)
	checked := 0
	var tick func()
	tick = func() {
		for _, n := range w.nodes {
			if !n.alive {
				continue
			}
			before := fmt.Sprintf("%+v", n.st)
			ev := Event{At: n.clock() + 700*ms, Input: Tick{}}
			a, acts := Step(n.st, ev)
			b, again := Step(n.st, ev)
			if got := fmt.Sprintf("%+v", n.st); got != before {
				t.Fatalf("Step changed its argument:\n%s\n%s", before, got)
			}
			if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(acts, again) {
				t.Fatalf("Step is not a function:\n%+v\n%+v", a, b)
			}
			checked++
		}
		w.at(300*ms, tick)
	}
	w.at(0, tick)
	w.faults()
	w.run(40 * sec)
	if checked < 100 {
		t.Errorf("only %d states checked", checked)
	}
}

func TestActionsPrint(t *testing.T) {
	acts := []Action{Fence{Op: 3, Deadline: sec, Why: "test"}, Promote{Op: 4, Term: 2, Timeline: 9, Closed: true}, ConfigureSync{Gen: 2, Sync: Sync{Voters: []MemberID{"B"}, Acks: 1}}}
	want := "[{Op:3 Deadline:1s Why:test} {Op:4 Term:2 Timeline:9 Closed:true} {Gen:2 Sync:{Voters:[B] Acks:1}}]"
	if got := fmt.Sprintf("%+v", acts); got != want {
		t.Errorf("got %s", got)
	}
}

// TestWroteIsReadAtOnce: a peer that has written the record says so, and nobody waits for the next poll.
func TestWroteIsReadAtOnce(t *testing.T) {
	wrote := func(seq uint64) Received {
		return Received{From: Instance{ID: "C", Name: "c"}, Message: Wrote{Seq: seq}}
	}
	known := rec(nil)
	known.Seq = 7
	s := play(voter(), Event{100 * sec, Tick{}}, Event{100 * sec, RecordRead{Sent: 100 * sec, Version: "7", Record: known, Live: true}},
		Event{100100 * ms, beatOf(3)})

	if _, acts := Step(s, Event{100110 * ms, wrote(7)}); len(acts) > 0 {
		t.Errorf("what was read already was read again: %v", acts)
	}
	s, acts := Step(s, Event{100110 * ms, wrote(8)})
	if _, ok := find[ReadRecord](acts); !ok {
		t.Fatalf("not read at once: %v", acts)
	}
	// One that comes while a read is under way is read after it.
	s, acts = Step(s, Event{100120 * ms, wrote(9)})
	if _, ok := find[ReadRecord](acts); ok {
		t.Errorf("two reads at once: %v", acts)
	}
	known.Seq = 8
	_, acts = Step(s, Event{100130 * ms, RecordRead{Sent: 100110 * ms, Version: "8", Record: known, Live: true}})
	if _, ok := find[ReadRecord](acts); !ok {
		t.Errorf("the last write was not read: %v", acts)
	}
}

// TestStopKeepsAuthority: a primary that stops in order may still have clients, and is killed when its authority is over.
func TestStopKeepsAuthority(t *testing.T) {
	w := newWorld(directed(3, 1), 1)
	w.steady(t)
	a := w.node("A")
	a.event(Switchover{Request: "test"})
	w.must(t, "A stopping", time.Second, func() bool { return a.st.Phase == Stopping })

	s := a.st.Clone()
	if by := s.KillBy(); by <= s.Now || by > s.KillAt {
		t.Errorf("killed at %v, want it between now, %v, and the end of the stop, %v", by, s.Now, s.KillAt)
	}
	for i := range s.Peers {
		s.Peers[i].Held = s.Now + time.Second
	}
	s.Lead.APIUntil = 0
	if by, end := s.KillBy(), s.Now+time.Second; by > end {
		t.Errorf("killed at %v, and the promises are over at %v", by, end)
	}

	alone := s.Clone()
	alone.Lead.Sync, alone.View.Record = Sync{}, nil
	if by := alone.KillBy(); by != alone.KillAt {
		t.Errorf("with no voters killed at %v, want the end of the stop, %v", by, alone.KillAt)
	}
}

// TestTieGoesToAnother: of logs that are the same, that of a primary which gave up by itself is the last choice.
func TestTieGoesToAnother(t *testing.T) {
	s := voter()
	m := machine{State: &s}
	old := Report{From: Instance{ID: "A", Name: "a"}, PledgeReport: PledgeReport{Tip: Tip{Timeline: 3, LSN: 50}}}
	other := Report{From: Instance{ID: "B", Name: "b"}, PledgeReport: PledgeReport{Tip: Tip{Timeline: 3, LSN: 50}}}
	for request, first := range map[string]bool{"": true, "user": true, RequestDying: false, RequestShutdown: false} {
		r := rec(&Pending{Term: 4, Timeline: 4, Request: request})
		if m.preferred(old, other, r) != first || m.preferred(other, old, r) == first {
			t.Errorf("request %q: the old primary is preferred: %v, want %v", request, !first, first)
		}
	}
	other.Tip.LSN--
	if r := rec(&Pending{Term: 4, Timeline: 4, Request: RequestDying}); m.preferred(other, old, r) {
		t.Error("a shorter log is preferred")
	}
}

// TestWhoArchivesWhatIsLeft: a server that stops leaves it to others only if there are any, or they follow for themselves.
func TestWhoArchivesWhatIsLeft(t *testing.T) {
	for name, test := range map[string]struct {
		phase   Phase
		senders []Sender
		leaves  bool
	}{
		"a primary with a replica":                      {Primary, []Sender{{Member: "C"}}, true},
		"a primary whose replicas were stopped as well": {Primary, nil, false},
		"a replica": {Standby, nil, true},
	} {
		s := voter()
		s.Phase, s.View.Record, s.Obs.Senders = test.phase, rec(nil), test.senders
		m := machine{State: &s}
		m.stopFast()

		if stop, ok := find[StopFast](m.out); !ok || stop.SkipArchiving != test.leaves {
			t.Errorf("%s: %+v, want SkipArchiving %v", name, stop, test.leaves)
		}
	}
}
