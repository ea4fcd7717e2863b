package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/caretaker-dev/caretaker/test/chaos/history"
)

// shown is how many violations of a kind are told one by one.
const shown = 5

// Row is an appended value as it was found at the end.
type Row struct {
	Key   int
	Value int64
	// Position in the order in which the database gave them out.
	Position int64
}

// Node is an instance and what it had at the end.
type Node struct {
	Name string
	Rows []Row
}

// Appends compares acknowledged appends with what each instance has at the end: nothing acknowledged may be missing, nothing
// may be there that was not asked for or certainly failed, and nothing twice.
func Appends(ops []history.Op, nodes []Node) []string {
	var violations []string

	for _, node := range nodes {
		violations = append(violations, node.appends(ops)...)
	}

	return violations
}

func (n Node) appends(ops []history.Op) []string {
	type row struct {
		key   int
		value int64
	}

	count := map[row]int{}
	for _, r := range n.Rows {
		count[row{r.Key, r.Value}]++
	}

	var missing, phantom, double list

	possible := map[row]bool{}

	for _, op := range ops {
		if op.Kind != history.Append {
			continue
		}

		r := row{op.Key, op.Value}
		possible[r] = op.Outcome != history.Fail

		if op.Outcome == history.OK && count[r] == 0 {
			missing.add("%d of key %d, acknowledged after %.3f s by %s on timeline %d", op.Value, op.Key, op.Complete.Seconds(), op.Server, op.Timeline)
		}
	}

	for _, r := range n.Rows {
		key := row{r.Key, r.Value}
		if !possible[key] {
			phantom.add("%d of key %d", r.Value, r.Key)
		}

		if count[key] > 1 {
			double.add("%d of key %d is there %d times", r.Value, r.Key, count[key])
			count[key] = 1
		}
	}

	return slices.Concat(
		missing.told(n.Name+": acknowledged and missing"),
		phantom.told(n.Name+": there, but never asked for or refused"),
		double.told(n.Name+": there more than once"))
}

// Replicas compares what the instances have with the first of them.
func Replicas(nodes []Node) []string {
	var violations []string

	for _, node := range nodes[min(1, len(nodes)):] {
		first := nodes[0]
		if a, b := sorted(first.Rows), sorted(node.Rows); !slices.Equal(a, b) {
			violations = append(violations, fmt.Sprintf("%s has other rows than %s: %d and %d", node.Name, first.Name, len(b), len(a)))
		}
	}

	return violations
}

func sorted(rows []Row) []Row {
	return slices.SortedFunc(slices.Values(rows), func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value))
	})
}

// Order checks that what one connection appended one after the other got ascending positions.
func Order(ops []history.Op, node Node) []string {
	type connection struct{ client, number int }

	position := map[int64]int64{}
	for _, row := range node.Rows {
		position[row.Value] = row.Position
	}

	byInvoke := slices.SortedFunc(slices.Values(ops), func(a, b history.Op) int { return cmp.Compare(a.Invoke, b.Invoke) })
	last := map[connection]history.Op{}

	var turned list

	for _, op := range byInvoke {
		if op.Kind != history.Append || op.Outcome != history.OK || position[op.Value] == 0 {
			continue
		}

		from := connection{op.Client, op.Connection}
		if before, ok := last[from]; ok && position[before.Value] >= position[op.Value] {
			turned.add("%d at %d, after %d at %d", op.Value, position[op.Value], before.Value, position[before.Value])
		}

		last[from] = op
	}

	return turned.told(node.Name + ": out of their connection's order")
}

// list is violations of one kind, of which the first few are told.
type list struct {
	count int
	words []string
}

func (l *list) add(format string, a ...any) {
	l.count++

	if len(l.words) < shown {
		l.words = append(l.words, fmt.Sprintf(format, a...))
	}
}

func (l *list) told(title string) []string {
	if l.count == 0 {
		return nil
	}

	violations := []string{fmt.Sprintf("%s: %d", title, l.count)}
	for _, word := range l.words {
		violations = append(violations, "  "+word)
	}

	return violations
}
