package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/diverged"
	"github.com/caretaker-dev/caretaker/internal/instance/server"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// rewindPatience is how long the new primary may take for the checkpoint that pg_rewind goes by.
	rewindPatience = 30 * time.Second
	// rewindStop is how long a diverged standby may take to stop.
	rewindStop = 10 * time.Second
)

// upstream is where a member's PostgreSQL is. The address that its PID 1 told needs no name service, which may be on the
// node that is gone.
func (p *protocol) upstream(instance string) serverconf.Upstream {
	host, port := p.r.opts.Peer(instance)

	if p.r.opts.Address != "" {
		if told, _, err := net.SplitHostPort(p.transport.Told(instance)); err == nil {
			host = told
		}
	}

	return serverconf.Upstream{Host: host, Port: port}
}

func (p *protocol) stopQuietly(ctx context.Context) error {
	p.claimEnd()

	if p.r.server.IsUp() {
		p.r.suspend(ctx)

		plan := []server.Phase{{Signal: syscall.SIGINT, Wait: rewindStop}, {Signal: syscall.SIGQUIT, Wait: quitWait}}
		if err := p.r.server.Stop(ctx, plan); err != nil {
			return err
		}
	}

	return p.kill(ctx)
}

// rewind makes the data a copy of the new primary's again. When pg_rewind fails, or is interrupted, the marker stays, and
// the data are discarded.
func (p *protocol) rewind(ctx context.Context, a ha.Rewind) (ha.Done, error) {
	p.r.view.say(instanceapi.StateCloning, "Rewinding", "its log went on beyond where "+a.From.Name+" took over; it is being rewound")

	upstream := p.upstream(a.From.Name)
	if err := p.prepareRewind(ctx, a, upstream); err != nil {
		return ha.Done{Untouched: true}, err
	}

	if err := p.runRewind(ctx, a.From, upstream); err != nil {
		return ha.Done{}, err
	}

	if err := p.catchUp(ctx, a, upstream); err != nil {
		return ha.Done{}, fmt.Errorf("follow %s after the rewind: %w", a.From.Name, err)
	}

	p.unlost()

	p.remember(p.r.rejoins.done(instanceapi.RejoinRewound, p.driver.Snapshot().Leader.Term, p.r.clock.Now()))

	return ha.Done{}, nil
}

// remember: evidence that cannot be written, as on a full disk, is no reason to stay behind.
func (p *protocol) remember(err error) {
	if err != nil {
		p.r.log.Warn("the evidence of a rejoin cannot be kept", "error", err)
	}
}

// prepareRewind changes nothing that the data mean.
func (p *protocol) prepareRewind(ctx context.Context, a ha.Rewind, upstream serverconf.Upstream) error {
	if err := p.stopQuietly(ctx); err != nil {
		return err
	}

	p.remember(p.r.rejoins.begin(p.keepDiverged(a)))

	if err := p.awaitCheckpoint(ctx, upstream); err != nil {
		return err
	}

	// What a primary left behind is recovered by a server for one user, which is no standby.
	if err := volume.ClearStandby(p.r.layout.DataDir); err != nil {
		return err
	}

	if err := volume.RemoveStalePID(p.r.layout.DataDir); err != nil {
		return err
	}

	p.number(func(in *serverconf.Input) { in.Upstream, in.Sync, in.Control = nil, "", nil })

	return p.prepare()
}

// keepDiverged keeps what is about to be undone. That it cannot be kept is no reason to stay behind.
func (p *protocol) keepDiverged(a ha.Rewind) instanceapi.Rejoin {
	timeline, fork := a.Own.Fork(a.Onto)
	timelines := []postgres.Timeline{postgres.Timeline(timeline)}

	for _, h := range a.Own.History {
		if h.Timeline > timeline {
			timelines = append(timelines, postgres.Timeline(h.Timeline))
		}
	}

	if a.Own.Timeline != timeline {
		timelines = append(timelines, postgres.Timeline(a.Own.Timeline))
	}

	kept, err := diverged.Keep(p.r.layout.StateDir, diverged.Divergence{
		Instance: p.r.opts.Instance, Member: string(p.driver.Snapshot().Self.ID), Primary: a.From.Name,
		Timelines: timelines, Onto: postgres.Timeline(a.Onto.Timeline), Fork: postgres.LSN(fork), End: postgres.LSN(a.Own.LSN),
		WALDir: p.walDir(), SegmentBytes: p.segmentBytes(), At: p.r.clock.Now(),
	})

	seen := instanceapi.Rejoin{
		TimelineID: int64(a.Own.Timeline), ForkLSN: postgres.LSN(fork).String(), EndLSN: postgres.LSN(a.Own.LSN).String(),
		DiscardedBytes: max(0, postgres.LSN(a.Own.LSN).Diff(postgres.LSN(fork))), KeptIn: kept.Path, Missing: kept.Missing,
		Why: fmt.Sprintf("its log went on beyond where %s took over", a.From.Name),
	}
	if err != nil {
		p.r.log.Error("divergent WAL could not be kept", "error", err)
		seen.Missing = err.Error()
	}

	p.r.log.Warn("this log diverged", "timeline", seen.TimelineID, "fork", seen.ForkLSN, "end", seen.EndLSN,
		"bytes", seen.DiscardedBytes, "onto", a.Onto.Timeline, "kept", seen.KeptIn, "missing", seen.Missing)

	return seen
}

