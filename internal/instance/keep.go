package instance

import (
	"context"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
)

// floorInterval is how often a standby that holds a parameter up looks whether it still must.
const floorInterval = 5 * time.Second

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
