package instance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/testport"
)

// killUntil kills the primary's PostgreSQL each time that it has opened, until the condition holds, and tells how often each
// member's was killed.
func (c *trio) killUntil(what string, most int, is func(primary string) bool) map[string]int {
	c.t.Helper()

	kills := map[string]int{}

	for range most {
		primary := c.awaitPrimary("")
		if is(primary) {
			return kills
		}

		postmaster := c.members[primary].postmaster()
		must(c.t, syscall.Kill(postmaster, syscall.SIGKILL))

		kills[primary]++

		c.eventually("the death of "+primary+" shows", func() error {
			if status, err := c.members[primary].status(); err == nil && status.Ready && c.members[primary].postmaster() == postmaster {
				return errors.New("not yet")
			}

			return nil
		})
	}

	c.t.Fatalf("%s: not after %v", what, kills)

	return nil
}

// patient is for machines that stall: a primary that starts again is not taken for silent.
func (c *trio) patient() { c.config.HA.HeartbeatMillis, c.config.HA.PromiseMillis = 5000, 15000 }

// TestDying: where PostgreSQL dies after each opening, another instance leads; where it dies there, too, that one stays and
// says so. Of two that need each other none can lead without the other, so that a slow restart stays one in place.
func TestDying(t *testing.T) {
	c := &trio{world: newWorld(t, "demo-0", "demo-1"), members: map[string]*member{}}
	c.config.HA = instanceapi.HA{Acks: 1}
	c.patient()
	c.startMember("demo-0")
	c.startMember("demo-1")

	whole := func() {
		t.Helper()
		c.awaitPrimary("")
		c.eventually("commits wait for the replica", func() error {
			if r := c.record(); len(r.Voters) != 1 || r.Acks != 1 || r.Pending != nil {
				return fmt.Errorf("the record is %+v", r)
			}

			return nil
		})
	}
	whole()

	w := c.write()
	w.longest()

	// On a machine that stalls the replica may lack the end of the log; then the same one leads again, and it takes five more.
	kills := c.killUntil("demo-1 leads", 25, func(primary string) bool { return primary != "demo-0" })
	whole()

	heir, term := c.members["demo-1"], c.record().Term

	took := heir.awaitReady().Takeover
	if kills["demo-0"] < 5 || took == nil || !strings.Contains(took.Reason, "it handed over: PostgreSQL died again and again") || took.Request != "" {
		t.Fatalf("killed %v times; the evidence is %+v", kills, took)
	}

	kills = c.killUntil("demo-1 says that it stays", 7, func(primary string) bool {
		status, err := c.members[primary].status()

		return primary != "demo-1" || err == nil && status.Reason == "KeepsDying"
	})
	if c.record().Term != term || kills["demo-1"] < 5 {
		t.Fatalf("killed %v times: term %d became %d", kills, term, c.record().Term)
	}

	status := heir.awaitReady()
	if status.Protocol.Deaths != 5 || !strings.Contains(status.Message, "the primary before was given up for the same") {
		t.Errorf("killed %v times, it says %d, %s %q", kills, status.Protocol.Deaths, status.Reason, status.Message)
	}

	whole()
	w.check()

	if strings.Contains(c.members["demo-0"].output.String(), "rewinding") {
		t.Error("the first primary had to rewind, although it was stopped in order")
	}
}

// TestUnfollowed: a new primary that replicas hear and cannot connect to gives up, and one of them leads.
func TestUnfollowed(t *testing.T) {
	c := &trio{world: newWorld(t, "demo-0", "demo-1", "demo-2"), members: map[string]*member{}}
	c.config.HA = instanceapi.HA{Acks: 1}
	c.patient()

	port := c.ports["demo-1"]
	c.ports["demo-1"] = testport.Free(t) // nobody listens there
	c.startMember("demo-0")
	c.startMember("demo-2")

	c.ports["demo-1"] = port
	c.startMember("demo-1")
	c.awaitWhole()

	if primary := c.awaitPrimary(""); primary != "demo-0" {
		t.Fatalf("%s leads already", primary)
	}

	unfollowed, before := c.members["demo-1"], c.record().Term
	c.members["demo-0"].mustQuery("CREATE TABLE kept AS SELECT 1 AS id")

	target, err := unfollowed.status()
	must(t, err)
	must(t, c.client.Switchover(context.Background(), c.members["demo-0"].target(), instanceapi.SwitchoverRequest{Request: "test", Target: target.MemberID}))
	unfollowed.await("waits for replicas", func(s instanceapi.Status) bool { return s.Protocol != nil && s.Protocol.Phase == "Establishing" })

	began, deadline := time.Now(), time.Now().Add(4*time.Minute)
	for {
		if record := c.record(); record.Pending == nil && record.Term > before {
			break
		}

		if time.Now().After(deadline) {
			t.Fatalf("nobody leads: %+v", c.record())
		}

		time.Sleep(50 * time.Millisecond)
	}

	next := c.awaitPrimary("demo-1")
	t.Logf("%s leads after %s", next, time.Since(began).Round(time.Second))

	status := c.members[next].awaitReady()
	if status.Takeover == nil || !strings.Contains(status.Takeover.Reason, "did not come about") {
		t.Errorf("the evidence is %+v", status.Takeover)
	}

	gaveUp := unfollowed.await("follows", func(s instanceapi.Status) bool {
		return s.Ready && s.Role == instanceapi.RoleReplica && s.Streaming != nil
	})
	if gaveUp.Fence == nil {
		t.Error("demo-1 does not say that it gave up")
	} else {
		// On a machine that stalls the others may have missed its heartbeats before.
		t.Logf("demo-1 says of it: %s", gaveUp.Fence.Why)
	}

	c.eventually("demo-1 has what was written before", func() error {
		if got, err := unfollowed.query("SELECT count(*) FROM kept"); err != nil || got != "1" {
			return fmt.Errorf("got %q, %w", got, err)
		}

		return nil
	})
}
