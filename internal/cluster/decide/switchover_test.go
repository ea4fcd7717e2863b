package decide_test

import (
	"slices"
	"strings"
	"testing"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// TestASwitchoverIsAskedForTwice: a primary that no replica could follow in time leads again, in a later term. That is
// tried once more, and then told at once.
func TestASwitchoverIsAskedForTwice(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		comes   bool
		result  v1.SwitchoverResult
		message string
	}{
		"the replica has the whole log the second time": {true, v1.SwitchoverCompleted, ""},
		"it never has": {false, v1.SwitchoverFailed, "no replica had all that db-0 has written within seconds, 2 times"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, running)
			w.isReelected = true
			term := w.view.Record.Spec.Term

			annotate(naming.AnnotationSwitchover, "db-1/1")(w)
			w.step()

			if last := w.view.Cluster.Status.LastSwitchover; last.Result != v1.SwitchoverInProgress || last.Term != term || last.Attempts != 1 {
				t.Fatalf("after the first attempt: %+v", last)
			}

			w.isReelected = !tc.comes
			w.settle(10)

			last := w.view.Cluster.Status.LastSwitchover
			if last.Result != tc.result || last.Attempts != 2 || !strings.HasPrefix(last.Message, tc.message) {
				t.Errorf("it ended as %+v", last)
			}

			if message := w.plan().Outcome.Message; message != "3 of 3 instances ready" {
				t.Errorf("afterwards: %s", message)
			}
		})
	}
}

// TestTheOneThatIsAskedForHasAnswered: by its report the primary knows whom to wait for. A moment without is no reason to refuse.
func TestTheOneThatIsAskedForHasAnswered(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)
	report := w.view.Reports["db-2"]
	w.view.Reports["db-2"] = decide.Report{SilentSince: w.view.Now}

	annotate(naming.AnnotationSwitchover, "db-2/1")(w)

	plan := w.plan()
	if i := slices.IndexFunc(plan.Actions, isSwitchover); i >= 0 || plan.Status.LastSwitchover != nil {
		t.Fatalf("while it does not answer: %v, %+v", plan.Actions, plan.Status.LastSwitchover)
	}

	w.view.Reports["db-2"] = report

	plan = w.plan()

	i := slices.IndexFunc(plan.Actions, isSwitchover)
	if i < 0 {
		t.Fatalf("it is not asked for: %v", plan.Actions)
	}

	if asked, _ := plan.Actions[i].(decide.Switchover); asked.Target != report.Status.MemberID {
		t.Errorf("asked for %+v, want %s", asked, report.Status.MemberID)
	}
}

// TestAnotherOneLeads: who was asked for was behind, and that is told.
func TestAnotherOneLeads(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)
	w.isReelected = true // db-0 had no time to hand over yet

	annotate(naming.AnnotationSwitchover, "db-2/1")(w)
	w.step()

	w.view.Record = w.view.Record.DeepCopy()
	w.view.Record.Spec.Primary.Name = "db-1"
	w.view.Record.Spec.Term++

	last := w.plan().Status.LastSwitchover
	if last == nil || last.Result != v1.SwitchoverCompleted || last.To != "db-1" || !strings.HasPrefix(last.Message, "db-2 had not all of db-0's log in time") {
		t.Errorf("it ended as %+v", last)
	}
}

func isSwitchover(action decide.Action) bool {
	_, is := action.(decide.Switchover)

	return is
}
