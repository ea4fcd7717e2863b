package faults

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/objectstore/stores"
)

// TestAStoreThatMisbehaves: with refusals, slow, lost and truncated answers all the time, archiving, a backup and a recovery
// take longer, and are right.
func TestAStoreThatMisbehaves(t *testing.T) {
	w := newWorld(t)
	n := w.primary("--wal-segsize=1")
	o := &oracle{w: w}

	w.proxy.Misbehave(badDay())
	o.rows(n, 10)
	n.mustTake()
	o.rows(n, 20)
	n.settle()

	i := 10 + rand.New(rand.NewPCG(1, 2)).IntN(20)
	o.check(w.recover(archiveapi.RecoveryTarget{LSN: o.lsns[i]}), i)

	w.proxy.Misbehave(nil)

	for _, m := range w.verify() {
		report, err := basebackup.Verify(w.ctx, basebackup.VerifyOptions{Store: w.plain, Backup: m.ID, Clock: n.clock()})
		if err != nil || !report.Restorable {
			t.Errorf("%v: %v", report, err)
		}
	}
}

// badDay of a store: every sixth request goes wrong in one way or another.
func badDay() func(*http.Request) stores.Fault {
	var mu sync.Mutex

	random := rand.New(rand.NewPCG(11, 13))

	return func(r *http.Request) stores.Fault {
		mu.Lock()
		defer mu.Unlock()

		switch random.IntN(30) {
		case 0:
			return stores.Fault{Status: http.StatusServiceUnavailable, Code: "SlowDown"}
		case 1:
			return stores.Fault{Status: http.StatusInternalServerError, Code: "InternalError"}
		case 2:
			return stores.Fault{Delay: 300 * time.Millisecond}
		case 3:
			return stores.Fault{LostBefore: true}
		case 4:
			return stores.Fault{LostAfter: true}
		case 5:
			if r.Method == http.MethodGet {
				return stores.Fault{Cut: 100}
			}
		}

		return stores.Fault{}
	}
}

// refuseAfter some PUTs of base backups' packs, or of WAL.
func refuseAfter(part string, puts int, fault stores.Fault) func(*http.Request) stores.Fault {
	var mu sync.Mutex

	return func(r *http.Request) stores.Fault {
		mu.Lock()
		defer mu.Unlock()

		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, part) {
			return stores.Fault{}
		}

		if puts--; puts >= 0 {
			return stores.Fault{}
		}

		return fault
	}
}

// TestRefusals in the middle of a backup, and of archiving: the backup fails with the store's words and is not listed, PostgreSQL goes on,
// the status says what to look at, and all is made up for once the store takes writes again.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	n := w.primary("--wal-segsize=1")
	o := &oracle{w: w}
	o.rows(n, 5)
	n.mustTake()

	for _, tc := range []struct {
		name   string
		fault  stores.Fault
		err    error
		reason string
		words  string
	}{
		{"403", stores.Fault{Status: http.StatusForbidden, Code: "AccessDenied"}, objectstore.ErrDenied, archiveapi.ReasonDenied, "AccessDenied"},
		{"clock skew", stores.Fault{Status: http.StatusForbidden, Code: "RequestTimeTooSkewed"}, objectstore.ErrDenied, archiveapi.ReasonDenied, "clock"},
		{"full bucket", stores.Fault{Status: http.StatusInsufficientStorage, Code: "XMinioStorageFull"}, objectstore.ErrFull, archiveapi.ReasonFull, "full"},
		{"quota", stores.Fault{Status: http.StatusForbidden, Code: "QuotaExceeded"}, objectstore.ErrFull, archiveapi.ReasonFull, "full"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(w.verify())

			w.proxy.Misbehave(refuseAfter("/packs/", 1, tc.fault))

			_, err := n.take(w.ctx, w.store(), "")
			if err == nil {
				// All of it fits into one pack.
				w.proxy.Misbehave(refuseAfter("/packs/", 0, tc.fault))

				before++
				_, err = n.take(w.ctx, w.store(), "")
			}

			if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("the backup ends with %v, want %q", err, tc.words)
			}

			if after := len(w.verify()); after != before {
				t.Errorf("%d backups are listed, want %d", after, before)
			}

			w.proxy.Misbehave(refuseAfter("/wal/", 0, tc.fault))
			o.rows(n, 5)
			n.Exec(w.ctx, "SELECT pg_switch_wal()")
			w.await("a status that says so", func() bool {
				push := n.push()

				return push != nil && push.Failing != nil && push.Failing.Reason == tc.reason && strings.Contains(push.Failing.Message, tc.words)
			})

			w.proxy.Misbehave(nil)
			n.settle()
		})
	}

	last := len(o.lsns) - 1
	o.check(w.recover(archiveapi.RecoveryTarget{LSN: o.lsns[last]}), last)
}

// TestTwoClustersAtOnePlace: the second one is refused, by its system identifier, and changes nothing of the first one's.
func TestTwoClustersAtOnePlace(t *testing.T) {
	w := newWorld(t)
	first := w.primary("--wal-segsize=1")
	o := &oracle{w: w}
	o.rows(first, 5)
	first.mustTake()
	first.settle()

	second := w.primary("--wal-segsize=1")
	second.Exec(w.ctx, "SELECT pg_switch_wal()")
	w.await("a status that says so", func() bool {
		push := second.push()

		return push != nil && push.Failing != nil && push.Failing.Reason == archiveapi.ReasonOtherCluster
	})

	var owner *basebackup.OwnerError
	if _, err := second.take(w.ctx, w.store(), ""); !errors.As(err, &owner) {
		t.Errorf("a backup of the second one: %v", err)
	}

	o.rows(first, 5)
	first.settle()

	last := len(o.lsns) - 1
	o.check(w.recover(archiveapi.RecoveryTarget{LSN: o.lsns[last]}), last)
}
