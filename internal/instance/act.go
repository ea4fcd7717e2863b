package instance

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instance/server"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

type lockFile = *os.File

// act carries a decision out, or starts the job that does.
func (r *runner) act(ctx context.Context, facts Facts, step Step) {
	r.reportStep(facts, step)

	switch step.Do {
	case DoWait, DoFail:
	case DoBootstrap:
		r.startBootstrap(ctx)
	case DoAdopt:
		timeline := int64(r.control.Timeline)
		r.start(ctx, step.Do, func(ctx context.Context) error { return r.adopt(ctx, facts, timeline) })
	case DoTakePart:
		// The protocol outlives the loop, until PostgreSQL has stopped.
		if err := r.startProtocol(r.life, facts); err != nil { //nolint:contextcheck // see above
			r.log.Error("this instance cannot take part in failover", "error", err)
			r.reportStep(facts, outsideProtocol(err))
		}
	}
}

func (r *runner) stopWithin(ctx context.Context, smart, total time.Duration) error {
	began := r.clock.Now()
	r.chores.checkpointBeforeStop(ctx, r.server.IsUp(), total/checkpointShare)
	r.suspend(ctx)

	total -= r.clock.Since(began)

	err := r.server.Stop(ctx, server.StopPlan(smart, total))
	r.monitor.Forget()

	// It was asked for, so it is no end to be counted.
	r.server.TakeEnd()

	return err
}

// stopWithinUnclaimed stops PostgreSQL and leaves it to others to notice, to clean up after it and to start the next.
func (r *runner) stopWithinUnclaimed() error {
	return r.server.End(server.StopPlan(0, time.Duration(r.conf.Config().StopTimeout)*time.Second))
}

func (r *runner) suspend(ctx context.Context) {
	for _, session := range r.sessions {
		session.Suspend(ctx)
	}
}

func (r *runner) resume() {
	for _, session := range r.sessions {
		session.Resume()
	}
}

// finish takes a job's result over.
func (r *runner) finish(ended *job) {
	r.view.change(func(s *instanceapi.Status) { s.Progress = nil })

	if ended.kind == DoBootstrap {
		r.data = DataFacts{}
		r.finishBootstrap(ended)

		return
	}

	r.failed = ""

	if ended.err != nil && !isCancelled(ended.err) {
		r.noteFailed(ended.kind, ended.err)
	}
}

// noteFailed has a step decided again; not at once, so that a fault that stays does not spin.
func (r *runner) noteFailed(step Do, err error) {
	r.log.Error("a step failed", "step", step, "error", err)
	r.retryAt = r.clock.Now().Add(time.Second)
	r.failed = fmt.Sprintf("%s: %v", step, err)
}
