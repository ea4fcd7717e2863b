package instance

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/metrics"
	"github.com/caretaker-dev/caretaker/internal/instance/monitor"
	"github.com/caretaker-dev/caretaker/internal/instance/pgbin"
	"github.com/caretaker-dev/caretaker/internal/instance/process"
	"github.com/caretaker-dev/caretaker/internal/instance/server"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/tlsfiles"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// tick is how often the loop comes round when nothing wakes it.
	tick = time.Second
	// startingTick is how often it looks whether PostgreSQL accepts connections yet.
	startingTick = 100 * time.Millisecond
	// stableAfter is how long PostgreSQL must have been up for its next end to count as the first again.
	stableAfter = time.Minute
	// maxBackoff bounds the wait before PostgreSQL is started again.
	maxBackoff = 30 * time.Second
)

// runner is the main loop and its state. Fields without a lock belong to the loop's goroutine; jobs get what they need
// as arguments.
type runner struct {
	opts   Options
	layout layout.Layout
	clock  clock.WithTicker
	log    *slog.Logger

	table   *process.Table
	finder  pgbin.Finder
	server  *server.Server
	tls     *tlsfiles.Files
	conf    *configuration
	view    *view
	term    *termWatch
	monitor *monitor.Monitor
	orphan  orphan
	metrics *metrics.Collector
	// sessions are closed while PostgreSQL stops, since a smart shutdown would wait for them.
	sessions []*pgconn.Session
	chores   *chores
	rejoins  *rejoins
	// onPrograms is called when PostgreSQL's programs are known.
	onPrograms func(ctx context.Context)

	// pump passes the server's log on, until endPump.
	pump    sync.WaitGroup
	endPump context.CancelFunc

	// life ends when everything else has.
	life context.Context //nolint:containedctx // of what outlives the loop

	woken chan struct{}
	job   *job

	lock     lockFile
	member   volume.Member
	programs *pgbin.Programs
	data     DataFacts
	control  postgres.ControlData
	role     instanceapi.Role
	// attended: the chores were called for since PostgreSQL accepts connections.
	attended bool
	upstream string

	// ends in a row, and when PostgreSQL may start again.
	ends      int
	retryAt   time.Time
	lastWords string
	// failed is the step that failed last; it is tried again at retryAt.
	failed string
	// floorLooked is when the parameters that a standby holds up were last looked at.
	floorLooked time.Time
	// attempts to make data in a row.
	attempts int

	mu      sync.Mutex
	clone   CloneFacts
	restart string
	// unconnected is what the WAL receiver said last.
	unconnected string
	// ha is the protocol, from when this instance takes part.
	ha *protocol
	// retryNow: something has changed, so that what failed may work now.
	retryNow bool
}

// wake makes the loop come round now.
func (r *runner) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// loop observes, decides and acts until the context ends.
func (r *runner) loop(ctx context.Context) {
	for ctx.Err() == nil {
		r.view.heartbeat(r.clock.Now())
		r.pass(ctx)

		// A server whose end is known already would wake the loop for ever.
		var ended <-chan struct{}
		if r.server.IsUp() {
			ended = r.server.Ended()
		}

		select {
		case <-r.woken:
		case <-ended:
		case <-r.clock.After(r.interval()):
		case <-ctx.Done():
		}
	}
}

// interval until the loop comes round by itself: soon while PostgreSQL starts.
func (r *runner) interval() time.Duration {
	state := r.view.get().State
	if state == instanceapi.StateStarting {
		return startingTick
	}

	if state == instanceapi.StateWaiting {
		return preflightInterval
	}

	return tick
}

func (r *runner) pass(ctx context.Context) {
	if ended, ok := r.collect(); ok {
		r.finish(ended)
	}

	if r.job != nil {
		return
	}

	if p := r.protocolRuns(); p != nil {
		r.passProtocol(ctx, p)

		return
	}

	r.noteEnd(ctx)
	r.noteChange()

	facts := r.observe(ctx)
	if !facts.Server.Up && r.server.HasEnded() {
		// It ended since noteEnd looked. Started now, that end would never be counted.
		r.wake()

		return
	}

	if !r.server.IsUp() && r.wantsProtocol(facts) {
		err := r.startProtocol(r.life, facts) //nolint:contextcheck // it outlives the loop, until PostgreSQL has stopped
		if err == nil {
			return
		}

		r.log.Error("this instance cannot take part in failover", "error", err)
		r.act(ctx, facts, outsideProtocol(err.Error()))

		return
	}

	step := Decide(facts)

	r.act(ctx, facts, step)
}

// noteEnd counts an end of PostgreSQL that nobody asked for: started again at once, then after 1, 2, 4 … 30 s.
func (r *runner) noteEnd(ctx context.Context) {
	exit, started, ok := r.server.TakeEnd()
	if !ok {
		return
	}

	now := r.clock.Now()
	if now.Sub(started) > stableAfter {
		r.ends = 0
	}

	r.retryAt, r.failed = now.Add(backoff(r.ends)), ""
	r.ends++
	r.lastWords = r.server.LastWords()
	r.data = DataFacts{}
	r.monitor.Forget()
	// Connections to the server that is gone would fail once more before they are opened anew.
	r.suspend(ctx)
	r.resume()
	r.view.change(func(s *instanceapi.Status) { s.Restarts++ })
	r.log.Warn("PostgreSQL ended by itself", "how", exit.String(), "inARow", r.ends, "said", r.lastWords)
}

// noteChange lets what failed be tried at once when something has changed.
func (r *runner) noteChange() {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.retryNow {
		r.retryNow, r.retryAt = false, time.Time{}
	}
}

func backoff(before int) time.Duration {
	if before == 0 {
		return 0
	}

	return min(time.Second<<min(before-1, 10), maxBackoff)
}

// setRestart asks for an orderly restart; an empty reason takes it back.
func (r *runner) setRestart(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.restart = reason
}

func (r *runner) restartAsked() string {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.restart
}

func (r *runner) cloneFacts() CloneFacts {
	r.mu.Lock()
	defer r.mu.Unlock()

	facts := r.clone
	facts.MayReclone = r.mayReclone()

	return facts
}

// setUpstream makes a member the one to stream from; nil for none.
func (r *runner) setUpstream(instance string) {
	r.upstream = instance

	if instance == "" {
		r.conf.Set(func(in *serverconf.Input) { in.Upstream, in.Control = nil, nil })

		return
	}

	host, port := r.opts.Peer(instance)
	control := r.control.Settings
	r.conf.Set(func(in *serverconf.Input) {
		in.Upstream, in.Control = &serverconf.Upstream{Host: host, Port: port}, control
	})
}

// measureVolume takes the size of the volume over into what is rendered.
func (r *runner) measureVolume() error {
	size, err := volume.Size(r.layout.VolumeDir)
	if err != nil {
		return fmt.Errorf("measure the volume: %w", err)
	}

	r.conf.Set(func(in *serverconf.Input) { in.VolumeBytes = size })

	return nil
}
