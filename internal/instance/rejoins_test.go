package instance

import (
	"log/slog"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

func TestRejoinsAreRemembered(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	j := newRejoins(dir, log)
	if err := j.begin(instanceapi.Rejoin{Why: "its log went on", ForkLSN: "0/1"}); err != nil {
		t.Fatal(err)
	}

	// PID 1 is killed meanwhile.
	j = newRejoins(dir, log)
	if j.begun() != "its log went on" {
		t.Errorf("begun: %q", j.begun())
	}

	if err := j.done(instanceapi.RejoinCloned, 7, at); err != nil {
		t.Fatal(err)
	}

	kept := newRejoins(dir, log).get()
	want := instanceapi.Rejoin{Method: instanceapi.RejoinCloned, Term: 7, Why: "its log went on", ForkLSN: "0/1", At: at}

	if kept.Last == nil || *kept.Last != want || kept.Reclones != 1 || kept.Rewinds != 0 || kept.Begun != nil {
		t.Errorf("remembered %+v, %+v", kept, kept.Last)
	}
}

func TestReclonesAreBudgeted(t *testing.T) {
	j := newRejoins(t.TempDir(), slog.New(slog.DiscardHandler))
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	for i := range recloneBudget {
		now := at.Add(time.Duration(i) * time.Minute)
		if !j.mayDiscard(now).Equal(now) {
			t.Fatalf("the budget is spent after %d", i)
		}

		if err := j.discard(now); err != nil {
			t.Fatal(err)
		}
	}

	now := at.Add(10 * time.Minute)
	if when := j.mayDiscard(now); !when.Equal(at.Add(recloneWindow)) {
		t.Errorf("the next may be at %s, want an hour after the first", when)
	}

	if now = at.Add(recloneWindow + time.Second); !j.mayDiscard(now).Equal(now) {
		t.Error("after an hour it may not either")
	}
}
