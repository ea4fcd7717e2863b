package conditions_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/caretaker-dev/caretaker/internal/conditions"
)

func TestSummarizeFollowsKstatus(t *testing.T) {
	t.Parallel()

	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

	for _, tc := range []struct {
		name    string
		outcome conditions.Outcome
		want    map[string]string
	}{
		{"done", conditions.Outcome{Kind: conditions.Done, Reason: "Ready", Message: "3 of 3"}, map[string]string{"Ready": "True 3 of 3"}},
		{
			"waiting",
			conditions.Outcome{Kind: conditions.Waiting, Reason: "Cloning", Message: "Cloning"},
			map[string]string{"Ready": "False Cloning", "Reconciling": "True Cloning"},
		},
		{
			"stalled",
			conditions.Outcome{Kind: conditions.Stalled, Reason: "Invalid", Message: "spec.x: y"},
			map[string]string{"Ready": "False Stalled: spec.x: y", "Stalled": "True spec.x: y"},
		},
		{"resting", conditions.Outcome{Kind: conditions.Resting, Reason: "Hibernated", Message: "sleeps"}, map[string]string{"Ready": "False sleeps"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			// What was there before must not shine through.
			conds := []metav1.Condition{
				{Type: "Ready", Status: metav1.ConditionUnknown},
				{Type: "Stalled", Status: metav1.ConditionTrue},
				{Type: "Reconciling", Status: metav1.ConditionTrue},
			}
			w := conditions.Writer{Conditions: &conds, Generation: 3, Now: start}
			w.Summarize(tc.outcome)

			got := map[string]string{}
			for _, c := range conds {
				got[c.Type] = string(c.Status) + " " + c.Message
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}

			before := append([]metav1.Condition{}, conds...)
			w.Now = start.Add(time.Hour)
			w.Summarize(tc.outcome)

			if diff := cmp.Diff(before, conds); diff != "" {
				t.Errorf("the same outcome an hour later changed something:\n%s", diff)
			}
		})
	}
}
