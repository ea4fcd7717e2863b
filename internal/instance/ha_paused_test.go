package instance

import (
	"slices"
	"testing"
	"time"
)

func TestTooLow(t *testing.T) {
	t.Parallel()

	control := map[string]string{"max_connections": "200", "max_worker_processes": "8", "wal_level": "replica", "track_commit_timestamp": "off"}

	for name, tc := range map[string]struct {
		running map[string]string
		want    []string
	}{
		"too low":     {map[string]string{"max_connections": "100", "max_worker_processes": "8"}, []string{"max_connections = 100, the primary's is 200"}},
		"as high":     {map[string]string{"max_connections": "200", "max_worker_processes": "8"}, nil},
		"higher":      {map[string]string{"max_connections": "300", "max_worker_processes": "16"}, nil},
		"not numbers": {map[string]string{"max_connections": "200", "max_worker_processes": "8", "wal_level": "minimal"}, nil},
	} {
		if got := tooLow(control, tc.running); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

// TestReplicasAreNotRestartedTogether: they all meet the record at the same moment, and commits wait for one of them.
func TestReplicasAreNotRestartedTogether(t *testing.T) {
	t.Parallel()

	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first := func(n int) time.Duration {
		var w pauseWatch

		for after := time.Duration(0); after < time.Minute; after += time.Second {
			if w.due(start.Add(after), true, n) {
				return after
			}
		}

		return time.Hour
	}

	for n := range 3 {
		if now, next := first(n), first(n+1); next-now < pauseSpread {
			t.Errorf("replica %d is due after %s, the next after %s", n, now, next)
		}
	}

	var w pauseWatch

	w.due(start, true, 0)
	w.due(start.Add(time.Second), false, 0)

	if w.due(start.Add(pausePatience), true, 0) {
		t.Error("a pause that was over counts on")
	}
}
