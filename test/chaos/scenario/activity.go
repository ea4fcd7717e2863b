package scenario

import (
	"context"
	"fmt"
	"time"
)

// The time that an activity is given before the fault strikes, so that it does in its midst.
const (
	switchoverHead = 300 * time.Millisecond
	scalingHead    = 3 * time.Second
	restartHead    = 2 * time.Second
)

func (x *run) beginActivity(ctx context.Context) error {
	switch x.c.Activity {
	case Steady:
	case Switchover:
		if err := x.Switchover(ctx, ""); err != nil {
			return err
		}

		if x.c.Fault == "none" {
			return nil
		}

		pause(ctx, switchoverHead)
	case Scaling:
		if err := x.Scale(ctx, 1); err != nil {
			return err
		}

		pause(ctx, scalingHead)
	case Restart:
		if err := x.Restart(ctx); err != nil {
			return err
		}

		pause(ctx, restartHead)
	case Backup:
		return fmt.Errorf("activity %s is not there yet", x.c.Activity)
	}

	return nil
}

// undoActivity leaves the cluster as the next case expects it.
func (x *run) undoActivity(ctx context.Context) error {
	if x.c.Activity != Scaling {
		return nil
	}

	if err := x.Scale(ctx, -1); err != nil {
		return err
	}

	if _, err := x.waitWhole(ctx); err != nil {
		x.result.violate("stuck: not whole %s after scaling back: %v", StuckAfter, err)
		x.dump(ctx)
	}

	return nil
}
