package instance

import (
	"testing"
	"time"

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
