package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

func (n *node) clock() clock.RealClock { return clock.RealClock{} }

// standby of a node, which archives too.
func (w *world) standby(of *node) *node {
	w.t.Helper()

	n := w.node()
	w.must(os.Remove(n.DataDir))
	n.Run("pg_basebackup", "-D", n.DataDir, "-h", of.Socket, "-p", strconv.Itoa(of.Port), "-U", "postgres", "-X", "none", "-c", "fast", "--no-sync")
	n.Configure(map[string]string{"primary_conninfo": "host=" + of.Socket + " port=" + strconv.Itoa(of.Port) + " user=postgres", "restore_command": n.fetchCommand()})
	n.archives()
	w.must(os.WriteFile(filepath.Join(n.DataDir, "standby.signal"), nil, 0o600))
	n.Give(n.DataDir)
	n.startArchiver(false)
	n.Start(w.ctx)

	return n
}

// failOver kills a primary and promotes its standby, which has all of its rows.
func (w *world) failOver(from, to *node, rows int) {
	w.t.Helper()
	w.await("replay of all rows", func() bool {
		return to.Text(w.ctx, "SELECT count(*)::text FROM rows") == strconv.Itoa(rows)
	})
	from.killArchiver()
	from.Kill()
	to.Run("pg_ctl", "-D", to.DataDir, "-w", "promote")
}

// TestThreeTimelines: two failovers within segments; a recovery to any row of any of the three timelines has what a client was
// told, also just before and just after each failover.
func TestThreeTimelines(t *testing.T) {
	w := newWorld(t)
	o := &oracle{w: w}
	leader := w.primary("--wal-segsize=1")
	o.rows(leader, 5)
	leader.mustTake()

	var forks []int

	for range 2 {
		next := w.standby(leader)
		o.rows(leader, 10)
		forks = append(forks, len(o.lsns)-1)
		w.failOver(leader, next, len(o.lsns))

		leader = next
		o.rows(leader, 10)
		leader.settle()
	}

	if push := leader.push(); push.Gap != nil {
		t.Errorf("there is a gap: %+v", push.Gap)
	}

	wanted := []int{forks[0], forks[0] + 1, len(o.lsns) - 1}
	if isLong() {
		wanted = append(wanted, forks[1], forks[1]+1)

		random := rand.New(rand.NewPCG(5, 6))
		for range 10 {
			wanted = append(wanted, 5+random.IntN(len(o.lsns)-5))
		}
	}

	for _, i := range wanted {
		o.check(w.recover(archiveapi.RecoveryTarget{LSN: o.lsns[i]}), i)
	}

	// A backup of the third timeline needs nothing of the others.
	m := leader.mustTake()
	leader.settle()

	if m.Timeline != 3 {
		t.Errorf("the last backup is of timeline %d", m.Timeline)
	}

	for _, complete := range w.verify() {
		report, err := basebackup.Verify(w.ctx, basebackup.VerifyOptions{Store: w.plain, Backup: complete.ID, Clock: leader.clock()})
		if err != nil || !report.Restorable {
			t.Errorf("%v: %v", report, err)
		}
	}
}

// TestLargeSegments of 64 MiB: their names count differently, and so does what is cut at a target.
func TestLargeSegments(t *testing.T) {
	w := newWorld(t)
	n := w.primary("--wal-segsize=64")
	o := &oracle{w: w}
	o.rows(n, 5)
	n.mustTake()

	for range 3 {
		o.rows(n, 5)
		n.settle()
	}

	random := rand.New(rand.NewPCG(9, 9))
	for range 2 {
		i := 5 + random.IntN(len(o.lsns)-5)
		o.check(w.recover(archiveapi.RecoveryTarget{LSN: o.lsns[i]}), i)
	}

	w.verify()
}
