package instance

import (
	"context"
	"strconv"

	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
)

// observe gathers the facts. While a job works on the data nothing is looked at: decide is not asked then.
func (r *runner) observe(ctx context.Context) Facts {
	facts := Facts{
		Now: r.clock.Now(), Instance: r.opts.Instance, PodUID: r.opts.PodUID,
		LockError: r.takeLock(), ConfigError: r.conf.Err(),
		Record: r.term.facts(), RetryAt: r.retryAt, Failed: r.failed, Bootstrap: r.bootstrapFailed,
	}

	if facts.LockError != nil || facts.ConfigError != nil {
		return facts
	}

	facts.WantMajor = r.conf.Config().Major
	if facts.ToolsError = r.findPrograms(ctx, facts.WantMajor); facts.ToolsError != nil {
		return facts
	}

	facts.ImageMajor = r.programs.Major
	facts.Data = r.lookAtData(ctx)
	facts.Member = r.member.ID

	return facts
}

// takeLock takes the lock on the volume unless it is ours already, and reads or makes the member ID under it.
func (r *runner) takeLock() error {
	if r.lock == nil {
		lock, err := volume.Lock(r.layout.StateDir)
		if err != nil {
			return err
		}

		r.lock = lock
	}

	if r.member.ID != "" {
		return nil
	}

	member, err := volume.EnsureMember(r.layout.StateDir, r.clock.Now())
	if err != nil {
		return err
	}

	r.member = member
	r.log.Info("took charge of the volume", "member", member.ID)

	return nil
}

// findPrograms looks once; the image does not change under us.
func (r *runner) findPrograms(ctx context.Context, major int) error {
	if r.programs != nil && (major == 0 || r.programs.Major == major) {
		return nil
	}

	programs, err := r.finder.Find(ctx, major)
	if err != nil {
		return err
	}

	r.log.Info("found PostgreSQL", "version", programs.Version, "dir", programs.Dir)
	r.programs = programs
	r.conf.Set(func(in *serverconf.Input) { in.Major = programs.Major })
	r.onPrograms(ctx)

	return nil
}

// lookAtData reads what is in PGDATA. Nobody but a job and PostgreSQL changes it: what was read stays true until one of
// them has ended.
func (r *runner) lookAtData(ctx context.Context) DataFacts {
	if r.data.Present && r.data.Error == nil {
		return r.data
	}

	disk, tookPart, err := harunner.LoadDisk(r.layout.StateDir)

	switch {
	case err != nil:
		// What this volume has promised is not known: whatever is started on it may break that.
		return DataFacts{Error: err}
	case disk.Dirty:
		// Nothing that is in there means anything, and nothing of it is ever started.
		return DataFacts{Dirty: true, TookPart: true}
	}

	look, err := volume.Inspect(r.layout.DataDir)
	facts := DataFacts{Data: look, Error: err, TookPart: tookPart}

	if err != nil || !look.Present || look.Major != r.programs.Major {
		r.data = facts

		return facts
	}

	control, err := r.programs.ControlData(ctx, r.layout.DataDir)
	if err != nil {
		facts.Error = err
		r.data = facts

		return facts
	}

	facts.SystemID = strconv.FormatUint(control.SystemIdentifier, 10)
	facts.IsStandby = look.Standby || !look.Label && !control.WasPrimary()
	r.control = control
	r.data = facts
	r.conf.Set(func(in *serverconf.Input) { in.WALSegmentBytes = control.WALSegmentBytes })

	return facts
}
