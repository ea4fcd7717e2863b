package instance

import (
	"context"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instance/monitor"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// floorInterval is how often a standby that holds a parameter up looks whether it still must.
const floorInterval = 5 * time.Second

// keep looks after a PostgreSQL that runs.
func (r *runner) keep(ctx context.Context, facts Facts) {
	health, err := r.monitor.Health(ctx)
	if err != nil {
		return
	}

	if !r.attended {
		r.attended = true
		r.chores.now()
	}

	// A step of the upkeep that failed is tried again after a pause.
	if facts.Now.Before(r.retryAt) {
		return
	}

	if r.role == instanceapi.RolePrimary {
		r.keepPrimary(ctx, facts, health)

		return
	}

	r.keepStandby(ctx, facts)
}

func (r *runner) keepPrimary(ctx context.Context, facts Facts, health monitor.Health) {
	if health.InRecovery {
		// It was a standby until now. What it received and has not replayed yet is replayed before it is promoted.
		r.start(ctx, DoPromote, r.chores.promote)

		return
	}

	r.chores.label(r.role)

	record := facts.Record.Spec
	if facts.Record.Known && record.Term == 0 && record.Bootstrap == facts.Instance {
		// The record was lost and is made anew from this instance, which went on all the while.
		r.start(ctx, DoAdopt, r.adopt(facts))

		return
	}

	if !facts.Record.Known || record.Established && record.Timeline == health.Timeline {
		return
	}

	r.start(ctx, DoClaim, func(ctx context.Context) error {
		return r.term.swap(ctx, func(spec *postgresqlv1.ClusterTermSpec) bool {
			if spec.Primary == nil || spec.Primary.MemberID != facts.Member {
				return false
			}

			spec.Established, spec.Timeline, spec.SystemID = true, health.Timeline, health.SystemID

			return true
		})
	})
}

func (r *runner) keepStandby(ctx context.Context, facts Facts) {
	if holder := facts.Record.Spec.Primary; facts.Record.Known && holder != nil && holder.Name != r.upstream {
		r.log.Info("following another primary", "from", r.upstream, "to", holder.Name)
		r.setUpstream(holder.Name)
		r.applyConfig()
	}

	if r.conf.HasFloor() && facts.Now.Sub(r.floorLooked) > floorInterval {
		r.floorLooked = facts.Now
		r.lookAtFloor(ctx)
	}
}

// lookAtFloor lets go of parameters that this standby had to hold up, once it has replayed that the primary did.
func (r *runner) lookAtFloor(ctx context.Context) {
	control, err := r.programs.ControlData(ctx, r.layout.DataDir)
	if err != nil {
		r.log.Warn("the control file cannot be read", "error", err)

		return
	}

	r.control = control
	r.conf.Set(func(in *serverconf.Input) { in.Control = control.Settings })
	r.applyConfig()
}

func (r *runner) applyConfig() {
	if err := r.conf.Apply(false); err != nil {
		r.log.Error("the configuration could not be applied", "error", err)
	}
}
