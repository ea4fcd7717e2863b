package exposure_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instance/exposure"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }

func TestSince(t *testing.T) {
	t.Parallel()

	type note struct {
		at           int
		lsn          postgres.LSN
		transactions string
	}

	for name, tc := range map[string]struct {
		notes    []note
		archived postgres.LSN
		// want is since when, in seconds after the beginning; -1 for never.
		want int
	}{
		"nothing is known":                          {nil, 0, -1},
		"nothing has changed":                       {[]note{{0, 100, "a"}, {60, 100, "a"}}, 0, -1},
		"an idle server writes checkpoints":         {[]note{{0, 100, "a"}, {60, 900, "a"}, {3600, 9000, "a"}}, 100, -1},
		"a change since the last look":              {[]note{{0, 100, "a"}, {10, 100, "a"}, {12, 300, "b"}}, 200, 10},
		"two changes, the first one is archived":    {[]note{{0, 100, "a"}, {10, 150, "b"}, {20, 300, "c"}}, 200, 10},
		"two changes, and later a long rest":        {[]note{{0, 100, "a"}, {10, 250, "b"}, {20, 300, "c"}, {900, 300, "c"}}, 200, 0},
		"all of it is archived":                     {[]note{{0, 100, "a"}, {10, 250, "b"}}, 250, -1},
		"the archive is far ahead":                  {[]note{{0, 100, "a"}, {10, 250, "b"}}, 1 << 40, -1},
		"not known how far the archive is":          {[]note{{0, 100, "a"}, {10, 250, "b"}, {20, 300, "c"}}, 0, 0},
		"a transaction ends long after its records": {[]note{{0, 100, "a"}, {5, 250, "b"}, {50, 250, "b"}, {60, 260, "c"}}, 250, 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var tracker exposure.Tracker
			for _, n := range tc.notes {
				tracker.Note(at(n.at), n.lsn, n.transactions)
			}

			got := tracker.Since(tc.archived)
			if tc.want < 0 && !got.IsZero() || tc.want >= 0 && !got.Equal(at(tc.want)) {
				t.Errorf("since %v, want %d seconds after %v", got, tc.want, begin)
			}

			if again := tracker.Since(tc.archived); !again.Equal(got) {
				t.Errorf("asked again it is %v", again)
			}
		})
	}
}

// A store that is down for days: what is remembered stays bounded, and the beginning is not forgotten.
func TestALongTime(t *testing.T) {
	t.Parallel()

	var tracker exposure.Tracker
	for i := range 100_000 {
		tracker.Note(at(2*i), postgres.LSN(100+i), strconv.Itoa(i))
	}

	if got := tracker.Since(50); !got.Equal(begin) {
		t.Errorf("it began at %v, not at %v", got, begin)
	}

	// Half of it arrives: what is told is never younger than the truth, and at most a few minutes older.
	truth := at(2 * 50_000)

	got := tracker.Since(100 + 50_000)
	if got.After(truth) || truth.Sub(got) > 10*time.Minute {
		t.Errorf("since %v, the truth is %v", got, truth)
	}

	if got := tracker.Since(100 + 99_999); !got.IsZero() {
		t.Errorf("all has arrived, and yet since %v", got)
	}

	tracker.Note(at(300_000), 900_000, "x")
	tracker.Forget()

	if got := tracker.Since(0); !got.IsZero() {
		t.Errorf("a replica has changes since %v", got)
	}
}

// An idle server whose last change was sent away with the segment before the position that was read.
func TestSettle(t *testing.T) {
	t.Parallel()

	var tracker exposure.Tracker

	tracker.Settle()

	if got := tracker.Rest(at(5)); got != 0 {
		t.Errorf("nothing is known, and it has rested for %v", got)
	}

	tracker.Note(at(0), 100, "a")
	tracker.Note(at(10), 300, "b")
	tracker.Note(at(40), 300, "b")

	if got := tracker.Rest(at(50)); got != 40*time.Second {
		t.Errorf("it has rested for %v, not since the last change", got)
	}

	tracker.Settle()

	if got := tracker.Since(200); !got.IsZero() {
		t.Errorf("settled, and yet there are changes since %v", got)
	}

	tracker.Note(at(60), 400, "c")

	if got := tracker.Since(200); !got.Equal(at(40)) {
		t.Errorf("a change after that is exposed since %v", got)
	}
}
