package check_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/test/chaos/check"
	"github.com/caretaker-dev/caretaker/test/chaos/history"
)

const ms = time.Millisecond

// at makes an acknowledged operation of client 0 on timeline 1.
func at(kind history.Kind, key int, value int64, invoke, complete int64, change ...func(*history.Op)) history.Op {
	op := history.Op{
		Kind: kind, Key: key, Value: value, Invoke: time.Duration(invoke) * ms, Complete: time.Duration(complete) * ms,
		Outcome: history.OK, Timeline: 1, System: "7", Server: "10.0.0.1",
	}
	for _, c := range change {
		c(&op)
	}

	return op
}

func outcome(o history.Outcome) func(*history.Op) { return func(op *history.Op) { op.Outcome = o } }
func timeline(t int64) func(*history.Op)          { return func(op *history.Op) { op.Timeline = t } }
func other(op *history.Op)                        { op.Client = 1 }
func connection(c int) func(*history.Op)          { return func(op *history.Op) { op.Connection = c } }

// expect fails unless the violations are of this kind, or there is none if it is "".
func expect(t *testing.T, violations []string, want string) {
	t.Helper()

	switch got := strings.Join(violations, "\n"); {
	case want == "" && got != "":
		t.Errorf("violations where there is none:\n%s", got)
	case want != "" && !strings.Contains(got, want):
		t.Errorf("%q was not found; violations:\n%s", want, got)
	}
}

// appended is a history of three appends, of which one failed and one is unknown.
func appended() []history.Op {
	return []history.Op{
		at(history.Append, 1, 11, 0, 5),
		at(history.Append, 2, 12, 10, 15, outcome(history.Fail)),
		at(history.Append, 1, 13, 20, 25, outcome(history.Unknown)),
		at(history.Append, 1, 14, 30, 35),
	}
}

func TestAppends(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		rows []check.Row
		want string
	}{
		"all is there":               {rows: []check.Row{{1, 11, 1}, {1, 14, 2}}},
		"what is unknown may be":     {rows: []check.Row{{1, 11, 1}, {1, 13, 2}, {1, 14, 3}}},
		"an acknowledged one misses": {rows: []check.Row{{1, 11, 1}}, want: "acknowledged and missing: 1"},
		"under another key":          {rows: []check.Row{{1, 11, 1}, {3, 14, 2}}, want: "acknowledged and missing: 1"},
		"one that was refused":       {rows: []check.Row{{1, 11, 1}, {2, 12, 2}, {1, 14, 3}}, want: "never asked for or refused: 1"},
		"one from nowhere":           {rows: []check.Row{{1, 11, 1}, {1, 99, 2}, {1, 14, 3}}, want: "never asked for or refused: 1"},
		"one twice":                  {rows: []check.Row{{1, 11, 1}, {1, 11, 2}, {1, 14, 3}}, want: "more than once: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, check.Appends(appended(), []check.Node{{Name: "db-0", Rows: c.rows}}), c.want)
		})
	}
}

func TestAppendsOnEveryNode(t *testing.T) {
	t.Parallel()

	whole := check.Node{Name: "primary", Rows: []check.Row{{1, 11, 1}, {1, 14, 2}}}
	lacking := check.Node{Name: "db-2", Rows: []check.Row{{1, 11, 1}}}
	other := check.Node{Name: "db-1", Rows: []check.Row{{1, 11, 1}, {1, 13, 2}, {1, 14, 3}}}

	expect(t, check.Appends(appended(), []check.Node{whole, lacking}), "db-2: acknowledged and missing")
	expect(t, check.Replicas([]check.Node{whole, whole}), "")
	expect(t, check.Replicas([]check.Node{whole, other}), "db-1 has other rows than primary: 3 and 2")
	expect(t, check.Replicas(nil), "")
}

func TestOrder(t *testing.T) {
	t.Parallel()

	ops := []history.Op{at(history.Append, 1, 14, 30, 35), at(history.Append, 1, 11, 0, 5)}

	expect(t, check.Order(ops, check.Node{Rows: []check.Row{{1, 11, 1}, {1, 14, 2}}}), "")
	expect(t, check.Order(ops, check.Node{Rows: []check.Row{{1, 11, 2}, {1, 14, 1}}}), "out of their connection's order: 1")

	// Sequences are only asked to be in order for one connection.
	ops[0].Connection = 2
	expect(t, check.Order(ops, check.Node{Rows: []check.Row{{1, 11, 2}, {1, 14, 1}}}), "")
}

