package exposure

import (
	"slices"
	"time"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// maxSamples bounds what is remembered: beyond it, moments that lie close together become one. That makes answers older by
// what lies between, never younger.
const maxSamples = 1024

// Tracker remembers which transactions had ended when, and where their log ends. The zero value is ready to use; it is not
// safe for concurrent use.
type Tracker struct {
	samples []sample
	// apart is how far from each other samples are at least, the last one aside.
	apart time.Duration
}

type sample struct {
	// lsn is behind the records of all transactions that had ended.
	lsn postgres.LSN
	// transactions differ once one more that has written has ended.
	transactions string
	// first is when this was seen first, last when it was still so.
	first, last time.Time
}

// Note tells which transactions have ended (a snapshot in words: it differs once one more has), and an LSN behind all their
// records. That the log grows without them is no change: checkpoints and the like go on in an idle server.
func (t *Tracker) Note(now time.Time, lsn postgres.LSN, transactions string) {
	if n := len(t.samples); n > 0 && t.samples[n-1].transactions == transactions {
		t.samples[n-1].last = now

		return
	}

	t.add(sample{lsn: lsn, transactions: transactions, first: now, last: now})

	for len(t.samples) > maxSamples {
		t.apart = max(2*t.apart, time.Second)

		all := t.samples
		t.samples = nil

		for _, s := range all {
			t.add(s)
		}
	}
}

// add a sample in place of the last one if that is too close to the one before.
func (t *Tracker) add(s sample) {
	if n := len(t.samples); n > 1 && t.samples[n-1].last.Sub(t.samples[n-2].last) < t.apart {
		t.samples = t.samples[:n-1]
	}

	t.samples = append(t.samples, s)
}

// Rest is for how long no transaction has ended; 0 if nothing was noted.
func (t *Tracker) Rest(now time.Time) time.Duration {
	if len(t.samples) == 0 {
		return 0
	}

	return now.Sub(t.samples[len(t.samples)-1].first)
}

// Settle tells that the archive has all changes that were noted, whatever Note was told of where they end.
func (t *Tracker) Settle() {
	if n := len(t.samples); n > 0 {
		t.samples = slices.Delete(t.samples, 0, n-1)
	}
}

// Forget all: the server is no primary any more.
func (t *Tracker) Forget() { *t = Tracker{} }

// Since when there are changes behind the LSN up to which the archive has all, 0 if that is not known; zero if there are none.
// What was changed before the first Note does not count.
func (t *Tracker) Since(archived postgres.LSN) time.Time {
	covered := 0
	for covered+1 < len(t.samples) && t.samples[covered+1].lsn <= archived {
		covered++
	}

	t.samples = slices.Delete(t.samples, 0, covered)

	if len(t.samples) < 2 {
		t.apart = 0

		return time.Time{}
	}

	return t.samples[0].last
}
