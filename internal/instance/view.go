package instance

import (
	"sync"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// view is what the main loop lets others see: the status server, above all.
type view struct {
	mu     sync.Mutex
	status instanceapi.Status
	// beat is when the main loop last came round.
	beat time.Time
	// stopping: the pod is about to end.
	stopping bool
}

func (v *view) change(apply func(*instanceapi.Status)) {
	v.mu.Lock()
	defer v.mu.Unlock()

	apply(&v.status)
}

func (v *view) get() instanceapi.Status {
	v.mu.Lock()
	defer v.mu.Unlock()

	return v.status
}

func (v *view) say(state instanceapi.State, reason, message string) (changed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()

	if v.stopping {
		state, reason, message = instanceapi.StateStopping, "", "PostgreSQL is being stopped"
	}

	changed = v.status.State != state || v.status.Reason != reason || v.status.Message != message
	v.status.State, v.status.Reason, v.status.Message = state, reason, message

	return changed
}

func (v *view) stop() {
	v.mu.Lock()
	v.stopping = true
	v.mu.Unlock()

	v.say(instanceapi.StateStopping, "", "")
}

func (v *view) isStopping() bool {
	v.mu.Lock()
	defer v.mu.Unlock()

	return v.stopping
}

func (v *view) heartbeat(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()

	v.beat = now
}

func (v *view) lastBeat() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()

	return v.beat
}
