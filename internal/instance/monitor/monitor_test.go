package monitor

import (
	"testing"
	"time"
)

func TestStuck(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := &Monitor{}

	look := func(after time.Duration, behind bool, replayed string) time.Time {
		m.at = start.Add(after)
		m.noteReplay(Health{InRecovery: true, Streaming: true, Behind: behind, Replayed: replayed})

		return m.Stuck()
	}

	if since := look(0, false, "0/1"); !since.IsZero() {
		t.Errorf("with nothing to replay it is stuck since %s", since)
	}

	look(time.Second, true, "0/1")

	if since := look(9*time.Second, true, "0/2"); !since.Equal(start.Add(9 * time.Second)) {
		t.Errorf("it replays, and is stuck since %s", since)
	}

	if since := look(99*time.Second, true, "0/2"); !since.Equal(start.Add(9 * time.Second)) {
		t.Errorf("it does not replay, and is stuck since %s", since)
	}

	if since := look(100*time.Second, false, "0/3"); !since.IsZero() {
		t.Errorf("it has caught up, and is stuck since %s", since)
	}
}
