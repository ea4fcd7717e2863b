package instance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
	"github.com/caretaker-dev/caretaker/internal/instance/server"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// idleSync keeps a standby's processes ready to wait: nobody is called that.
	idleSync = `ANY 1 ("nobody")`
	// quitWait is for an immediate shutdown before everything is killed.
	quitWait = 500 * time.Millisecond
	// senderPatience is how long a stop waits for a replica to connect again.
	senderPatience = time.Second
	// endsUntilFailed is how many failures in a row make it a failure rather than an incident.
	endsUntilFailed = 3
	// startPause grows with each start that failed.
	startPause    = 300 * time.Millisecond
	maxStartPause = 5 * time.Second
)

// Do carries out what takes long.
func (p *protocol) Do(ctx context.Context, action ha.Action) (ha.Done, error) {
	switch a := action.(type) {
	case ha.StartStandby:
		return p.paused(ctx, p.startStandby)
	case ha.StartPrimary:
		return p.paused(ctx, func(ctx context.Context) (ha.Done, error) { return p.startPrimary(ctx, a) })
	case ha.StopReceiving:
		return ha.Done{}, p.stopReceiving(ctx, a.NobodySends)
	case ha.WaitReplayEnd:
		return p.waitReplayEnd(ctx)
	case ha.Promote:
		return p.promote(ctx, a)
	case ha.CommitTermMessage:
		return p.commitTerm(ctx, a)
	case ha.Fence:
		return ha.Done{}, p.fence(ctx, a)
	case ha.StopFast:
		return p.stopFast(ctx, a)
	case ha.Rewind:
		return p.paused(ctx, func(ctx context.Context) (ha.Done, error) { return p.rewind(ctx, a) })
	case ha.Discard:
		return p.paused(ctx, p.discard)
	case ha.Reclone:
		return p.paused(ctx, func(ctx context.Context) (ha.Done, error) { return ha.Done{}, p.reclone(ctx, a.From) })
	default:
		return ha.Done{}, fmt.Errorf("no way to carry out %T", action)
	}
}

// Apply carries out what reports nothing.
func (p *protocol) Apply(_ context.Context, action ha.Action) error {
	switch a := action.(type) {
	case ha.Follow:
		return p.follow(a.Leader)
	case ha.ConfigureSync:
		return p.configureSync(a.Gen, a.Sync)
	case ha.AdmitClients:
		if _, err := p.apply(func(in *serverconf.Input) { in.Closed = false }); err != nil {
			return err
		}

		p.r.chores.now()

		if a.Took != nil {
			p.tookOver(a)
		}

		return nil
	case ha.SetLabel:
		// The label of a replica is set when it is one: a primary that restarts in place keeps its own.
		if a.Primary {
			p.r.chores.label(instanceapi.RolePrimary)
		}

		return nil
	default:
		return fmt.Errorf("no way to carry out %T", action)
	}
}

// paused lets what failed several times in a row not spin.
func (p *protocol) paused(ctx context.Context, do func(context.Context) (ha.Done, error)) (ha.Done, error) {
	done, err := do(ctx)
	failures := p.noteFailure(err)

	if err == nil {
		return done, nil
	}

	select {
	case <-p.r.clock.After(min(startPause*time.Duration(failures), maxStartPause)):
	case <-ctx.Done():
	}

	return done, err
}

// noteFailure counts failures in a row; nil ends the row.
func (p *protocol) noteFailure(err error) int {
	p.mu.Lock()
	defer p.mu.Unlock()

	if err == nil {
		p.failures, p.failure = 0, ""

		return 0
	}

	p.failures++
	p.failure = err.Error()

	if words := p.r.server.LastWords(); words != "" && !strings.Contains(p.failure, words) {
		p.failure += "; it said: " + words
	}

	return p.failures
}

// failing says what keeps failing; empty if nothing does.
func (p *protocol) failing() string {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.failures < endsUntilFailed {
		return ""
	}

	return p.failure
}

// apply renders the configuration with a change and has PostgreSQL load it; the number shows up in new connections.
func (p *protocol) apply(change func(*serverconf.Input)) (uint64, error) {
	n := p.number(change)

	err := p.r.conf.Apply(true)
	if err != nil && !p.r.server.IsUp() {
		err = fmt.Errorf("%w: %w", harunner.ErrNotRunning, err)
	}

	return n, err
}

func (p *protocol) number(change func(*serverconf.Input)) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.conf++
	n := p.conf
	p.r.conf.Set(func(in *serverconf.Input) {
		change(in)
		in.SyncGen = n
	})

	return n
}