func (p *protocol) runRewind(ctx context.Context, from ha.Instance, upstream serverconf.Upstream) error {
	dataDir := p.r.layout.DataDir

	var input serverconf.Input
	p.r.conf.Set(func(in *serverconf.Input) { input = *in })

	info := serverconf.CopyConnInfo(input, upstream, copyName)
	info.DBName = postgresDatabase
	log := p.r.opts.Log.With("logger", "pg_rewind")

	err := p.r.programs.Rewind(ctx, dataDir, p.r.layout.ConfFile(), info.String(), func(line string) { log.Info(line) })
	if err != nil {
		return fmt.Errorf("rewind onto %s: %w", from.Name, err)
	}

	if err := volume.SetStandby(dataDir); err != nil {
		return err
	}

	return volume.Sync(dataDir)
}

// catchUp replays what rewound data still need from the new primary to be consistent, and stops again. Until then they
// are nobody's copy: it shows another name than the member's, so that no commit counts as acknowledged for it.
func (p *protocol) catchUp(ctx context.Context, a ha.Rewind, upstream serverconf.Upstream) error {
	control, err := p.r.programs.ControlData(ctx, p.r.layout.DataDir)
	if err != nil {
		return err
	}

	member := string(p.driver.Snapshot().Self.ID)
	p.number(func(in *serverconf.Input) {
		in.Member, in.Upstream, in.Closed, in.Sync, in.Control = copyName, &upstream, true, idleSync, control.Settings
	})
	defer p.number(func(in *serverconf.Input) { in.Member, in.Upstream, in.Closed = member, nil, false })

	if err := p.startServer(ctx, instanceapi.RoleReplica); err != nil {
		return err
	}

	limit, cancel := context.WithTimeout(ctx, rewindPatience)
	defer cancel()

	err = p.poll(limit, func(ctx context.Context) (bool, error) {
		tip, err := p.standbyTip(ctx)

		return tip.Timeline >= a.Onto.Timeline, err
	})

	return errors.Join(err, p.stopQuietly(ctx))
}

// unlost: what was wrong with the data is over.
func (p *protocol) unlost() {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()

	p.r.lost = ""
}

// awaitCheckpoint waits until the last checkpoint of the new primary is of its new timeline: pg_rewind goes by it.
func (p *protocol) awaitCheckpoint(ctx context.Context, upstream serverconf.Upstream) error {
	ctx, cancel := context.WithTimeout(ctx, rewindPatience)
	defer cancel()

	for {
		isDone, err := p.hasCheckpoint(ctx, upstream)
		if isDone {
			return nil
		}

		select {
		case <-p.r.clock.After(preflightInterval):
		case <-ctx.Done():
			return fmt.Errorf("the new primary at %s has made no checkpoint yet: %w", upstream.Host, err)
		}
	}
}

func (p *protocol) hasCheckpoint(ctx context.Context, upstream serverconf.Upstream) (bool, error) {
	conn, err := p.r.connectReplica(ctx, upstream)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read from

	var isDone bool

	err = conn.QueryRow(ctx, `SELECT NOT pg_catalog.pg_is_in_recovery() AND timeline_id =
		('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
		FROM pg_catalog.pg_control_checkpoint()`).Scan(&isDone)

	return isDone, err
}

// discard empties an unusable directory; the volume is a new member then.
func (p *protocol) discard(ctx context.Context) (ha.Done, error) {
	if err := p.kill(ctx); err != nil {
		return ha.Done{}, err
	}

	if err := p.awaitBudget(ctx); err != nil {
		return ha.Done{}, err
	}

	p.r.log.Warn("discarding the data, to copy the primary anew", "why", p.r.rejoins.begun())

	if _, err := os.Stat(p.r.layout.DataDir); err == nil {
		if err := p.r.rejoins.discard(p.r.clock.Now()); err != nil {
			return ha.Done{}, err
		}

		if err := volume.Discard(p.r.layout.DataDir); err != nil {
			return ha.Done{}, err
		}
	}

	member, err := volume.NewMember(p.r.layout.StateDir, p.r.clock.Now())
	if err != nil {
		return ha.Done{}, err
	}

	p.r.conf.Set(func(in *serverconf.Input) { in.Member = member.ID })
	p.r.view.change(func(s *instanceapi.Status) { s.MemberID = member.ID })

	return ha.Done{Member: ha.MemberID(member.ID)}, nil
}

// awaitBudget waits until data may be thrown away and copied anew once more.
func (p *protocol) awaitBudget(ctx context.Context) error {
	why := p.r.rejoins.begun()
	if why == "" {
		why = "PostgreSQL does not start as a replica from these data"
		if lost := p.r.isLost(); lost != "" {
			why = lost
		}

		if err := p.r.rejoins.begin(instanceapi.Rejoin{Why: why}); err != nil {
			return err
		}
	}

	for !p.r.mayReclone() {
		p.r.view.say(instanceapi.StateFailed, "RecloneBudget", p.r.lostMessage(why))

		select {
		case <-p.r.clock.After(tick):
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	p.r.view.say(instanceapi.StateCloning, "Recloning", why+"; it is copied anew")

	return nil
}

// reclone copies the leader into the empty directory.
func (p *protocol) reclone(ctx context.Context, from ha.Instance) error {
	if err := p.kill(ctx); err != nil {
		return err
	}

	c := clone{
		r: p.r, programs: p.r.programs, upstream: p.upstream(from.Name),
		spec: postgresqlv1.ClusterTermSpec{
			SystemID: p.driver.Snapshot().SystemID, Term: int64(p.driver.Snapshot().Leader.Term), //nolint:gosec // small
			Primary: &postgresqlv1.TermHolder{Name: from.Name},
		},
	}
	p.r.conf.Set(func(in *serverconf.Input) { c.input = *in })
	p.r.view.change(func(s *instanceapi.Status) { s.Role = instanceapi.RoleReplica })
	p.r.chores.label(instanceapi.RoleReplica)

	err := c.run(ctx)
	p.r.view.change(func(s *instanceapi.Status) { s.Progress = nil })

	if err == nil {
		p.unlost()
	}

	return err
}
