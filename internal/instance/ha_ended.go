package instance

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
)

const (
	// runMark begins what PID 1 leaves in its termination log. The kubelet copies it to the pod's status when the
	// container has ended: only then, and of that container only. So it proves that this very run is over.
	runMark = "caretaker run "
	// endedInterval is how often the kubelet's word is looked for, endedRarely when it did not come for endedPatience: a
	// node that is gone gives none.
	endedInterval = 200 * time.Millisecond
	endedRarely   = 5 * time.Second
	endedPatience = 15 * time.Second
	// lateBeat is how late a heartbeat is when the looking begins.
	lateBeat = 250 * time.Millisecond
)

// markRun leaves the number of this run where the kubelet will find it.
func (r *runner) markRun(run uint64) {
	if r.opts.TerminationLog == "" {
		return
	}

	mark := []byte(runMark + strconv.FormatUint(run, 10) + "\n")
	if err := os.WriteFile(r.opts.TerminationLog, mark, 0o600); err != nil {
		r.log.Warn("the others will not learn at once when this container ends", "error", err)
	}
}

// watchEnded looks for the kubelet's word that the primary's container has ended, while the primary is not heard or a new
// term is asked for. It saves the waiting for promises and for its last read of the record.
func (p *protocol) watchEnded(ctx context.Context) {
	var since time.Duration

	for ctx.Err() == nil {
		now := p.r.opts.Boottime()
		pause := endedInterval

		switch seen := p.driver.Snapshot(); {
		case !p.isSuspect(seen, now):
			since = 0
		default:
			if since == 0 {
				since = now
			}

			if now-since > endedPatience {
				pause = endedRarely
			}

			if err := p.lookEnded(ctx, seen); err != nil {
				p.r.log.Debug("the kubelet's word on the primary cannot be had", "error", err)
			}
		}

		select {
		case <-p.r.clock.After(pause):
		case <-ctx.Done():
		}
	}
}

func (p *protocol) isSuspect(seen harunner.Snapshot, now time.Duration) bool {
	if seen.Primary.Run == 0 || seen.Primary.Member == seen.Self.ID {
		return false
	}

	takesPart := seen.Phase == ha.Standby || seen.Phase == ha.Promoting || seen.Phase == ha.Establishing

	return takesPart && (seen.Pending || now-seen.Leader.Heard > seen.Heartbeat+lateBeat)
}

// lookEnded asks for the primary's pod once. A pod that is another's by now, or is gone, proves nothing.
func (p *protocol) lookEnded(ctx context.Context, seen harunner.Snapshot) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()

	asked := p.r.opts.Boottime()

	uid, messages, err := p.r.opts.Terminations.Terminations(ctx, seen.Primary.Name)
	if err != nil {
		return fmt.Errorf("ask for the primary's pod: %w", err)
	}

	if uid != seen.Primary.PodUID {
		return nil
	}

	for _, message := range messages {
		number, ok := strings.CutPrefix(strings.TrimSpace(message), runMark)
		if run, err := strconv.ParseUint(number, 10, 64); ok && err == nil && run == seen.Primary.Run {
			p.driver.Post(ha.Ended{Member: seen.Primary.Member, Run: run, Seen: asked})
		}
	}

	return nil
}
