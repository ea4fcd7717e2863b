package harunner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/caretaker-dev/caretaker/internal/ha"
)

// worker carries actions out in their order. A Fence cuts off what is under way and what waits.
type worker struct {
	d *Driver

	mu    sync.Mutex
	queue []task
	woken chan struct{}
	// life is the context that the next fence ends.
	life context.Context //nolint:containedctx // of the tasks, not of the worker
	cut  context.CancelFunc
	base context.Context //nolint:containedctx // the worker's own
}

type task struct {
	ctx    context.Context //nolint:containedctx // each has its own
	action ha.Action
}

func newWorker(d *Driver) *worker {
	w := &worker{d: d, woken: make(chan struct{}, 1)}
	w.base = context.Background()
	w.life, w.cut = context.WithCancel(w.base)

	return w
}

func (w *worker) add(action ha.Action) {
	w.mu.Lock()
	if _, ok := action.(ha.Fence); ok {
		w.cut()
		w.life, w.cut = context.WithCancel(w.base)
	}

	w.queue = append(w.queue, task{ctx: w.life, action: action})
	w.mu.Unlock()

	select {
	case w.woken <- struct{}{}:
	default:
	}
}

func (w *worker) next() (task, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if len(w.queue) == 0 {
		return task{}, false
	}

	t := w.queue[0]
	w.queue = w.queue[1:]

	return t, true
}

func (w *worker) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.cut()
	})
	defer stop()

	for ctx.Err() == nil {
		t, ok := w.next()
		if !ok {
			select {
			case <-w.woken:
			case <-ctx.Done():
			}

			continue
		}

		w.one(ctx, t)
	}
}

func (w *worker) one(ctx context.Context, t task) {
	log := w.d.opts.Log

	op, hasOp := opOf(t.action)
	if t.ctx.Err() != nil {
		return // cut off before it began; nobody waits for it
	}

	if !hasOp {
		w.apply(t)

		return
	}

	log.Info("begins", "action", nameOf(t.action))

	done, err := w.d.opts.Executor.Do(t.ctx, t.action) //nolint:contextcheck // the task's own
	if t.ctx.Err() != nil {
		log.Info("was cut off", "action", nameOf(t.action))

		return
	}

	done.Op = op
	if err != nil {
		done.Failed = err.Error()
		log.Warn("failed", "action", nameOf(t.action), "error", err)
	} else {
		log.Info("done", "action", nameOf(t.action), "tip", done.Tip)
	}

	w.d.MustPost(ctx, done)
}

// applyPause is between two tries of what reports nothing.
const applyPause = 200 * time.Millisecond

// apply repeats what reports nothing until it succeeds: the state machine counts on it. A server that has ended needs it
// no more, since each start brings a configuration of its own.
func (w *worker) apply(t task) {
	log := w.d.opts.Log.With("action", nameOf(t.action))

	for failures := 0; t.ctx.Err() == nil; failures++ {
		err := w.d.opts.Executor.Apply(t.ctx, t.action)

		switch {
		case err == nil && failures > 0:
			log.Info("succeeded at last", "failures", failures)

			return
		case err == nil:
			return
		case errors.Is(err, ErrNotRunning):
			log.Info("is not needed: PostgreSQL does not run", "error", err)

			return
		case failures%25 == 0:
			log.Error("an action failed; it is tried again", "error", err, "failures", failures)
		}

		select {
		case <-w.d.opts.Clock.After(applyPause):
		case <-t.ctx.Done():
		}
	}
}
