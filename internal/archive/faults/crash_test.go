package faults

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore/stores"
)

// crashPoints in all, and how many of them are followed by a whole recovery.
func crashPoints() (points, recoveries int) {
	if isLong() {
		return 300, 20
	}

	return 6, 1
}

// TestKilledAtAnyPut: while a server archives and is backed up, everything that writes dies at a random PUT, before or after the
// store has done it. What is listed is complete; after the archiver has been started again a recovery ends at the row that it
// is told to.
func TestKilledAtAnyPut(t *testing.T) {
	w := newWorld(t)
	n := w.primary("--wal-segsize=1")
	o := &oracle{w: w}
	o.rows(n, 5)

	first := n.mustTake()
	known := len(o.lsns)
	points, recoveries := crashPoints()
	random := rand.New(rand.NewPCG(3, 5))
	died, finished := 0, 0

	for point := range points {
		parent := ""
		if point%2 == 1 {
			parent = first.ID
		}

		if isDead := w.dieAt(n, o, int64(1+random.IntN(14)), random.IntN(2) == 0, parent); isDead {
			died++
		} else {
			finished++
		}

		w.checkAfterDeath(n)
		n.settle()

		if point%(points/recoveries) == 0 {
			i := known + random.IntN(len(o.lsns)-known)
			o.check(w.recover(archiveapi.RecoveryTarget{LSN: o.lsns[i]}), i)
		}

		// The catalogue stays short, so that reading it does not take longer and longer.
		w.keepOnly(first.ID)
	}

	if died < points/2 {
		t.Errorf("only %d of %d times it died: the crashes are not where they should be", died, points)
	}

	t.Logf("it died %d times, and was done before that %d times", died, finished)

	complete := w.verify()
	if len(complete) == 0 || complete[0].ID != first.ID {
		t.Errorf("the first backup is gone; there are %d", len(complete))
	}
}

// dieAt the PUT of that number: the archiver with SIGKILL, the backup with it. No request passes from then on.
func (w *world) dieAt(n *node, o *oracle, number int64, isApplied bool, parent string) bool {
	w.t.Helper()

	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()

	var (
		puts   atomic.Int64
		isDead atomic.Bool
	)

	w.proxy.Misbehave(func(r *http.Request) stores.Fault {
		if isDead.Load() {
			return stores.Fault{LostBefore: true}
		}

		if r.Method != http.MethodPut || puts.Add(1) < number {
			return stores.Fault{}
		}

		isDead.Store(true)
		cancel()

		return stores.Fault{LostBefore: !isApplied, LostAfter: isApplied}
	})

	done := make(chan error, 1)

	go func() {
		_, err := n.take(ctx, w.store(), parent)
		done <- err
	}()

	o.rows(n, 3)
	n.Exec(w.ctx, "SELECT pg_switch_wal()")

	err := <-done
	if err != nil && !isDead.Load() {
		w.t.Fatalf("the backup failed by itself: %v", err)
	}

	n.killArchiver()
	w.proxy.Misbehave(nil)

	return isDead.Load()
}

// checkAfterDeath what the store shows, and go on.
func (w *world) checkAfterDeath(n *node) {
	w.t.Helper()
	w.verify()
	n.startArchiver(false)
}

// keepOnly one backup.
func (w *world) keepOnly(id string) {
	w.t.Helper()

	all, err := basebackup.List(w.ctx, w.plain)
	w.must(err)

	for _, backup := range all {
		if backup.ID != id {
			w.must(basebackup.Delete(w.ctx, w.plain, backup.ID))
		}
	}
}

// TestADeletedSegmentIsNamed: a recovery over a segment that somebody deleted does not end early, and says which one is missing.
func TestADeletedSegmentIsNamed(t *testing.T) {
	w := newWorld(t)
	n := w.primary("--wal-segsize=1")
	o := &oracle{w: w}
	o.rows(n, 5)

	m := n.mustTake()

	for range 4 {
		o.rows(n, 5)
		n.settle()
	}

	// The one in the middle of what comes after the backup.
	name := n.Text(w.ctx, "SELECT pg_walfile_name('"+o.lsns[14].String()+"')")
	key, err := layout.WAL(name)
	w.must(err)
	w.must(w.plain.Delete(w.ctx, key))

	target := archiveapi.RecoveryTarget{LSN: o.lsns[len(o.lsns)-1]}

	if _, _, err := basebackup.Choose(w.ctx, w.plain, "", target, w.readWAL); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("choosing a backup for a target behind it: %v, want %s named", err, name)
	}

	// Somebody insists.
	broken := w.restore(m.ID, target)
	if err := broken.TryStart(w.ctx); err == nil {
		w.await("the end of a recovery that cannot go on", func() bool {
			return strings.Contains(broken.Log(), "recovery ended before configured recovery target was reached")
		})
	}

	if log := broken.Log(); !strings.Contains(log, "recovery ended before configured recovery target was reached") {
		t.Errorf("it does not say that it ended short of the target:\n%s", log)
	}

	// Up to the gap all goes well.
	o.check(w.recover(archiveapi.RecoveryTarget{LSN: o.lsns[7]}), 7)
}