func (p *protocol) startStandby(ctx context.Context) (ha.Done, error) {
	control, err := p.r.programs.ControlData(ctx, p.r.layout.DataDir)
	if err != nil {
		return ha.Done{}, err
	}

	p.learn(control)
	p.number(func(in *serverconf.Input) {
		in.Upstream, in.Closed, in.Sync, in.Control = nil, false, idleSync, control.Settings
		in.WALSegmentBytes = control.WALSegmentBytes
	})
	p.setGens(generations{isWaiting: true})

	if err := volume.SetStandby(p.r.layout.DataDir); err != nil {
		return ha.Done{}, err
	}

	if err := p.startServer(ctx, instanceapi.RoleReplica); err != nil {
		return ha.Done{}, err
	}

	// Connections are accepted before all of the volume's WAL is replayed; where the log ends shows only then.
	done, err := p.waitReplayEnd(ctx)

	return done, p.killAfter(ctx, err)
}

func (p *protocol) startPrimary(ctx context.Context, a ha.StartPrimary) (ha.Done, error) {
	control, err := p.r.programs.ControlData(ctx, p.r.layout.DataDir)
	if err != nil {
		return ha.Done{}, err
	}

	p.learn(control)

	sync := harunner.SyncNames(a.Sync)
	n := p.number(func(in *serverconf.Input) {
		in.Upstream, in.Closed, in.Sync, in.Control = nil, a.Closed, sync, nil
		in.WALSegmentBytes = control.WALSegmentBytes
	})
	p.setGens(generations{
		wanted: generation{gen: a.Gen, conf: n}, loaded: a.Gen, checkpointer: a.Gen, isWaiting: sync != "", wantsWaiting: sync != "",
	})

	if err := volume.ClearStandby(p.r.layout.DataDir); err != nil {
		return ha.Done{}, err
	}

	if err := p.startServer(ctx, instanceapi.RolePrimary); err != nil {
		return ha.Done{}, err
	}

	tip, err := p.primaryTip(ctx)

	return ha.Done{Tip: tip}, p.killAfter(ctx, err)
}

// killAfter leaves nothing running of a start that failed: the protocol takes PostgreSQL for stopped then. Whoever has
// claimed the end of that server already, such as a fence, cleans up; another server may run by now.
func (p *protocol) killAfter(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}

	p.mu.Lock()
	claim := p.ends
	p.mu.Unlock()

	if claim == nil || !claim.CompareAndSwap(false, true) {
		return err
	}

	return errors.Join(err, p.kill(context.WithoutCancel(ctx)))
}

// learn tells the protocol whose data these are.
func (p *protocol) learn(control postgres.ControlData) {
	p.mu.Lock()
	p.systemID = strconv.FormatUint(control.SystemIdentifier, 10)
	p.mu.Unlock()

	p.configured()
}

// configured tells the protocol of its settings.
func (p *protocol) configured() {
	p.telling.Lock()
	defer p.telling.Unlock()

	p.mu.Lock()
	id := p.systemID
	p.mu.Unlock()

	p.driver.MustPost(p.life, ha.Configured{Settings: p.r.protocolSettings(id)})
}

// startServer starts PostgreSQL and waits until it accepts connections.
func (p *protocol) startServer(ctx context.Context, role instanceapi.Role) error {
	r := p.r
	if r.server.IsUp() {
		if err := p.kill(ctx); err != nil {
			return err
		}
	}

	if err := r.measureVolume(); err != nil {
		r.log.Warn("the volume's size is not known; sizes of WAL stay as they were", "error", err)
	}

	if err := p.prepare(); err != nil {
		return err
	}

	r.view.change(func(s *instanceapi.Status) { s.Role = role })

	if role == instanceapi.RoleReplica {
		r.chores.label(role)
	}

	r.log.Info("starting PostgreSQL", "role", role)
	r.monitor.Forget()
	r.server.TakeEnd()
	// A connection to a server that was killed would fail the first question, and so the start.
	r.suspend(ctx)
	r.resume()

	err := r.server.Start(ctx, server.Start{
		Programs: r.programs, DataDir: r.layout.DataDir, ConfFile: r.layout.ConfFile(), Lock: r.lock,
		SocketDir: r.layout.OwnSocketDir(),
	})
	if err != nil {
		return err
	}

	r.setRestart("")

	claim := p.watchEnd()

	conn, err := r.connectWhenUp(ctx, postgresDatabase)
	if err != nil {
		if !r.server.IsUp() && !claim.CompareAndSwap(false, true) {
			return errors.New("PostgreSQL ended at its start") // told of already
		}

		return errors.Join(err, p.kill(ctx))
	}

	// Only asked whether it answers; the server ends the session either way.
	_ = conn.Close(ctx)

	return nil
}

