package check

import (
	"cmp"
	"slices"
	"time"

	"github.com/caretaker-dev/caretaker/test/chaos/history"
)

// Writers checks that no two primaries acknowledged at a time: once a write of a later timeline was acknowledged, none that
// began after that may be acknowledged on an earlier one. All writes must be of one system.
func Writers(ops []history.Op) []string {
	acknowledged := slices.SortedFunc(acks(ops), func(a, b history.Op) int { return cmp.Compare(a.Complete, b.Complete) })

	var overlaps, systems, timelines list

	first := map[int64]time.Duration{}
	system := ""

	for _, op := range acknowledged {
		if _, ok := first[op.Timeline]; !ok {
			first[op.Timeline] = op.Complete
		}

		if op.Timeline == 0 {
			timelines.add("%s %d after %.3f s by %s", op.Kind, op.Value, op.Complete.Seconds(), op.Server)
		}

		if system == "" {
			system = op.System
		}

		if op.System != system {
			systems.add("%s by %s, of system %s and not %s", op.Kind, op.Server, op.System, system)
		}
	}

	for _, op := range acknowledged {
		for timeline, at := range first {
			if timeline > op.Timeline && op.Invoke > at {
				overlaps.add("%s %d on timeline %d by %s began after %.3f s; timeline %d had acknowledged after %.3f s", op.Kind, op.Value,
					op.Timeline, op.Server, op.Invoke.Seconds(), timeline, at.Seconds())
			}
		}
	}

	return slices.Concat(overlaps.told("acknowledged by an earlier primary after a later one"), systems.told("acknowledged by another system"),
		timelines.told("written by a server that says it writes no timeline"))
}

// acks are the acknowledged writes.
func acks(ops []history.Op) func(yield func(history.Op) bool) {
	return func(yield func(history.Op) bool) {
		for _, op := range ops {
			if op.Outcome == history.OK && op.Writes() && !yield(op) {
				return
			}
		}
	}
}

// Gap is a time without an acknowledged write.
type Gap struct {
	From   time.Duration `json:"from"`
	To     time.Duration `json:"to"`
	Errors []string      `json:"errors,omitempty"`
}

// Length of the gap.
func (g Gap) Length() time.Duration { return g.To - g.From }

// Longest is the longest time between two acknowledged writes of one client that ends after a moment; to the end of the history
// if nothing more was acknowledged. The errors are what the client saw meanwhile.
func Longest(ops []history.Op, client int, after, end time.Duration) Gap {
	var longest Gap

	var last time.Duration

	mine := slices.SortedFunc(acks(ops), func(a, b history.Op) int { return cmp.Compare(a.Complete, b.Complete) })
	mine = slices.DeleteFunc(mine, func(op history.Op) bool { return op.Client != client })
	mine = append(mine, history.Op{Complete: end})

	for _, op := range mine {
		if op.Complete > after && op.Complete-last > longest.Length() {
			longest = Gap{From: last, To: op.Complete}
		}

		last = op.Complete
	}

	for _, op := range ops {
		if op.Client == client && op.Outcome != history.OK && op.Complete > longest.From && op.Complete <= longest.To {
			longest.Errors = append(longest.Errors, op.Error)
		}
	}

	return longest
}
