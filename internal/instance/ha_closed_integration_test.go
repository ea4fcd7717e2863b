package instance_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestClosed: while a primary must not show commits yet, nobody gets in, psql in the pod neither.
func TestClosed(t *testing.T) {
	c := newTrio(t)
	name := c.awaitPrimary("")
	m := c.members[name]
	m.mustQuery("CREATE TABLE seen (id int)")

	for other, replica := range c.members {
		if other != name {
			replica.kill()
		}
	}

	must(t, syscall.Kill(m.postmaster(), syscall.SIGKILL))
	m.await("waits for a replica", func(s instanceapi.Status) bool { return s.Reason == "AwaitingReplicas" })

	if out, err := m.query("SELECT 1"); err == nil {
		t.Errorf("psql by our own user got in: %s", out)
	}

	if err := c.login("first secret"); err == nil {
		t.Error("the application got in")
	}

	if status, err := m.status(); err != nil || status.Ready || status.TimelineID == 0 {
		t.Errorf("PID 1 itself cannot see its server, or calls it ready: %+v, %v", status, err)
	}

	for _, other := range c.config.Members {
		if other != name {
			c.startMember(other)
		}
	}

	c.eventually("clients get in again", func() error {
		for who, member := range c.members {
			if _, err := member.query("SELECT count(*) FROM seen"); err != nil {
				return fmt.Errorf("%s: %w", who, err)
			}
		}

		if err := c.login("first secret"); err != nil && name == "demo-0" {
			return errors.Join(errors.New("the application"), err)
		}

		return nil
	})
	c.awaitWhole()
}
