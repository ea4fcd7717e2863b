package scenario

import (
	"context"
	"time"

	"github.com/caretaker-dev/caretaker/test/chaos/fault"
	"github.com/caretaker-dev/caretaker/test/chaos/history"
)

// silence is how long nothing must be acknowledged to be worth a word.
const silence = 700 * time.Millisecond

func (x *run) tell(format string, a ...any) {
	if x.Tell != nil {
		x.Tell(format, a...)
	}
}

func (x *run) tellBeginning() {
	x.tell("clients write every %v to %s, the primary, on %s", interval, x.primary.Name, x.primary.Spec.NodeName)
}

func (x *run) tellFault() {
	if x.c.Activity == Switchover && x.c.Fault == "none" {
		x.tell("another instance shall lead")

		return
	}

	x.tell("now: %s; it is %s on %s", fault.Kinds()[x.c.Fault].Words, x.victim.Name, x.victim.Spec.NodeName)
}

// narrate tells when writes stop and when they go on, until the context ends.
func (x *run) narrate(ctx context.Context) {
	if x.Tell == nil {
		return
	}

	last, silent := x.workload.Now(), false

	for ctx.Err() == nil {
		var op *history.Op

		ops := x.workload.Ops()
		for i := len(ops) - 1; i >= 0 && op == nil; i-- {
			if ops[i].Client == 0 && ops[i].Outcome == history.OK {
				op = &ops[i]
			}
		}

		switch {
		case op == nil:
		case op.Complete > last && silent:
			x.tell("writes are acknowledged again, after %.2f s, by %s on timeline %d", (op.Complete - last).Seconds(), op.Server, op.Timeline)

			silent = false
			last = op.Complete
		case op.Complete > last:
			last = op.Complete
		case !silent && x.workload.Now()-last > silence:
			x.tell("no write is acknowledged")

			silent = true
		}

		pause(ctx, pollEvery)
	}
}
