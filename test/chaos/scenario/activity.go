package scenario

import (
	"context"
	"time"
)

// The time that an activity is given before the fault strikes, so that it does in its midst.
const (
	switchoverHead = 300 * time.Millisecond
	scalingHead    = 3 * time.Second
	restartHead    = 2 * time.Second
)

// backupBy is how long after healing a backup may take: it may begin anew, after a pause.
const backupBy = 4 * time.Minute

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
		ended, err := x.Backup(ctx, x.c.Victim)
		if err != nil {
			return err
		}

		x.backupEnded = ended
	}

	return nil
}

// undoActivity leaves the cluster as the next case expects it.
func (x *run) undoActivity(ctx context.Context) error {
	switch x.c.Activity {
	case Scaling:
		return x.scaleBack(ctx)
	case Backup:
		x.endBackup(ctx)
	case Steady, Switchover, Restart:
	}

	return nil
}

// endBackup: whatever became of the instance that was backed up, there is a backup in the end.
func (x *run) endBackup(ctx context.Context) {
	if x.backupEnded == nil {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, backupBy)
	defer cancel()

	if err := x.backupEnded(ctx); err != nil {
		x.result.violate("%v", err)
	}
}

func (x *run) scaleBack(ctx context.Context) error {
	if err := x.Scale(ctx, -1); err != nil {
		return err
	}

	if _, err := x.waitWhole(ctx); err != nil {
		x.result.violate("stuck: not whole %s after scaling back: %v", StuckAfter, err)
		x.dump(ctx)
	}

	return nil
}
