package instance

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/server"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
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
		if told, _, err := net.SplitHostPort(p.transport.AddressOf(instance)); err == nil {
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

// rewind makes the data a copy of the new primary's again.
func (p *protocol) rewind(ctx context.Context, from ha.Instance) error {
	dataDir := p.r.layout.DataDir
	upstream := p.upstream(from.Name)

	if err := p.stopQuietly(ctx); err != nil {
		return err
	}

	if err := p.awaitCheckpoint(ctx, upstream); err != nil {
		return err
	}

	p.r.view.say(instanceapi.StateCloning, "", "rewinding onto "+from.Name)

	// What a primary left behind is recovered by a server for one user, which is no standby.
	if err := volume.ClearStandby(dataDir); err != nil {
		return err
	}

	if err := volume.RemoveStalePID(dataDir); err != nil {
		return err
	}

	p.number(func(in *serverconf.Input) { in.Upstream, in.Sync, in.Control = nil, "", nil })

	if err := p.prepare(); err != nil {
		return err
	}

	var input serverconf.Input
	p.r.conf.Set(func(in *serverconf.Input) { input = *in })

	info := serverconf.ConnInfo(input, upstream)
	info.ApplicationName, info.DBName = copyName, postgresDatabase
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

	p.r.log.Warn("discarding the data, to copy the primary anew")

	look, err := volume.Inspect(p.r.layout.DataDir)
	if err == nil && look.Present {
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

// reclone copies the leader into the empty directory.
func (p *protocol) reclone(ctx context.Context, from ha.Instance) error {
	if err := p.kill(ctx); err != nil {
		return err
	}

	c := clone{
		r: p.r, programs: p.r.programs, upstream: p.upstream(from.Name),
		spec: postgresqlv1.ClusterTermSpec{
			SystemID: p.driver.Snapshot().SystemID, Primary: &postgresqlv1.TermHolder{Name: from.Name},
		},
	}
	p.r.conf.Set(func(in *serverconf.Input) { c.input = *in })
	p.r.view.change(func(s *instanceapi.Status) { s.Role = instanceapi.RoleReplica })
	p.r.chores.label(instanceapi.RoleReplica)

	err := c.run(ctx)
	p.r.view.change(func(s *instanceapi.Status) { s.Progress = nil })

	return err
}
