package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/metrics"
	"github.com/caretaker-dev/caretaker/internal/instance/monitor"
	"github.com/caretaker-dev/caretaker/internal/instance/pgbin"
	"github.com/caretaker-dev/caretaker/internal/instance/process"
	"github.com/caretaker-dev/caretaker/internal/instance/server"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/serverlog"
	"github.com/caretaker-dev/caretaker/internal/instance/statusserver"
	"github.com/caretaker-dev/caretaker/internal/instance/tlsfiles"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Run is PID 1's life: until the context ends (SIGTERM), then an orderly stop. It returns an error only when it could
// not begin.
func Run(ctx context.Context, opts Options) error {
	if err := opts.Layout.Prepare(); err != nil {
		return err
	}

	if opts.Snapshot != "" {
		if err := volume.Disown(opts.Layout.StateDir, opts.Layout.DataDir, opts.Snapshot); err != nil {
			return err
		}
	}

	table, err := process.NewTable(opts.Clock)
	if err != nil {
		return err
	}

	r := newRunner(opts, table)

	// What serves others goes on until PostgreSQL has stopped.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()

	go table.Run(life)

	if err := r.conf.Load(); err != nil {
		r.log.Warn("no configuration yet; the operator will bring it", "error", err)
	}

	serving, err := r.serve(life)
	if err != nil {
		return err
	}

	r.life = life
	work, stopWork := context.WithCancel(life)
	r.background(work, life)
	r.log.Info("started", "version", opts.BinaryVersion)
	r.loop(ctx)

	r.log.Info("stopping")
	r.view.stop()
	r.cancelJob()
	stopWork()
	r.shutdown(life)
	r.log.Info("stopped")
	end()
	serving.Wait()

	return nil
}

func newRunner(opts Options, table *process.Table) *runner {
	r := &runner{
		opts: opts, layout: opts.Layout, clock: opts.Clock, log: opts.Log.With("logger", "instance"),
		table: table, view: &view{}, woken: make(chan struct{}, 1), tls: tlsfiles.New(opts.Layout),
		finder: pgbin.Finder{Path: opts.Path, Places: pgbin.Places(), Table: table, Env: opts.Env},
	}
	r.server = server.New(table, opts.Clock, r.log, opts.ServerLog.With("logger", "postgres"))
	r.term = &termWatch{store: opts.Term, clock: opts.Clock, wake: r.wake}
	r.conf = newConfiguration(serverconf.Input{
		Layout: opts.Layout, TLS: r.tls.Paths(), Instance: opts.Instance, OSUser: opts.OSUser, WALHelper: opts.WALHelper,
	}, r.server.Reload)

	local := pgconn.Local(opts.Layout.OwnSocketDir(), opts.Layout.PostgresPort, postgres.Superuser)
	watching, working := pgconn.NewSession(local), pgconn.NewSession(local)
	measuring, guarding, ordering := pgconn.NewSession(local), pgconn.NewSession(local), pgconn.NewSession(local)
	r.sessions = []*pgconn.Session{watching, working, measuring, guarding, ordering}
	r.archiving = newArchiving(r, ordering)
	r.copying = newCopying(r)
	r.monitor = monitor.New(watching, opts.Clock)
	r.chores = newChores(r, working)
	r.space = &diskWatch{r: r, session: guarding}
	r.rejoins = newRejoins(opts.Layout.StateDir, r.log)
	r.metrics = metrics.NewCollector(metrics.Source{
		Session: measuring,
		Database: func(name string) pgconn.Params {
			return pgconn.Local(opts.Layout.OwnSocketDir(), opts.Layout.PostgresPort, name)
		},
		IsUp: func() (int, bool) {
			status := r.view.get()

			return status.Major, r.serves() && !r.view.isStopping()
		},
		Restarts:  func() int { return r.view.get().Restarts },
		Protocol:  r.protocolMetrics,
		Disk:      r.space.disk,
		Archiving: r.archiving.report,
		Copies:    r.copying.report,
		Instance:  r.instanceOf,
		Rejoins: func() (int, int) {
			kept := r.rejoins.get()

			return kept.Rewinds, kept.Reclones
		},
	}, opts.Clock, opts.Log.With("logger", "metrics"))
	r.onPrograms = func(context.Context) {}

	r.view.heartbeat(opts.Clock.Now())
	r.view.change(func(s *instanceapi.Status) {
		s.Instance, s.PodUID, s.BinaryVersion = opts.Instance, opts.PodUID, opts.BinaryVersion
		s.State, s.Message = instanceapi.StateWaiting, "PID 1 is starting"
		s.PasswordsHash = passwordsHash(nil)
	})

	return r
}

