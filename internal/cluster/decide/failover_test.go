package decide_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// lead makes an instance the primary of a term, as the record shows it.
func (w *world) lead(name string, term int64) {
	w.view.Record = w.view.Record.DeepCopy()
	w.view.Record.Spec.Term = term
	w.view.Record.Spec.Primary = &v1.TermHolder{MemberID: memberID(w.view.Volumes[name]), Name: name, PodUID: string(w.view.Pods[name].UID)}
	w.elapse()
}

// history is what the status says, after it was written.
func (w *world) history() []v1.FailoverStatus { return w.step().Status.FailoverHistory }

func TestFailoversAreRemembered(t *testing.T) {
	w := newWorld(t, running)
	opened := w.view.Now.Add(90 * time.Second)
	led := memberID(w.view.Volumes["db-0"])

	w.lead("db-1", 2)

	// What the record shows is there at once.
	seen := w.history()
	if len(seen) != 1 || seen[0].From != "db-0" || seen[0].To != "db-1" || seen[0].Term != 2 || seen[0].Reason != "" {
		t.Fatalf("after a change of primary: %+v", seen)
	}

	// The new primary's evidence, and how the old one came back.
	w.report("db-1", func(s *instanceapi.Status) {
		s.Takeover = &instanceapi.Takeover{
			Term: 2, TimelineID: 2, From: "db-0", Reason: "the primary is silent", ForkLSN: "0/3000000",
			LastHeard: opened.Add(-4200 * time.Millisecond), OpenedAt: opened,
		}
	})
	w.report("db-0", func(s *instanceapi.Status) {
		// Its clock is behind, and it came back before clients were let in.
		s.Rejoin = &instanceapi.Rejoin{Term: 2, Method: instanceapi.RejoinRewound, DiscardedBytes: 512, KeptIn: "/kept", At: opened.Add(-time.Minute)}
	})

	want := v1.FailoverStatus{
		From: "db-0", To: "db-1", Term: 2, At: metav1.NewTime(opened), Reason: "the primary is silent", TimelineID: 2, ForkLSN: "0/3000000",
		GapMilliseconds: new(int64(4200)), FromMemberID: led, Returned: v1.RejoinRewound, BytesDiscarded: new(int64(512)), DivergentWAL: "/kept",
	}
	if diff := cmp.Diff([]v1.FailoverStatus{want}, w.history()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}

	if last := w.plan().Status.LastFailover; last == nil || last.Term != 2 {
		t.Errorf("the last failover is %+v", last)
	}

	// It stays when those who told it are gone.
	w.report("db-1", func(s *instanceapi.Status) { s.Takeover = nil })
	w.report("db-0", func(s *instanceapi.Status) { s.Rejoin = nil })

	if diff := cmp.Diff([]v1.FailoverStatus{want}, w.history()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestFailoversWhileTheOperatorWasAway(t *testing.T) {
	w := newWorld(t, running)
	now := w.view.Now

	// Two that it did not see; db-0 leads again.
	w.report("db-1", func(s *instanceapi.Status) {
		s.Takeover = &instanceapi.Takeover{Term: 2, From: "db-0", Reason: "the primary has ended", OpenedAt: now}
	})
	w.report("db-0", func(s *instanceapi.Status) {
		s.Takeover = &instanceapi.Takeover{Term: 3, From: "db-1", Reason: "the primary is silent", OpenedAt: now.Add(time.Minute)}
	})
	w.lead("db-0", 3)

	got := w.history()
	if len(got) != 2 || got[0].Term != 3 || got[1].Term != 2 || got[1].To != "db-1" || got[0].GapMilliseconds != nil {
		t.Errorf("got %+v", got)
	}
}

func TestASwitchoverIsNoFailover(t *testing.T) {
	w := newWorld(t, running)
	w.lead("db-1", 2)

	if len(w.history()) != 1 {
		t.Fatal("a change of primary that nobody asked the operator for is not seen")
	}

	// The instances know better: it was asked for at the primary itself.
	w.report("db-1", func(s *instanceapi.Status) {
		s.Takeover = &instanceapi.Takeover{Term: 2, From: "db-0", Request: "db-1/1", Reason: "switchover", OpenedAt: w.view.Now}
	})

	if got := w.history(); len(got) != 0 || w.plan().Status.LastFailover != nil {
		t.Errorf("got %+v", got)
	}
}

func TestTenFailoversAreRemembered(t *testing.T) {
	w := newWorld(t, running)

	for term := int64(2); term < 20; term++ {
		w.lead([]string{"db-0", "db-1"}[(term+1)%2], term)
		w.step()
	}

	got := w.plan().Status.FailoverHistory
	if len(got) != 10 || got[0].Term != 19 || got[9].Term != 10 {
		t.Errorf("%d, from term %d on", len(got), got[0].Term)
	}
}

// TestAFormerPrimaryIsNotWaitedForForEver: what would tell how it came back is on the volume that it had, which may be gone.
func TestAFormerPrimaryIsNotWaitedForForEver(t *testing.T) {
	knows := func(term int64) func(*instanceapi.Status) {
		return func(s *instanceapi.Status) { s.Term = term }
	}
	failedOver := func(t *testing.T) *world {
		t.Helper()

		w := newWorld(t, running)
		w.lead("db-1", 2)

		if got := w.history(); len(got) != 1 || got[0].From != "db-0" || got[0].Returned != "" {
			t.Fatalf("after the failover: %+v", got)
		}

		return w
	}

	t.Run("on a new volume", func(t *testing.T) {
		w := failedOver(t)
		losePod("db-0")(w)
		loseVolume("db-0")(w)

		if got := w.history()[0].Returned; got != "" {
			t.Errorf("while it has neither pod nor volume, it has come back: %s", got)
		}

		w.settle(20)
		w.report("db-0", knows(2))
		unready("db-0")(w)

		if got := w.plan().Status.LastFailover.Returned; got != "" {
			t.Errorf("while it is not ready, it has come back: %s", got)
		}

		w.step()
		w.report("db-0", knows(2))

		if got := w.history()[0].Returned; got != v1.RejoinReplaced {
			t.Errorf("the new copy has come back as %q", got)
		}

		// Another failover is another story.
		w.report("db-0", func(s *instanceapi.Status) {
			s.Rejoin = &instanceapi.Rejoin{Term: 3, Method: instanceapi.RejoinFollowed, At: w.view.Now}
		})

		if got := w.history()[0].Returned; got != v1.RejoinReplaced {
			t.Errorf("later it has come back as %q", got)
		}
	})

	t.Run("scaled away", func(t *testing.T) {
		w := failedOver(t)
		w.lead("db-0", 3) // The last failover is from db-1 now, which is the highest of two.
		spec(func(s *v1.ClusterSpec) { s.Instances = 1 })(w)

		if got := w.history()[0]; got.From != "db-1" || got.Returned != "" {
			t.Errorf("while it is there: %+v", got)
		}

		if !w.settle(60) {
			t.Fatal("it does not settle")
		}

		if got := w.history()[0]; got.From != "db-1" || got.Returned != v1.RejoinRemoved {
			t.Errorf("once there is one instance only: %+v", got)
		}
	})

	t.Run("on its own volume, without a word", func(t *testing.T) {
		w := failedOver(t)
		w.report("db-0", knows(1))

		if got := w.history()[0].Returned; got != "" {
			t.Errorf("before it knows of the new term, it has come back: %s", got)
		}

		w.report("db-0", knows(2))

		if got := w.history()[0].Returned; got != v1.RejoinUnknown {
			t.Errorf("it has come back as %q", got)
		}
	})
}
