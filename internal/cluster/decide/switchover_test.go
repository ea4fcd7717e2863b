package decide_test

import (
	"strings"
	"testing"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
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