// serve opens the status server as early as possible: the startup probe waits for it. It needs a certificate first.
func (r *runner) serve(ctx context.Context) (*sync.WaitGroup, error) {
	if _, err := r.tls.Sync(); err != nil {
		r.log.Warn("no certificates yet; probes fail until there are", "error", err)
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.layout.StatusAddress)
	if err != nil {
		return nil, fmt.Errorf("open the status port: %w", err)
	}

	var serving sync.WaitGroup

	serving.Go(func() {
		err := statusserver.Serve(ctx, listener, r.tls.ServerConfig(), r, r.opts.Log.With("logger", "status"))
		if err != nil {
			r.log.Error("the status server ended", "error", err)
		}
	})

	numbers, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.layout.MetricsAddress)
	if err != nil {
		return nil, fmt.Errorf("open the metrics port: %w", err)
	}

	serving.Go(func() {
		if err := metrics.Serve(ctx, numbers, r.metrics); err != nil {
			r.log.Error("the metrics server ended", "error", err)
		}
	})

	return &serving, nil
}

// background starts what runs beside the loop.
func (r *runner) background(ctx, life context.Context) {
	go r.term.run(ctx)
	go r.chores.run(ctx)
	go r.chores.runLabels(ctx)
	go r.chores.runFiles(ctx)
	go r.space.run(life)
	go r.archiving.run(ctx, life)
	go r.copying.run(ctx)

	var once sync.Once

	logs, endPump := context.WithCancel(life)
	r.endPump = endPump

	// The format of the server's log depends on its version.
	r.onPrograms = func(context.Context) {
		once.Do(func() {
			pump := &serverlog.Pump{
				Dir: r.layout.LogDir(), Major: r.programs.Major, Clock: r.clock,
				Log: r.opts.ServerLog.With("logger", "postgres"), Rotate: r.server.RotateLog, Watch: r.watchLog,
			}
			// Until PostgreSQL's very end: its last words matter most.
			r.pump.Go(func() { pump.Run(logs) })
		})
	}
}

// lostWAL is why a replica has to be copied anew.
const lostWAL = "the primary no longer has WAL that this replica needs"

// watchLog looks for messages that matter to us, and leaves out those that only we cause.
func (r *runner) watchLog(entry serverlog.Entry) (pass bool) {
	const startingUp = "57P03"
	ours := entry.User == postgres.Superuser && entry.RemoteHost == "[local]" || entry.User == postgres.ReplicationUser
	if entry.SQLState == startingUp && ours {
		return false
	}

	if entry.Severity != "FATAL" && entry.Severity != "PANIC" {
		return true
	}

	if entry.BackendType == "postmaster" || entry.BackendType == "startup" {
		r.server.Note(entry.Message)
	}

	// The primary has removed WAL that this standby has not received yet; no later attempt can succeed.
	isGone := strings.Contains(entry.Message, "requested WAL segment") &&
		strings.Contains(entry.Message, "has already been removed")
	if entry.BackendType != "walreceiver" {
		return true
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	// The administrator of this one is us: the receiver is ended whenever it is to follow another primary.
	if r.unconnected = pgconn.Brief(entry.Message); strings.Contains(entry.Message, "due to administrator command") {
		r.unconnected = ""
	}

	if isGone {
		r.lost = lostWAL
		r.wake()

		// Until the budget allows, it stays what it is: a copy that is behind.
		if r.ha != nil && r.mayReclone() {
			r.ha.driver.Post(ha.Broken{Reason: r.lost})
		}
	}

	return true
}

// shutdown stops PostgreSQL in order: smart, fast, immediate, within the time that the pod has.
func (r *runner) shutdown(ctx context.Context) {
	config := r.conf.Config()
	smart := time.Duration(config.SmartShutdownTimeout) * time.Second

	total := time.Duration(config.StopTimeout) * time.Second
	if total <= 0 {
		total = defaultStopTimeout
	}

	if p := r.protocolRuns(); p != nil {
		began := r.clock.Now()
		r.leaveProtocol(ctx, p, smart, total)
		smart, total = 0, max(total-r.clock.Since(began), time.Second)
	}

	if err := r.stopWithin(ctx, smart, total); err != nil && !errors.Is(err, context.Canceled) {
		r.log.Error("PostgreSQL did not stop in order", "error", err)
	}

	r.endPump()
	r.pump.Wait()
}

// defaultStopTimeout where the configuration names none.
const defaultStopTimeout = 30 * time.Second

// leaveProtocol hands over, if this is the primary, and stops PostgreSQL within the time. A primary's clients are better
// served by its successor than by waiting; others get some time to leave by themselves.
func (r *runner) leaveProtocol(ctx context.Context, p *protocol, smart, total time.Duration) {
	seen := p.driver.Snapshot()
	if seen.Phase == ha.Primary {
		r.chores.checkpointBeforeStop(ctx, r.server.IsUp(), total/checkpointShare)
	}

	if seen.Phase == ha.Standby || seen.Phase == ha.Primary && len(seen.Voters) == 0 {
		p.awaitClients(ctx, min(smart, total/2))
	}

	p.driver.MustPost(ctx, ha.Shutdown{})

	select {
	case <-p.gone:
	case <-r.clock.After(total):
		r.log.Warn("the orderly stop takes too long")
	}

	p.claimEnd()
}
