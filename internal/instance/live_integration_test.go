package instance_test

import (
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestLiveNumbers: what `kubectl caretaker status` shows of a primary and its replica.
func TestLiveNumbers(t *testing.T) {
	w := newWorld(t, "demo-0", "demo-1")
	primary, replica := w.start("demo-0", "uid-0"), w.start("demo-1", "uid-1")

	primary.awaitReady()
	replica.awaitReady()
	primary.mustQuery("CREATE TABLE filled AS SELECT generate_series(1, 10000)")

	status := primary.await("sees that its replica has caught up", func(s instanceapi.Status) bool {
		return seesReplica(s) && isZero(s.Replicas[0].FlushLagBytes) && isZero(s.Replicas[0].ReplayLagBytes) &&
			isZero(s.Replicas[0].ReplayLagSeconds)
	})

	if status.Log == nil || status.Log.LSN == "" || status.Log.ReplayLSN != "" {
		t.Errorf("the primary's log is %+v, want its end and no replay", status.Log)
	}

	if d := status.Disk; d == nil || d.FreeBytes <= 0 || d.FreeBytes > d.TotalBytes || d.UsedPercent() < 1 || d.UsedPercent() > 99 {
		t.Errorf("the disk is %+v", d)
	}

	lsn := status.Log.LSN
	replica.await("has replayed as much", func(s instanceapi.Status) bool {
		return s.Log != nil && s.Log.LSN == lsn && s.Log.ReplayLSN == lsn
	})
}

func isZero[T int64 | float64](n *T) bool { return n != nil && *n == 0 }
