package instance

import (
	"context"
	"errors"
	"time"
)

// job is work that takes long and runs beside the main loop, one at a time.
type job struct {
	kind   Do
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// jobStopGrace is how long a cancelled job may take to end.
const jobStopGrace = 15 * time.Second

// start starts a job; the loop is woken when it ends.
func (r *runner) start(ctx context.Context, kind Do, work func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	j := &job{kind: kind, cancel: cancel, done: make(chan struct{})}
	r.job = j

	go func() {
		defer r.wake()
		defer close(j.done)

		j.err = work(ctx)
	}()
}

// collect takes the result of a job that has ended; ok is false while one runs, or if there is none.
func (r *runner) collect() (ended *job, ok bool) {
	if r.job == nil {
		return nil, false
	}

	select {
	case <-r.job.done:
	default:
		return nil, false
	}

	ended = r.job
	ended.cancel()
	r.job = nil

	return ended, true
}

// cancelJob ends a running job and waits for it.
func (r *runner) cancelJob() {
	if r.job == nil {
		return
	}

	r.job.cancel()

	select {
	case <-r.job.done:
	case <-r.clock.After(jobStopGrace):
		r.log.Warn("a job does not end", "job", r.job.kind)
	}

	r.job = nil
}

// isCancelled says whether an error only means that the job was told to end.
func isCancelled(err error) bool { return errors.Is(err, context.Canceled) }