const postgresDatabase = "postgres"

// allowAlterSystemMajor is the first version that refuses ALTER SYSTEM by itself (allow_alter_system).
const allowAlterSystemMajor = 17

// prepare makes PGDATA fit to be started.
func (p *protocol) prepare() error {
	dataDir := p.r.layout.DataDir

	if err := volume.Restrict(dataDir); err != nil {
		return err
	}

	dropped, err := volume.ClearAutoConf(dataDir)
	if err != nil {
		return err
	}

	if dropped != "" {
		p.r.log.Warn("settings of ALTER SYSTEM are put aside: the Cluster's configuration decides",
			"settings", dropped, "kept", volume.AutoConfAside)
	}

	if err := volume.BlockAutoConf(dataDir, p.r.programs.Major < allowAlterSystemMajor); err != nil {
		return err
	}

	newest, err := clearPlaceholders(p.walDir())
	if err != nil {
		return err
	}

	p.mendLineage(newest) // PID 1 may have ended between a promotion and this

	return p.r.conf.Start()
}

// watchEnd tells the protocol when the server that was just started ends by itself, with all its processes.
func (p *protocol) watchEnd() *atomic.Bool {
	claim := &atomic.Bool{}
	ended := p.r.server.Ended()

	p.mu.Lock()
	p.ends = claim
	p.mu.Unlock()

	go func() {
		select {
		case <-ended:
		case <-p.life.Done():
			return
		}

		if !claim.CompareAndSwap(false, true) {
			return
		}

		if err := p.r.server.KillLeft(p.life); err != nil {
			p.r.log.Error("PostgreSQL ended, and something of it is left", "error", err)
		}

		exit, _, _ := p.r.server.TakeEnd()
		p.r.monitor.Forget()

		wasOrdered := p.ordered.Swap(false)
		if !wasOrdered {
			p.r.tellCrash(exit)
			p.r.log.Warn("PostgreSQL ended by itself", "how", exit.String(), "said", p.r.server.LastWords())
		}

		p.driver.MustPost(p.life, ha.Exited{Ordered: wasOrdered})
	}()

	return claim
}

// claimEnd says that the end that comes is asked for.
func (p *protocol) claimEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.ends != nil && p.ends.CompareAndSwap(false, true) {
		p.ordered.Store(false) // should it have been a restart's: the next end that nobody asked for is told
	}
}

// kill ends every process below this one.
func (p *protocol) kill(ctx context.Context) error {
	p.claimEnd()

	err := p.r.server.KillLeft(ctx)
	p.r.server.TakeEnd()
	p.r.monitor.Forget()

	return err
}

// fence cuts the clients off, and leaves nothing alive.
func (p *protocol) fence(ctx context.Context, a ha.Fence) error {
	if p.r.server.IsUp() {
		fenced := instanceapi.Fence{At: p.r.clock.Now().UTC(), Why: a.Why}
		p.r.view.change(func(s *instanceapi.Status) { s.Fence = &fenced })
	}

	p.claimEnd()

	wait := min(quitWait, (a.Deadline-p.r.opts.Boottime())/2)
	if ended := p.r.server.Ended(); ended != nil && p.r.server.IsUp() && wait > 0 {
		if err := p.r.server.Signal(syscall.SIGQUIT); err != nil {
			p.r.log.Warn("PostgreSQL could not be told to end; it is killed", "error", err)
		}

		select {
		case <-ended:
		case <-p.r.clock.After(wait):
		case <-ctx.Done():
		}
	}

	for ctx.Err() == nil {
		err := p.kill(ctx)
		if err == nil {
			return nil
		}

		p.r.log.Error("something of PostgreSQL is left alive", "error", err)
	}

	return ctx.Err()
}

