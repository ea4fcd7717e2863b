package instance_test

import (
	"context"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestReplicaWithTooLowParametersRestarts: the primary has more connections than its replica, which PostgreSQL then stops
// replaying for.
func TestReplicaWithTooLowParametersRestarts(t *testing.T) {
	w := newWorld(t, "demo-0", "demo-1")
	primary, replica := w.start("demo-0", "uid-0"), w.start("demo-1", "uid-1")

	primary.awaitReady()
	replica.awaitReady()

	// The primary alone, as when an operator ends between the two.
	must(t, primary.put(func(c *instanceapi.Config) { c.Parameters["max_connections"] = "80" }))
	primary.await("waits for a restart", func(s instanceapi.Status) bool { return len(s.PendingRestart) > 0 })
	must(t, w.client.Restart(context.Background(), primary.target(), instanceapi.RestartRequest{Reason: "max_connections"}))
	primary.awaitQuery("SHOW max_connections", "80")

	replica.awaitQuery("SHOW max_connections", "80")
	primary.awaitReady()
	primary.mustQuery("CREATE TABLE kept AS SELECT 42 AS answer")
	replica.awaitQuery("SELECT answer FROM kept", "42")

	if status := replica.awaitReady(); status.Restarts > 0 || status.Crash != nil {
		t.Errorf("the restart counts as a crash: %+v", status.Crash)
	}
}
