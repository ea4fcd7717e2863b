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

// Ready's message is a column of `kubectl get`; the remedy is in Stalled or Reconciling.
func TestReadyIsBrief(t *testing.T) {
	t.Parallel()

	remedy := "which one holds the latest data is not known. Name the instance to go on from with the annotation " +
		"caretaker.dev/bootstrap-from, or bring the record back from a backup of etcd"

	for _, tc := range []struct{ name, message, want string }{
		{"short", "3 of 3 instances ready", "3 of 3 instances ready"},
		{
			"a remedy", "the term record ClusterTerm/db is missing while the volumes db-0, db-1, db-2 exist; " + remedy,
			"Stalled: the term record ClusterTerm/db is missing while the volumes db-0, db-1, db-2 exist",
		},
		{
			"what it ends with stays",
			"Waiting for db-1: no answer on port 8000 since 20:41:05 UTC; look at its node, its log, and network policies (2 of 3 instances ready)",
			"Stalled: Waiting for db-1: no answer on port 8000 since 20:41:05 UTC (2 of 3 instances ready)",
		},
		{
			"one clause",
			"PostgreSQL of db-0 refuses the configuration which somebody has written with very many words indeed, and none of them right",
			"Stalled: PostgreSQL of db-0 refuses the configuration which somebody has written with very many…",
		},
		{"several lines", "connection refused\n\tIs the server running?", "Stalled: connection refused Is the server running?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			kind := conditions.Stalled
			if tc.message == tc.want {
				kind = conditions.Done
			}

			var all []metav1.Condition

			writer := conditions.Writer{Conditions: &all, Now: time.Unix(1000, 0)}
			writer.Summarize(conditions.Outcome{Kind: kind, Reason: "Because", Message: tc.message})

			for _, condition := range all {
				want := tc.message
				if condition.Type == conditions.TypeReady {
					want = tc.want
				}

				if condition.Message != want {
					t.Errorf("%s says %q, want %q", condition.Type, condition.Message, want)
				}
			}
		})
	}
}