// stopFast is a fast shutdown. A walsender ends by itself once its standby has everything: as soon as one has, and the one that
// is to lead next where one was named, those that are behind at CutSenders are terminated, and all that are left at CutAll.
func (p *protocol) stopFast(ctx context.Context, a ha.StopFast) (ha.Done, error) {
	ended := p.r.server.Ended()
	if ended == nil || !p.r.server.IsUp() {
		return ha.Done{}, errors.New("PostgreSQL does not run")
	}

	next := p.awaitSenders(ctx, string(a.Target))
	p.claimEnd()

	began := len(senders(p.processes()))

	// Clients go at once. Our own sessions may be in a question that takes long; a fast shutdown ends them as well.
	if err := p.r.server.Signal(syscall.SIGINT); err != nil {
		return ha.Done{}, err
	}

	// The Services let go of it now, not when another leads: kube-proxy takes up what has changed once a second, and the second
	// change is the one that clients wait for. A primary that comes back after all is labelled when it opens.
	if a.SkipArchiving {
		p.r.chores.label(instanceapi.RoleReplica)
	}

	if err := p.awaitStop(ctx, a, ended, stillSending{began: began, next: next}); err != nil {
		return ha.Done{}, err
	}

	if err := p.kill(ctx); err != nil {
		return ha.Done{}, err
	}

	p.r.suspend(ctx)

	control, err := p.r.programs.ControlData(ctx, p.r.layout.DataDir)
	if err != nil {
		return ha.Done{}, err
	}

	if !control.IsCleanShutdown() {
		return ha.Done{}, fmt.Errorf("PostgreSQL stopped, and its data are %q", control.State)
	}

	// The location is where the shutdown checkpoint begins; who has more than that has it.
	tip, err := p.tip(uint32(control.Timeline), uint64(control.Checkpoint)+1)

	return ha.Done{Tip: tip}, err
}

// awaitStop sees to it that a fast shutdown comes to its end, which began with so many walsenders.
func (p *protocol) awaitStop(ctx context.Context, a ha.StopFast, ended <-chan struct{}, sending stillSending) error {
	var clients leaving

	for isCut := false; ; {
		now := p.r.opts.Boottime()

		// Read before the processes are: whoever is let in, is so before the server says that it stops.
		isStopping := p.isStopping()
		processes := p.processes()

		if isStopping && p.sawLastGo(&clients, processes) {
			p.driver.Post(ha.ClientsGone{Op: a.Op})
		}

		switch {
		case now >= a.Deadline:
			return errors.Join(errors.New("PostgreSQL did not stop in time"), p.kill(ctx))
		case isCut:
		case now >= a.CutAll, now >= a.CutSenders && sending.isEnough(processes):
			p.cutSenders(processes)

			isCut = true
		}

		if a.SkipArchiving || now >= a.CutAll {
			p.endArchiver(processes)
		}

		select {
		case <-ended:
			return nil
		case <-p.r.clock.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitSenders waits a moment until as many voters stream as a commit waits for, and the one that is to lead next: PostgreSQL sends
// its last record to those that are connected only, and a new setting has just had them connect anew. Who lacks that record is
// not named. It gives the process that sends to the next one; 0 if there is none.
func (p *protocol) awaitSenders(ctx context.Context, target string) (next int) {
	ctx, cancel := context.WithTimeout(ctx, senderPatience)
	defer cancel()

	isSync := p.getGens().wantsWaiting
	if !isSync && target == "" {
		return 0
	}

	err := p.poll(ctx, func(ctx context.Context) (bool, error) {
		var enough bool

		err := p.work.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, whoStreams, target).Scan(&enough, &next)
		})

		return (enough || !isSync) && (target == "" || next != 0), err
	})
	if err != nil {
		p.r.log.Warn("too few replicas stream while PostgreSQL is stopped", "error", err)
	}

	return next
}

// whoStreams: whether enough voters do, since PostgreSQL itself knows whom it counts, and how many it waits for; and who sends to one of them.
const whoStreams = `SELECT count(*) FILTER (WHERE sync_state <> 'async') >=
    COALESCE(substring(pg_catalog.current_setting('synchronous_standby_names') FROM 'ANY (\d+)')::int, 1),
    COALESCE(max(pid) FILTER (WHERE application_name = $1), 0)
  FROM pg_catalog.pg_stat_replication WHERE state = 'streaming'`

// awaitClients waits until no client is connected. The pod's Services lead no new ones here any more.
func (p *protocol) awaitClients(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	// An error is the limit, or a server that has ended.
	_ = p.poll(ctx, func(ctx context.Context) (bool, error) {
		var clients int

		err := p.query(ctx, `SELECT count(*) FROM pg_catalog.pg_stat_activity
			WHERE backend_type = 'client backend' AND application_name NOT LIKE 'caretaker%'`, &clients)

		return clients == 0, err
	})
}

func (p *protocol) cutSenders(of []pgProcess) {
	for _, sender := range senders(of) {
		p.r.log.Warn("a replica is behind; the stop does not wait for it", "walsender", sender.pid)

		_ = unix.Kill(sender.pid, syscall.SIGTERM)
	}
}
