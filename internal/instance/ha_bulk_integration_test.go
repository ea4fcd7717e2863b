package instance_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// bulk writes big transactions in two sessions until the primary ends.
func (c *trio) bulk(primary string) (done *sync.WaitGroup) {
	c.t.Helper()
	c.members[primary].mustQuery("CREATE TABLE IF NOT EXISTS bulk (id int, what text); GRANT ALL ON bulk TO PUBLIC")

	done = &sync.WaitGroup{}

	for range 2 {
		done.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()

			conn, err := pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=app password='first secret' dbname=postgres sslmode=require",
				c.ports[primary]))
			if err != nil {
				return
			}

			_, _ = conn.Exec(ctx, "INSERT INTO bulk SELECT i, repeat(md5(i::text), 40) FROM generate_series(1, 2000000) i")
		})
	}

	return done
}

// TestTakeoverUnderBulk: the log of a primary that dies while it writes much ends, on its replicas, in the middle of a
// record.
func TestTakeoverUnderBulk(t *testing.T) {
	c := newTrio(t)

	for round := range 3 {
		old := c.awaitPrimary("")
		done := c.bulk(old)

		time.Sleep(time.Duration(1300+400*round) * time.Millisecond)
		c.members[old].kill()

		since := time.Now()
		next := c.awaitPrimary(old)
		took := time.Since(since)

		done.Wait()

		for name, m := range c.members {
			if name == old {
				continue
			}

			halves := strings.Count(m.output.String(), "in the middle of a record")
			t.Logf("round %d: %s took over within %s; %s has seen %d logs that ended in the middle of a record", round, next, took, name, halves)

			if took > 20*time.Second {
				t.Errorf("the takeover took %s", took)
			}

			status := m.await("streams or leads", func(s instanceapi.Status) bool { return s.Ready && (s.Streaming != nil || name == next) })
			if name != next && (status.Rejoin != nil && status.Rejoin.Term == c.record().Term && status.Rejoin.Method != instanceapi.RejoinFollowed) {
				t.Errorf("%s did not just follow: %+v", name, status.Rejoin)
			}
		}

		c.startMember(old)
		c.awaitWhole()
		c.members[next].mustQuery("TRUNCATE bulk")
	}
}

// holdReplay opens a transaction on a replica that reads, and keeps its snapshot.
func (c *trio) holdReplay(name string) *pgx.Conn {
	c.t.Helper()

	ctx := context.Background()
	conn, err := pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=app password='first secret' dbname=postgres sslmode=require",
		c.ports[name]))
	must(c.t, err)
	c.t.Cleanup(func() { _ = conn.Close(ctx) })

	_, err = conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	must(c.t, err)

	var rows int

	must(c.t, conn.QueryRow(ctx, "SELECT count(*) FROM held").Scan(&rows))

	return conn
}

// awaitArmed waits until both replicas have come back after the primary's newest rule of acknowledgement was loaded: their
// walsenders are ended for it once. A startup process that is held back, by a pause or a query, starts no new receiver, and
// commits would wait for an acknowledgement that cannot come.
func (c *trio) awaitArmed(primary string) {
	c.t.Helper()
	c.members[primary].awaitQuery(`SELECT count(*) = 2 AND bool_and(backend_start > pg_conf_load_time()
		AND strpos(current_setting('synchronous_standby_names'), '"' || application_name || '"') > 0)
		FROM pg_stat_replication WHERE state = 'streaming'`, "t")
}

// TestReplayGivesWay: a query on a replica, or a pause, holds replay back. An election does not wait for them.
func TestReplayGivesWay(t *testing.T) {
	c := newTrioOf(t, 1, func(w *world) { w.config.Parameters["max_standby_streaming_delay"] = "-1" })

	t.Run("readers", func(t *testing.T) {
		c.t = t
		old := c.awaitPrimary("")
		c.awaitArmed(old)

		m := c.members[old]
		m.mustQuery("CREATE TABLE held AS SELECT generate_series(1, 1000) AS id; GRANT ALL ON held TO PUBLIC")

		for name, replica := range c.members {
			replica.awaitQuery("SELECT count(*) FROM held", "1000")

			if name != old {
				c.holdReplay(name)
			}
		}

		m.mustQuery("DELETE FROM held")
		m.mustQuery("VACUUM held")
		m.mustQuery("INSERT INTO held VALUES (42)")

		for name, replica := range c.members {
			if name != old {
				replica.awaitQuery("SELECT wait_event LIKE 'RecoveryConflict%' FROM pg_stat_activity WHERE backend_type = 'startup'", "t")
			}
		}

		c.checkTakeover(old)
	})

	t.Run("a pause", func(t *testing.T) {
		c.t = t
		old := c.awaitPrimary("")
		c.awaitArmed(old)

		for name, replica := range c.members {
			if name != old {
				replica.mustQuery("SELECT pg_wal_replay_pause()")
			}
		}

		c.members[old].mustQuery("DELETE FROM held; INSERT INTO held VALUES (42)")

		for name, replica := range c.members {
			if name != old {
				replica.awaitQuery("SELECT pg_get_wal_replay_pause_state()", "paused")
			}
		}

		c.checkTakeover(old)
	})
}

// checkTakeover kills the primary and waits for another, which has what was acknowledged.
func (c *trio) checkTakeover(old string) {
	c.t.Helper()
	c.members[old].kill()

	since := time.Now()
	next := c.awaitPrimary(old)
	took := time.Since(since)
	c.t.Logf("%s took over within %s", next, took)

	if took > 20*time.Second {
		c.t.Errorf("the takeover took %s", took)
	}

	c.members[next].awaitQuery("SELECT string_agg(id::text, ',') FROM held", "42")
	c.startMember(old)
	c.awaitWhole()
}

// TestBackendCrash: a server that has lost one of its processes recovers, and may then show what no replica has. Nobody
// gets in until one has it.
func TestBackendCrash(t *testing.T) {
	c := newTrio(t)
	name := c.awaitPrimary("")
	m := c.members[name]
	m.mustQuery("CREATE TABLE seen (id int); GRANT ALL ON seen TO PUBLIC")

	for other, replica := range c.members {
		if other != name {
			replica.kill()
		}
	}

	conn, err := pgx.Connect(context.Background(),
		fmt.Sprintf("host=127.0.0.1 port=%d user=app password='first secret' dbname=postgres sslmode=require", c.ports[name]))
	must(t, err)

	var victim int

	must(t, conn.QueryRow(context.Background(), "SELECT pg_backend_pid()").Scan(&victim))

	if _, err := m.query("INSERT INTO seen VALUES (42)"); err == nil {
		t.Fatal("a commit was acknowledged that no replica has")
	}

	must(t, syscall.Kill(victim, syscall.SIGKILL))
	m.await("waits for a replica", func(s instanceapi.Status) bool { return s.Reason == "AwaitingReplicas" })

	if out, err := m.query("SELECT count(*) FROM seen"); err == nil {
		t.Errorf("a client got in and saw %s rows, which no replica has", out)
	}

	for _, other := range c.config.Members {
		if other != name {
			c.startMember(other)
		}
	}

	c.awaitWhole()
	c.members[c.awaitPrimary("")].awaitQuery("SELECT count(*) FROM seen", "1")
}
