package instance

import (
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// The position was read behind the switch that sent the last change's segment away: no later segment ends while the server
// is idle, and yet nothing is missing.
func TestNothingLeft(t *testing.T) {
	t.Parallel()

	const (
		segment = 16 << 20
		minute  = time.Minute
	)

	for name, tc := range map[string]struct {
		current, archived postgres.LSN
		rest, timeout     time.Duration
		want              bool
	}{
		"idle for long, all ended segments are there": {3*segment + 96, 3 * segment, 3 * minute, minute, true},
		"exactly at the beginning of a segment":       {3 * segment, 3 * segment, 3 * minute, minute, true},
		"the archive is ahead by a switch":            {3*segment + 96, 4 * segment, 3 * minute, minute, true},
		"it may still be switched":                    {3*segment + 96, 3 * segment, minute, minute, false},
		"a segment is missing":                        {3*segment + 96, 2 * segment, time.Hour, minute, false},
		"segments are never ended by time":            {3*segment + 96, 3 * segment, time.Hour, 0, false},
		"not known how far the archive is":            {3*segment + 96, 0, time.Hour, minute, false},
	} {
		if got := nothingLeft(tc.current, tc.archived, segment, tc.rest, tc.timeout); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestExposedSince: what would be lost does not get less by a failover while the store is down.
func TestExposedSince(t *testing.T) {
	t.Parallel()

	early, late := time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	waits := func(since time.Time) archiveapi.Backlog {
		return archiveapi.Backlog{Files: 1, Oldest: "000000010000000000000005", OldestSince: since}
	}

	for name, tc := range map[string]struct {
		seen    time.Time
		waiting archiveapi.Backlog
		want    time.Time
	}{
		"all is there":                        {},
		"changes in the open segment":         {seen: late, want: late},
		"a segment of another primary waits":  {seen: late, waiting: waits(early), want: early},
		"nothing was changed since, it waits": {waiting: waits(early), want: early},
		"the segment has just ended":          {seen: early, waiting: waits(late), want: early},
	} {
		if got := exposedSince(tc.seen, tc.waiting); !got.Equal(tc.want) {
			t.Errorf("%s: since %s, want %s", name, got, tc.want)
		}
	}
}
