package instance_test

import (
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

func TestPrimaryAndReplica(t *testing.T) {
	w := newWorld(t, "demo-0", "demo-1")

	primary, replica := w.start("demo-0", "uid-0"), w.start("demo-1", "uid-1")
	status := primary.awaitReady()

	if status.Role != instanceapi.RolePrimary || status.Term != 1 {
		t.Errorf("role %q in term %d, want the primary of term 1", status.Role, status.Term)
	}

	status = replica.awaitReady()
	if status.Role != instanceapi.RoleReplica || status.Streaming == nil {
		t.Errorf("role %q, streaming %v: want a replica that streams", status.Role, status.Streaming)
	}

	primary.mustQuery("CREATE TABLE kept AS SELECT 42 AS answer")
	replica.awaitQuery("SELECT answer FROM kept", "42")
}
