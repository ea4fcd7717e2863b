package instance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// trio is a protected Cluster of three.
type trio struct {
	*world

	members map[string]*member
	starts  int
}

func newTrio(t *testing.T) *trio {
	t.Helper()

	return newTrioOf(t, 1, func(*world) {})
}

// newTrioOf waits for that many acknowledgements, and runs in a world that is prepared for it.
func newTrioOf(t *testing.T, acks int, prepare func(*world)) *trio {
	t.Helper()

	w := newWorld(t, "demo-0", "demo-1", "demo-2")
	w.config.HA = instanceapi.HA{Acks: acks}
	c := &trio{world: w, members: map[string]*member{}}
	prepare(w)

	for _, name := range w.config.Members {
		c.startMember(name)
	}

	c.awaitWhole()

	return c
}

func (c *trio) startMember(name string) {
	c.t.Helper()

	// One that was killed a moment ago may still have the port that its peers know.
	c.eventually("the port of "+name+" is free", func() error {
		if at := c.statusAddress(name); at != c.statuses[name] {
			return errors.New("it is in use")
		}

		return nil
	})

	c.starts++
	c.members[name] = c.start(name, fmt.Sprintf("uid-%d", c.starts))
}

// primary is the member whose pod carries the label.
func (c *trio) primary() (string, error) {
	var found []string

	for _, name := range c.config.Members {
		label, err := os.ReadFile(c.root + "/" + name + "/run/label")
		if err == nil && string(label) == "primary" {
			found = append(found, name)
		}
	}

	if len(found) != 1 {
		return "", fmt.Errorf("the primary's label is on %v", found)
	}

	return found[0], nil
}

func (c *trio) awaitPrimary(not string) string {
	c.t.Helper()

	var name string

	c.eventually("there is one primary, and it is ready", func() (err error) {
		if name, err = c.primary(); err != nil {
			return err
		}

		if name == not {
			return errors.New("still " + not)
		}

		status, err := c.members[name].status()
		if err == nil && (status.Role != instanceapi.RolePrimary || !status.Ready || status.State != instanceapi.StateRunning) {
			err = fmt.Errorf("%s is %s %s: %s", name, status.Role, status.State, status.Message)
		}

		return err
	})

	return name
}

// awaitWhole waits until one leads, two follow, and commits wait for one of them.
func (c *trio) awaitWhole() {
	c.t.Helper()

	name := c.awaitPrimary("")

	for other, m := range c.members {
		if other != name {
			m.await("streams", func(s instanceapi.Status) bool {
				return s.Ready && s.Role == instanceapi.RoleReplica && s.Streaming != nil
			})
		}
	}

	c.eventually("both replicas are voters", func() error {
		if r := c.record(); len(r.Voters) != 2 || int(r.Acks) != c.config.HA.Acks || r.Pending != nil {
			return fmt.Errorf("the record is %+v", r)
		}

		return nil
	})
}

// writer inserts every 20 ms through whoever carries the label, as a client of the Service would.
type writer struct {
	c    *trio
	stop chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex
	acked []int
	last  time.Time
	gap   time.Duration
}

func (c *trio) write() *writer {
	c.t.Helper()
	c.members[c.awaitPrimary("")].mustQuery("CREATE TABLE IF NOT EXISTS written (id bigint PRIMARY KEY); GRANT ALL ON written TO PUBLIC")

	w := &writer{c: c, stop: make(chan struct{}), last: time.Now()}
	w.done.Go(w.run)

	return w
}

func (w *writer) run() {
	var conn *pgx.Conn

	for id := 1; ; id++ {
		select {
		case <-w.stop:
			return
		case <-time.After(20 * time.Millisecond):
		}

		var err error
		if conn == nil {
			if conn, err = w.connect(); err != nil {
				continue
			}
		}

		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_, err = conn.Exec(ctx, "INSERT INTO written VALUES ($1)", id)

		cancel()

		if err != nil {
			_ = conn.Close(context.Background())
			conn = nil

			continue
		}

		w.mu.Lock()
		w.gap = max(w.gap, time.Since(w.last))
		w.last = time.Now()
		w.acked = append(w.acked, id)
		w.mu.Unlock()
	}
}

func (w *writer) connect() (*pgx.Conn, error) {
	name, err := w.c.primary()
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()

	return pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=app password='first secret' dbname=postgres sslmode=require",
		w.c.ports[name]))
}

// longest is the longest gap since the last call, and ends no sooner than writes go on.
func (w *writer) longest() time.Duration {
	w.c.t.Helper()

	since := time.Now()
	w.c.eventually("writes go on", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()

		if !w.last.After(since) {
			return errors.New("no insert was acknowledged")
		}

		return nil
	})

	w.mu.Lock()
	defer w.mu.Unlock()

	gap := w.gap
	w.gap = 0

	return gap
}

