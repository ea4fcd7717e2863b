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
	// maxBackoff bounds the wait before data are made again.
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
	space    *diskWatch
	rejoins  *rejoins
	// archiving is what goes to and comes from the archive.
	archiving *archiving
	// copying brings the archive to further stores.
	copying *copying
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

	// failed is the step that failed last, bootstrapFailed how the bootstrap did; they are tried again at retryAt.
	failed          string
	bootstrapFailed error
	retryAt         time.Time
	// floorLooked is when the parameters that a standby holds up were last looked at.
	floorLooked time.Time
	paused      pauseWatch
	// attempts to make data in a row.
	attempts int

	// working is held while a logical database is worked on.
	working sync.Mutex

	mu sync.Mutex
	// lost says why this standby cannot go on from its data; empty if it can.
	lost    string
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

	r.noteChange()

	facts := r.observe(ctx)
	r.act(ctx, facts, Decide(facts))
}

// tellCrash makes it known that PostgreSQL ended by itself.
func (r *runner) tellCrash(exit process.Exit) {
	crash := instanceapi.Crash{At: r.clock.Now().UTC(), How: exit.String()}
	if said := r.server.LastWords(); said != "" {
		crash.How += ", it said: " + pgconn.Brief(said)
	}

	r.view.change(func(s *instanceapi.Status) {
		s.Restarts++
		s.Crash = &crash
	})
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

func (r *runner) isLost() string {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.lost
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
