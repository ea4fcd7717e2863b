package instance

import (
	"context"
	"fmt"
	"os"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instance/server"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

type lockFile = *os.File

// act carries a decision out, or starts the job that does.
func (r *runner) act(ctx context.Context, facts Facts, step Step) {
	r.reportStep(ctx, facts, step)
	r.term.setEager(step.Do != DoKeep)

	spec := facts.Record.Spec

	switch step.Do {
	case DoWait, DoFail:
	case DoKeep:
		r.keep(ctx, facts)
	case DoStop:
		r.log.Info("stopping PostgreSQL", "why", step.Message)
		r.start(ctx, step.Do, r.stopServer)
	case DoRestart:
		r.log.Info("restarting PostgreSQL", "why", r.restartAsked())
		r.start(ctx, step.Do, r.stopServer)
	case DoBootstrap:
		r.startBootstrap(ctx)
	case DoAdopt:
		r.start(ctx, step.Do, r.adopt(facts))
	case DoClaim:
		r.start(ctx, step.Do, r.claim(facts))
	case DoClone, DoReclone:
		r.startClone(ctx, step, spec)
	case DoStartPrimary, DoPromote, DoStartStandby:
		r.startServer(ctx, step.Do, spec)
	}
}

// startServer starts PostgreSQL in the role that the record gives it.
func (r *runner) startServer(ctx context.Context, do Do, spec postgresqlv1.ClusterTermSpec) {
	upstream := ""
	r.role = instanceapi.RolePrimary

	if do == DoStartStandby {
		upstream, r.role = spec.Primary.Name, instanceapi.RoleReplica
	}

	r.setUpstream(upstream)
	r.attended = false
	r.view.change(func(s *instanceapi.Status) { s.Role = r.role })

	if r.role == instanceapi.RoleReplica {
		r.chores.label(r.role)
	}

	if err := r.measureVolume(); err != nil {
		r.log.Warn("the volume's size is not known; sizes of WAL stay as they were", "error", err)
	}

	start := server.Start{
		Programs: r.programs, DataDir: r.layout.DataDir, ConfFile: r.layout.ConfFile(), Lock: r.lock,
		SocketDir: r.layout.OwnSocketDir(),
	}

	r.log.Info("starting PostgreSQL", "role", r.role, "term", spec.Term, "upstream", upstream)
	r.start(ctx, do, func(ctx context.Context) error {
		// A member that leads with a standby's data is promoted once it runs, which begins a timeline of its own.
		if do != DoStartPrimary {
			if err := volume.SetStandby(start.DataDir); err != nil {
				return err
			}
		}

		if err := volume.Restrict(start.DataDir); err != nil {
			return err
		}

		dropped, err := volume.ClearAutoConf(start.DataDir)
		if err != nil {
			return err
		}

		if dropped != "" {
			r.log.Warn("settings of ALTER SYSTEM are put aside: the Cluster's configuration decides",
				"settings", dropped, "kept", volume.AutoConfAside)
		}

		if err := r.conf.Start(); err != nil {
			return err
		}

		r.monitor.Forget()
		r.resume()

		return r.server.Start(ctx, start)
	})
}

// stopServer stops PostgreSQL, without waiting for clients to leave by themselves.
func (r *runner) stopServer(ctx context.Context) error {
	return r.stopWithin(ctx, 0, time.Duration(r.conf.Config().StopTimeout)*time.Second)
}

func (r *runner) stopWithin(ctx context.Context, smart, total time.Duration) error {
	began := r.clock.Now()
	r.chores.checkpoint(ctx, r.server.IsUp(), total/checkpointShare)
	r.suspend(ctx)

	total -= r.clock.Since(began)

	err := r.server.Stop(ctx, server.StopPlan(smart, total))
	r.monitor.Forget()

	// It was asked for, so it is no end to be counted.
	r.server.TakeEnd()

	return err
}

// stopWithinUnclaimed stops PostgreSQL and leaves it to others to notice.
func (r *runner) stopWithinUnclaimed(ctx context.Context) error {
	return r.server.Stop(ctx, server.StopPlan(0, time.Duration(r.conf.Config().StopTimeout)*time.Second))
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

// adopt makes the data on this volume the Cluster's: the first term.
func (r *runner) adopt(facts Facts) func(context.Context) error {
	timeline := int64(r.control.Timeline)

	return func(ctx context.Context) error { return r.adoptProtected(ctx, facts, timeline) }
}

// claim writes this pod into the record of the term that this member holds.
func (r *runner) claim(facts Facts) func(context.Context) error {
	return func(ctx context.Context) error {
		return r.term.swap(ctx, func(spec *postgresqlv1.ClusterTermSpec) bool {
			if spec.Primary == nil || spec.Primary.MemberID != facts.Member {
				return false
			}

			spec.Primary = &postgresqlv1.TermHolder{MemberID: facts.Member, Name: facts.Instance, PodUID: facts.PodUID}

			return true
		})
	}
}

// forgetData has PGDATA looked at again after what may have changed it. A server that was started changes it until it
// ends, which says so too.
func (r *runner) forgetData(kind Do) {
	if kind != DoAdopt && kind != DoClaim {
		r.data = DataFacts{}
	}
}

// finish takes a job's result over.
func (r *runner) finish(ended *job) {
	r.view.change(func(s *instanceapi.Status) { s.Progress = nil })
	r.forgetData(ended.kind)

	if ended.kind == DoBootstrap || ended.kind == DoClone || ended.kind == DoReclone {
		r.finishData(ended)

		return
	}

	r.failed = ""

	if ended.kind == DoRestart || ended.kind == DoStop {
		r.ends, r.retryAt = 0, time.Time{}
	}

	if ended.kind == DoRestart {
		r.setRestart("")
	}

	if ended.err == nil || isCancelled(ended.err) {
		return
	}

	// The step is decided again; not at once, so that a fault that stays does not spin.
	r.log.Error("a step failed", "step", ended.kind, "error", ended.err)
	r.retryAt = r.clock.Now().Add(time.Second)
	r.failed = fmt.Sprintf("%s: %v", ended.kind, ended.err)
}