func TestWriters(t *testing.T) {
	t.Parallel()

	system := func(op *history.Op) { op.System = "8" }

	for name, c := range map[string]struct {
		ops  []history.Op
		want string
	}{
		"one after the other": {ops: []history.Op{
			at(history.Append, 1, 1, 0, 5), at(history.Append, 1, 2, 10, 15, timeline(2)), at(history.Write, 1, 3, 20, 25, timeline(3)),
		}},
		"an answer may be late": {ops: []history.Op{
			at(history.Append, 1, 1, 0, 50, other), at(history.Append, 1, 2, 10, 15, timeline(2)),
		}},
		"the old one may refuse": {ops: []history.Op{
			at(history.Append, 1, 2, 10, 15, timeline(2)), at(history.Append, 1, 1, 20, 25, outcome(history.Fail)),
			at(history.Append, 1, 1, 20, 25, outcome(history.Unknown)),
		}},
		"two at a time": {ops: []history.Op{
			at(history.Append, 1, 1, 0, 5), at(history.Append, 1, 2, 10, 15, timeline(2)), at(history.Append, 1, 3, 20, 25, other),
		}, want: "acknowledged by an earlier primary after a later one: 1"},
		"two at a time, to different kinds of clients": {ops: []history.Op{
			at(history.Append, 1, 2, 10, 15, timeline(2)), at(history.Write, 1, 3, 20, 25, other),
		}, want: "acknowledged by an earlier primary after a later one: 1"},
		"another system": {ops: []history.Op{
			at(history.Append, 1, 1, 0, 5), at(history.Append, 1, 2, 10, 15, system),
		}, want: "acknowledged by another system: 1"},
		"a standby that writes": {ops: []history.Op{at(history.Append, 1, 1, 0, 5, timeline(0))}, want: "writes no timeline: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, check.Writers(c.ops), c.want)
		})
	}
}

func TestRegisters(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		ops  []history.Op
		want string
	}{
		"reads see writes": {ops: []history.Op{
			at(history.Read, 1, 0, 0, 1), at(history.Write, 1, 5, 2, 3), at(history.Read, 1, 5, 4, 5), at(history.Read, 2, 0, 6, 7),
		}},
		"while a write goes on either is right": {ops: []history.Op{
			at(history.Write, 1, 5, 2, 20), at(history.Read, 1, 0, 4, 5, other), at(history.Read, 1, 5, 6, 7, other),
		}},
		"an unknown write may come late": {ops: []history.Op{
			at(history.Write, 1, 5, 2, 3, outcome(history.Unknown)), at(history.Read, 1, 0, 4, 5), at(history.Read, 1, 5, 6, 7),
		}},
		"a failed write may not": {ops: []history.Op{
			at(history.Write, 1, 5, 2, 3, outcome(history.Fail)), at(history.Read, 1, 5, 6, 7),
		}, want: "not linearizable"},
		"a stale read": {ops: []history.Op{
			at(history.Write, 1, 5, 0, 1), at(history.Write, 1, 6, 2, 3), at(history.Read, 1, 5, 4, 5, other),
		}, want: "stale reads: 1"},
		"a lost write": {ops: []history.Op{
			at(history.Write, 1, 5, 0, 1), at(history.Read, 1, 0, 4, 5),
		}, want: "stale reads: 1"},
		"a write that is taken back": {ops: []history.Op{
			at(history.Write, 1, 5, 0, 1, outcome(history.Unknown)), at(history.Read, 1, 5, 4, 5), at(history.Read, 1, 0, 6, 7),
		}, want: "not linearizable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, check.Registers(c.ops, time.Minute), c.want)
		})
	}
}

func TestLongest(t *testing.T) {
	t.Parallel()

	refused := func(op *history.Op) { op.Outcome, op.Error = history.Fail, "refused" }
	ops := []history.Op{
		at(history.Append, 1, 1, 0, 5), at(history.Append, 1, 2, 900, 905), at(history.Append, 1, 3, 910, 915),
		at(history.Append, 1, 4, 1000, 1005, refused), at(history.Append, 1, 5, 1500, 1505),
		at(history.Append, 1, 6, 1200, 1205, other), at(history.Read, 1, 6, 1300, 1305),
	}

	for name, c := range map[string]struct {
		after, end int64
		want       check.Gap
	}{
		"over all":             {end: 1510, want: check.Gap{From: 5 * ms, To: 905 * ms}},
		"that ends afterwards": {after: 906, end: 1510, want: check.Gap{From: 915 * ms, To: 1505 * ms, Errors: []string{"refused"}}},
		"to the end":           {after: 906, end: 9000, want: check.Gap{From: 1505 * ms, To: 9000 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(c.want, check.Longest(ops, 0, time.Duration(c.after)*ms, time.Duration(c.end)*ms)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The order in which the history is written down does not matter.
func TestOrderOfLinesDoesNotMatter(t *testing.T) {
	t.Parallel()

	ops := []history.Op{
		at(history.Append, 1, 1, 0, 5), at(history.Append, 1, 2, 10, 15, timeline(2)), at(history.Append, 1, 3, 20, 25, connection(1)),
	}
	slices.Reverse(ops)
	expect(t, check.Writers(ops), "acknowledged by an earlier primary after a later one: 1")
}
