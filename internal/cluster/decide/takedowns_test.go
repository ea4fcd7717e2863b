package decide_test

import (
	"strings"
	"testing"
	"time"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// neverSatisfied has whoever leads wait for a restart, in each of many passes, and counts how often it was taken down.
func neverSatisfied(w *world, parameter, from, to string) (takenDown int) {
	for range 60 {
		primary := w.view.Record.Spec.Primary.Name
		if len(w.view.Reports[primary].Status.PendingRestart) == 0 {
			pendingRestart(primary, parameter, from, to)(w)
		}

		for _, action := range w.step().Actions {
			switch a := action.(type) {
			case decide.Switchover:
				takenDown++
			case decide.Restart:
				if a.Instance == primary {
					takenDown++
				}
			default:
			}
		}
	}

	return takenDown
}

// TestAPlanThatIsNeverSatisfiedIsGivenUp: two instances that changed places for ever, and one that restarted for ever.
func TestAPlanThatIsNeverSatisfiedIsGivenUp(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name, parameter, from, to string
		spec                      func(*v1.ClusterSpec)
	}{
		{"hands over", "shared_buffers", "16384", "32768", func(s *v1.ClusterSpec) { s.Instances = 2 }},
		{"restarts", "max_connections", "200", "100", func(*v1.ClusterSpec) {}},
		{"restarts by its method", "shared_buffers", "16384", "32768", func(s *v1.ClusterSpec) { s.PrimaryUpdateMethod = v1.PrimaryUpdateRestart }},
		{"alone", "shared_buffers", "16384", "32768", func(s *v1.ClusterSpec) { s.Instances = 1 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, func(w *world) { tc.spec(&w.view.Cluster.Spec) })
			w.settle(40)

			if got := neverSatisfied(w, tc.parameter, tc.from, tc.to); got != 3 {
				t.Errorf("the primary was taken down %d times, want 3 and no more", got)
			}

			plan := w.plan()
			if plan.Outcome.Kind != conditions.Stalled || plan.Outcome.Reason != v1.ReasonNoProgress {
				t.Errorf("the outcome is %+v", plan.Outcome)
			}

			for _, word := range []string{"taken down 3 times since 03:0", w.view.Record.Spec.Primary.Name + " is to restart for " + tc.parameter, naming.AnnotationRestart} {
				if !strings.Contains(plan.Outcome.Message, word) {
					t.Errorf("%q is not said: %s", word, plan.Outcome.Message)
				}
			}

			// The user has the last word: by a request of theirs, or another specification.
			annotate(naming.AnnotationRestart, "again")(w)

			if got := neverSatisfied(w, tc.parameter, tc.from, tc.to); got != 3 {
				t.Errorf("after a new request it was taken down %d times, want 3", got)
			}

			spec(func(*v1.ClusterSpec) {})(w) // a new generation

			if got := neverSatisfied(w, tc.parameter, tc.from, tc.to); got != 3 {
				t.Errorf("after a change it was taken down %d times, want 3", got)
			}
		})
	}
}

func TestASwitchoverByAnnotationIsNotBraked(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)
	neverSatisfied(w, "shared_buffers", "16384", "32768")

	was := w.view.Record.Spec.Primary.Name
	annotate(naming.AnnotationSwitchover, "/1")(w)
	w.step()

	if now := w.view.Record.Spec.Primary.Name; now == was {
		t.Errorf("%s still leads: %s", was, w.plan().Outcome.Message)
	}
}

// TestTakedownsAreForgotten: a Cluster lives for years with one specification.
func TestTakedownsAreForgotten(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)

	if w.plan().Status.Takedowns != nil {
		t.Fatal("a Cluster that came up counts takedowns")
	}

	pendingRestart("db-0", "shared_buffers", "16384", "32768")(w)
	w.settle(20)

	if got := w.plan().Status.Takedowns; got == nil || got.Count != 1 {
		t.Fatalf("after a hand-over: %+v", got)
	}

	w.view.Now = w.view.Now.Add(59 * time.Minute)

	if w.step(); w.view.Cluster.Status.Takedowns == nil {
		t.Error("forgotten within the hour")
	}

	w.view.Now = w.view.Now.Add(2 * time.Minute)

	if w.step(); w.view.Cluster.Status.Takedowns != nil {
		t.Error("still counted after an hour at rest")
	}
}

// TestAskingAgainIsNoTakedown: the primary is asked in each pass until it has handed over, and may not always tell since
// when its PostgreSQL runs.
func TestAskingAgainIsNoTakedown(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)
	pendingRestart("db-0", "shared_buffers", "16384", "32768")(w)

	for pass := range 8 {
		started := new(w.view.Now.Add(-time.Hour).Truncate(time.Hour))
		if pass%2 == 1 {
			started = nil
		}

		w.report("db-0", func(s *instanceapi.Status) { s.StartedAt = started })

		plan := w.plan()
		if got := plan.Status.Takedowns; got == nil || got.Count != 1 {
			t.Fatalf("in pass %d: %+v, and %s", pass, got, plan.Outcome.Message)
		}

		// It is asked, and does nothing.
		w.view.Cluster = w.view.Cluster.DeepCopy()
		w.view.Cluster.Status = plan.Status
		w.view.Now = w.view.Now.Add(time.Second)
	}
}
