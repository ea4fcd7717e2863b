package decide_test

import (
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/conditions"
)

// TestThePrimaryIsLostAndNobodyCounts: what is left of the data is told of, and how to go on with it.
func TestThePrimaryIsLostAndNobodyCounts(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		change mutation
		want   string
	}{
		"replicas that do not count": {
			func(*world) {},
			"the volume of the primary db-0 is gone, and no replica is known to have all its commits. To go on with what db-1 or db-2 has, without what it lacks: " +
				"kubectl delete -n apps clusterterm db. Else restore the volume claim db-0 from a snapshot, or, to start over",
		},
		"an archive": {archives(nil), "from a snapshot, recover a Backup into a new Cluster (kubectl caretaker restore), or, to start over"},
		"nothing is left": {
			func(w *world) {
				for _, replica := range []string{"db-1", "db-2"} {
					delete(w.view.Volumes, replica)
					delete(w.view.Pods, replica)
					delete(w.view.Reports, replica)
				}
			},
			"the volume of the primary db-0 is gone: there is nothing to go on with. Restore the volume claim db-0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, running, tc.change)
			w.view.Record = w.view.Record.DeepCopy()
			w.view.Record.Spec.Voters = nil
			delete(w.view.Volumes, "db-0")
			delete(w.view.Pods, "db-0")
			delete(w.view.Reports, "db-0")

			plan := w.plan()
			if plan.Outcome.Kind != conditions.Stalled || !strings.Contains(plan.Outcome.Message, tc.want) {
				t.Errorf("it is %+v", plan.Outcome)
			}
		})
	}
}
