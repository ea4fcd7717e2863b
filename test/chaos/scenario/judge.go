package scenario

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/caretaker-dev/caretaker/test/chaos/check"
	"github.com/caretaker-dev/caretaker/test/chaos/history"
	"github.com/caretaker-dev/caretaker/test/chaos/workload"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// The limits of judging.
const (
	readTimeout      = 30 * time.Second
	registersTimeout = 30 * time.Second
)

// judge compares the history with what the instances have.
func (x *run) judge(ctx context.Context, ops []history.Op) {
	nodes, err := x.endState(ctx)
	if err != nil {
		x.result.violate("end state: %v", err)
	}

	violations := check.Appends(ops, nodes)
	if len(nodes) > 0 {
		violations = append(violations, check.Order(ops, nodes[0])...)
		violations = append(violations, check.Replicas(nodes)...)
	}

	violations = append(violations, check.Writers(ops)...)

	for _, word := range check.Registers(ops, registersTimeout) {
		if word == check.Undecided {
			x.result.Notes = append(x.result.Notes, word)

			continue
		}

		violations = append(violations, word)
	}

	x.result.Violations = append(x.result.Violations, violations...)
	x.judgeTime(ops)

	if !x.result.Passed() {
		x.dump(ctx)
	}
}

// judgeTime looks at the gap, the term, and how long the old primary spoke.
func (x *run) judgeTime(ops []history.Op) {
	var end time.Duration
	for _, op := range ops {
		if op.Client == 0 {
			end = max(end, op.Complete)
		}

		// Pinned clients are at the primary of before.
		if op.Client >= workload.FirstPinned && op.Outcome == history.OK && x.result.TermBefore != x.result.TermAfter {
			x.result.Fenced = max(x.result.Fenced, op.Complete-x.result.FaultAt)
		}
	}

	if x.result.Acknowledged == 0 {
		x.result.violate("the run does not count: no write was acknowledged at all")
	}

	x.result.Gap = check.Longest(ops, 0, x.result.FaultAt, end)
	x.result.Gap.Errors = slices.Compact(x.result.Gap.Errors)

	if x.result.Gap.Length() > x.limit() {
		x.result.violate("no write was acknowledged for %.2f s; %.2f s are allowed", x.result.Gap.Length().Seconds(), x.limit().Seconds())
	}

	changed := x.result.TermBefore != x.result.TermAfter

	switch {
	case x.c.Expect == Failover && !changed:
		x.result.violate("the run does not count: there was no change of primary")
	case x.c.Expect == NoFailover && changed:
		x.result.violate("the primary changed for no reason")
	}
}

// endState reads what each instance has, the primary first. A replica is waited for until it has replayed what the primary had.
func (x *run) endState(ctx context.Context) ([]check.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()

	endpoint, err := x.Endpoint(ctx, x.client)
	if err != nil {
		return nil, err
	}

	var state workload.State

	err = kube.Poll(ctx, pollEvery, func(ctx context.Context) (err error) {
		state, err = endpoint.Rows(ctx, x.result.Run)

		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the primary: %w", err)
	}

	nodes := []check.Node{{Name: "primary", Rows: state.Rows}}

	replicas, err := x.Replicas(ctx)
	if err != nil {
		return nodes, err
	}

	for i := range replicas {
		node, err := x.replicaState(ctx, &replicas[i], state)
		if err != nil {
			return nodes, fmt.Errorf("read %s: %w", replicas[i].Name, err)
		}

		nodes = append(nodes, node)
	}

	return nodes, nil
}

// replicaState reads a replica, once it has the rows of the primary or the time is over.
func (x *run) replicaState(ctx context.Context, replica *corev1.Pod, primary workload.State) (check.Node, error) {
	node := check.Node{Name: replica.Name}

	endpoint, err := x.Direct(replica, x.client)
	if err != nil {
		return node, err
	}

	err = kube.Poll(ctx, pollEvery, func(ctx context.Context) error {
		state, err := endpoint.Rows(ctx, x.result.Run)
		node.Rows = state.Rows

		if err == nil && behind(state.LSN, primary.LSN) {
			err = fmt.Errorf("it has replayed %s, the primary had written %s", state.LSN, primary.LSN)
		}

		return err
	})

	return node, err
}

// behind compares positions in the write-ahead log.
func behind(a, b string) bool {
	return lsn(a) < lsn(b)
}

func lsn(text string) uint64 {
	var high, low uint64
	if _, err := fmt.Sscanf(text, "%X/%X", &high, &low); err != nil {
		return 0
	}

	return high<<32 | low
}

// WriteText writes lines for people to a file.
func WriteText(path string, lines ...string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}

	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}

	return nil
}
