package harunner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/ha"
)

// clumsy fails a number of times at what reports nothing.
type clumsy struct {
	mu    sync.Mutex
	fail  int
	err   error
	calls []string
}

func (c *clumsy) Do(_ context.Context, action ha.Action) (ha.Done, error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.calls = append(c.calls, fmt.Sprintf("%T", action))

	return ha.Done{}, nil
}

func (c *clumsy) Apply(_ context.Context, action ha.Action) error {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.calls = append(c.calls, fmt.Sprintf("%T", action))

	if c.fail > 0 {
		c.fail--

		return c.err
	}

	return nil
}

func (c *clumsy) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()

	return slices.Clone(c.calls)
}

// The state machine counts on what it orders: it is repeated, in its order, until it is done, cut off, or moot.
func TestApplyUntilDone(t *testing.T) {
	t.Parallel()

	refused := errors.New("no space left on device")

	const change, admit, fence = "ha.ConfigureSync", "ha.AdmitClients", "ha.Fence"

	for name, c := range map[string]struct {
		fail    int
		err     error
		actions []ha.Action
		want    []string
	}{
		"it succeeds in the end": {2, refused, []ha.Action{ha.ConfigureSync{}, ha.AdmitClients{}}, []string{change, change, change, admit}},
		"there is no server":     {1, fmt.Errorf("%w: %w", ErrNotRunning, refused), []ha.Action{ha.ConfigureSync{}, ha.AdmitClients{}}, []string{change, admit}},
		"a fence cuts it off":    {1 << 30, refused, []ha.Action{ha.AdmitClients{}, ha.Fence{}}, []string{fence}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			executor := &clumsy{fail: c.fail, err: c.err}
			d := &Driver{
				opts:   Options{Executor: executor, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler), Now: func() time.Duration { return 0 }},
				events: make(chan ha.Event, eventBuffer),
			}
			d.work = newWorker(d)

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()

			go d.work.run(ctx)

			for _, action := range c.actions {
				d.work.add(action)
			}

			deadline := time.Now().Add(10 * time.Second)
			for {
				got := executor.seen()
				if len(got) >= len(c.want) && slices.Equal(got[len(got)-len(c.want):], c.want) {
					return
				}

				if time.Now().After(deadline) {
					t.Fatalf("carried out %v, want it to end in %v", got, c.want)
				}

				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}