// check says which acknowledged rows the primary lacks.
func (w *writer) check() {
	t := w.c.t
	t.Helper()
	close(w.stop)
	w.done.Wait()

	var rows []int
	must(t, json.Unmarshal([]byte(w.c.members[w.c.awaitPrimary("")].mustQuery("SELECT json_agg(id) FROM written")), &rows))

	have := map[int]bool{}
	for _, id := range rows {
		have[id] = true
	}

	lost := 0
	for _, id := range w.acked {
		if !have[id] {
			lost++
		}
	}

	t.Logf("%d rows acknowledged, %d there, %d lost", len(w.acked), len(rows), lost)

	if lost > 0 || len(w.acked) == 0 {
		t.Errorf("%d of %d acknowledged rows are lost", lost, len(w.acked))
	}
}

func (m *member) postmaster() int {
	m.w.t.Helper()

	pid, err := strconv.Atoi(firstLine(m.w.t, m.layout.DataDir+"/postmaster.pid"))
	must(m.w.t, err)

	return pid
}

func TestFailover(t *testing.T) {
	c := newTrio(t)
	w := c.write()
	w.longest()

	t.Run("PostgreSQL is restarted in order", func(t *testing.T) {
		c.t = t

		for name, m := range c.members {
			if name == c.awaitPrimary("") {
				continue
			}

			before := m.awaitReady()
			must(t, c.client.Restart(context.Background(), m.target(), instanceapi.RestartRequest{Reason: "a test"}))

			after := m.await("was restarted", func(s instanceapi.Status) bool {
				return s.Ready && s.StartedAt != nil && s.StartedAt.After(*before.StartedAt)
			})
			if after.Restarts != before.Restarts || after.Crash != nil {
				t.Errorf("%s calls that a crash: %d restarts, %+v", name, after.Restarts, after.Crash)
			}
		}

		w.longest()
	})

	t.Run("the postmaster is killed", func(t *testing.T) {
		c.t = t
		primary := c.awaitPrimary("")
		before := c.record()
		must(t, syscall.Kill(c.members[primary].postmaster(), syscall.SIGKILL))
		time.Sleep(200 * time.Millisecond)
		t.Logf("gap %s", w.longest())
		c.awaitWhole()

		if after := c.record(); after.Term != before.Term {
			t.Logf("term %d became %d: it was not restarted in place", before.Term, after.Term)
		}
	})

	// As those have no slots that were copied or rewound a moment ago.
	t.Run("the primary's container ends, and no replica has slots", func(t *testing.T) {
		c.t = t
		primary := c.awaitPrimary("")

		for name, member := range c.members {
			if name != primary {
				member.mustQuery("SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots WHERE NOT active")
			}
		}

		c.members[primary].kill()
		c.awaitPrimary(primary)
		c.startMember(primary)
		c.awaitWhole()
	})

	for round := range 2 {
		t.Run(fmt.Sprintf("the primary's container ends, round %d", round), func(t *testing.T) {
			c.t = t
			primary := c.awaitPrimary("")
			before := c.record()
			c.members[primary].kill()
			next := c.awaitPrimary(primary)
			t.Logf("gap %s, %s took over from %s", w.longest(), next, primary)

			if after := c.record(); after.Term <= before.Term {
				t.Errorf("the term is %d, after %d", after.Term, before.Term)
			}

			c.startMember(primary)
			c.awaitWhole()

			if now := c.awaitPrimary(""); now != next {
				t.Errorf("%s leads, want %s still", now, next)
			}
		})
	}

	t.Run("switchover", func(t *testing.T) {
		c.t = t
		primary := c.awaitPrimary("")

		must(t, c.client.Switchover(context.Background(), c.members[primary].target(), instanceapi.SwitchoverRequest{Request: "test"}))
		next := c.awaitPrimary(primary)
		t.Logf("gap %s, %s took over from %s", w.longest(), next, primary)
		c.awaitWhole()

		if strings.Contains(c.members[primary].output.String(), "rewinding") {
			t.Log("the old primary had to rewind after an orderly switchover")
		}
	})

	t.Run("the primary's pod ends in order", func(t *testing.T) {
		c.t = t
		primary := c.awaitPrimary("")
		c.members[primary].terminate()
		next := c.awaitPrimary(primary)
		t.Logf("gap %s, %s took over from %s", w.longest(), next, primary)
		c.startMember(primary)
		c.awaitWhole()

		numbers := get(t, "http://"+c.members[next].layout.MetricsAddress+"/metrics")
		if strings.Contains(numbers, "caretaker_ha_failovers_total 0") || !strings.Contains(numbers, "caretaker_ha_failovers_total") {
			t.Errorf("%s does not count that it took over from a pod that was stopped", next)
		}

		for _, want := range []string{
			"caretaker_ha_is_primary 1", "caretaker_ha_authority 1", "caretaker_ha_promises_needed 1", "caretaker_ha_acks_needed 1",
			"caretaker_ha_peer_silence_seconds{peer=\"" + primary + "\"}",
			"caretaker_pg_replication_lag_bytes{replica=\"" + primary + "\",state=\"streaming\"}",
		} {
			// The replica connects anew when it becomes a voter.
			c.eventually(next+" has the metric "+want, func() error {
				if !strings.Contains(get(t, "http://"+c.members[next].layout.MetricsAddress+"/metrics"), want) {
					return errors.New("it does not")
				}

				return nil
			})
		}
	})

	c.t = t
	w.check()
}
