package watchdog

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/process"
)

// restartPause is how long after its end the child is started again.
const restartPause = 200 * time.Millisecond

// Watchdog is PID 1's side.
type Watchdog struct {
	table    *process.Table
	program  []string
	env      []string
	clock    clock.Clock
	log      *slog.Logger
	deadline *Deadline

	mu   sync.Mutex
	last time.Duration
	runs bool
}

// New makes a Watchdog whose child is this program with these arguments. It starts with the first deadline.
func New(table *process.Table, program, env []string, clk clock.Clock, log *slog.Logger) (*Watchdog, error) {
	deadline, err := newDeadline()
	if err != nil {
		return nil, err
	}

	return &Watchdog{
		table: table, program: program, clock: clk, log: log, deadline: deadline,
		// One thread does; every other costs memory.
		env: append(append([]string{}, env...), "GOMAXPROCS=1", "GOGC=20"),
	}, nil
}

// Set puts the deadline off, or away with 0. It never waits.
func (w *Watchdog) Set(ctx context.Context, by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if by == w.last {
		return
	}

	if err := w.deadline.set(by); err != nil {
		w.log.Error("the watchdog's deadline cannot be written", "error", err)

		return
	}

	w.last = by

	if !w.runs && by != 0 {
		w.runs = true

		go w.keep(ctx)
	}
}

// keep keeps the child alive.
func (w *Watchdog) keep(ctx context.Context) {
	for ctx.Err() == nil {
		child, err := w.table.Start(process.Command{
			Path: w.program[0], Args: w.program[1:], Env: w.env, Stderr: os.Stderr, Inherit: []*os.File{w.deadline.file},
			Group: true, Spare: true,
		})
		if err != nil {
			w.log.Error("the watchdog does not start; PID 1 alone fences", "error", err)
		} else {
			w.log.Debug("the watchdog runs", "pid", child.PID())

			select {
			case <-child.Done():
				w.log.Warn("the watchdog ended and is started again", "how", child.Exit().String())
			case <-ctx.Done():
				return
			}
		}

		select {
		case <-w.clock.After(restartPause):
		case <-ctx.Done():
		}
	}
}
