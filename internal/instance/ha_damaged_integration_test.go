package instance_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestDamagedProtocolState: whoever does not know what it has promised starts nothing, though the record names it.
func TestDamagedProtocolState(t *testing.T) {
	c := newTrio(t)
	primary := c.awaitPrimary("")
	m := c.members[primary]

	m.kill()
	must(t, os.WriteFile(filepath.Join(m.layout.StateDir, "protocol.json"), []byte("{"), 0o600))
	_ = os.Remove(filepath.Join(m.layout.DataDir, "postmaster.pid"))
	c.startMember(primary)

	m = c.members[primary]
	m.await("fails, and says why", func(s instanceapi.Status) bool {
		return s.State == instanceapi.StateFailed && s.Reason == "UnusableData"
	})

	next := c.awaitPrimary(primary)
	t.Logf("%s took over", next)

	if _, err := os.Stat(filepath.Join(m.layout.DataDir, "postmaster.pid")); err == nil {
		t.Error("PostgreSQL was started on a volume whose promises are not known")
	}
}
