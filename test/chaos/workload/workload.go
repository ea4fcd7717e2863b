package workload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caretaker-dev/caretaker/test/chaos/history"
)

// Config is how much is done.
type Config struct {
	Endpoint

	// Run names the tables; letters, digits and underscores.
	Run string
	// Interval of the first client, whose ticks measure the gap; the others are half as fast.
	Interval time.Duration
	// Appenders are the clients that append, Registers those that write and read registers.
	Appenders, Registers int
	// Pinned, if not nil, leads to one server. Two more clients stay with it whatever becomes of it, and wait for answers as
	// long as it takes: they see what a primary says that does not know yet that it is none any more.
	Pinned *Endpoint
}

// FirstPinned is the number of the first client that stays with one server.
const FirstPinned = 100

// The numbers of keys. Few registers make for much contention, which is what shows a stale read.
const (
	appendKeys   = 4
	registerKeys = 2
)

// timeline is PostgreSQL's, of the very transaction; 0 on a standby. It is a parallel-safe expression that any role may use.
const timeline = `CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END`

// Workload runs clients until it is stopped.
type Workload struct {
	config   Config
	recorder history.Recorder
	began    time.Time
	cancel   context.CancelFunc
	clients  sync.WaitGroup
}

// AppendTable is where a run's appends are.
func AppendTable(run string) string { return "chaos_append_" + run }

func registerTable(run string) string { return "chaos_register_" + run }

// Start makes the tables and starts the clients. Client 0 is the one that ticks.
func Start(ctx context.Context, config Config) (*Workload, error) {
	if err := setUp(ctx, config); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancel(ctx)
	w := &Workload{config: config, began: time.Now(), cancel: cancel}

	for i := range config.Appenders + config.Registers {
		w.start(ctx, &client{number: i, register: i >= config.Appenders, endpoint: config.Endpoint})
	}

	if config.Pinned != nil {
		for i := range 2 {
			w.start(ctx, &client{number: FirstPinned + i, register: i == 1, endpoint: *config.Pinned, pinned: true})
		}
	}

	return w, nil
}

func (w *Workload) start(ctx context.Context, c *client) {
	c.workload = w

	w.clients.Go(func() { c.run(ctx) })
}

// Now is the time since the beginning, as in the history.
func (w *Workload) Now() time.Duration { return time.Since(w.began) }

// Began is the wall clock's time of the beginning.
func (w *Workload) Began() time.Time { return w.began }

// Ops so far.
func (w *Workload) Ops() []history.Op { return w.recorder.Ops() }

// Stop ends the clients, and returns the history.
func (w *Workload) Stop() []history.Op {
	w.cancel()
	w.clients.Wait()

	return w.recorder.Ops()
}

func setUp(ctx context.Context, config Config) error {
	s, err := config.connect(ctx)
	if err != nil {
		return fmt.Errorf("make tables: %w", err)
	}
	defer s.close()

	for _, sql := range []string{
		fmt.Sprintf(`CREATE TABLE %s (position bigint GENERATED ALWAYS AS IDENTITY, key int NOT NULL, value bigint NOT NULL)`, AppendTable(config.Run)),
		fmt.Sprintf(`CREATE TABLE %s (key int PRIMARY KEY, value bigint NOT NULL)`, registerTable(config.Run)),
		fmt.Sprintf(`INSERT INTO %s SELECT k, 0 FROM generate_series(0, %d) k`, registerTable(config.Run), registerKeys-1),
	} {
		if _, err := s.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make tables: %w", err)
		}
	}

	return nil
}

// Drop removes a run's tables.
func (w *Workload) Drop(ctx context.Context) error {
	s, err := w.config.connect(ctx)
	if err != nil {
		return fmt.Errorf("drop tables: %w", err)
	}
	defer s.close()

	if _, err := s.conn.Exec(ctx, "DROP TABLE "+AppendTable(w.config.Run)+", "+registerTable(w.config.Run)); err != nil {
		return fmt.Errorf("drop tables: %w", err)
	}

	return nil
}

// client does one operation after the other.
type client struct {
	workload    *Workload
	endpoint    Endpoint
	number      int
	register    bool
	pinned      bool
	session     *session
	connections int
	sequence    int64
}

func (c *client) run(ctx context.Context) {
	interval := c.workload.config.Interval
	if c.number > 0 {
		interval *= 2
	}

	ticker := time.NewTicker(interval)
	defer ticker.Stop()

	for {
		select {
		case <-ctx.Done():
			c.session.close()

			return
		case <-ticker.C:
			if c.pinned {
				c.step(ctx)

				continue
			}

			// One that was begun is finished: its outcome is worth more than an early end.
			withTimeouts := context.WithoutCancel(ctx)
			c.step(withTimeouts)
		}
	}
}

func (c *client) step(ctx context.Context) {
	c.sequence++

	op := history.Op{
		Client: c.number, Kind: history.Append, Key: int(c.sequence) % appendKeys,
		Value: int64(c.number+1)<<32 | c.sequence,
	}
	if c.register {
		op.Key = int(c.sequence/2) % registerKeys
		op.Kind = history.Write

		if (c.sequence+int64(c.number))%2 == 0 {
			op.Kind, op.Value = history.Read, 0
		}
	}

	op.Invoke = c.workload.Now()
	err := c.do(ctx, &op)
	op.Complete = c.workload.Now()

	if err != nil {
		op.Error = strings.Join(strings.Fields(err.Error()), " ")

		c.session.close()
		c.session = nil
	}

	c.workload.recorder.Add(op)
}

func (c *client) do(ctx context.Context, op *history.Op) error {
	op.Outcome = history.Fail

	if c.session == nil {
		c.connections++

		s, err := c.endpoint.connect(ctx)
		if err != nil {
			return err
		}

		c.session = s
		// What was waited for the connection is no part of the operation.
		op.Invoke = c.workload.Now()
	}

	op.Connection, op.System, op.Server = c.connections, c.session.system, c.session.server

	if !c.pinned {
		limited, cancel := context.WithTimeout(ctx, WriteTimeout)
		defer cancel()

		ctx = limited
	}

	err := c.send(ctx, op)
	op.Outcome = outcome(err)

	if err == nil && c.pinned && op.Timeline == 0 {
		// A standby says what it knows: that it is behind is no lie.
		op.Outcome, op.Error = history.Fail, "answered by a standby"
	}

	return err
}

func (c *client) send(ctx context.Context, op *history.Op) error {
	run, conn := c.workload.config.Run, c.session.conn

	switch op.Kind {
	case history.Append:
		return conn.QueryRow(ctx, "INSERT INTO "+AppendTable(run)+" (key, value) VALUES ($1, $2) RETURNING "+timeline, op.Key, op.Value).
			Scan(&op.Timeline)
	case history.Write:
		return conn.QueryRow(ctx, "UPDATE "+registerTable(run)+" SET value = $2 WHERE key = $1 RETURNING "+timeline, op.Key, op.Value).
			Scan(&op.Timeline)
	case history.Read:
		return conn.QueryRow(ctx, "SELECT value, "+timeline+" FROM "+registerTable(run)+" WHERE key = $1", op.Key).
			Scan(&op.Value, &op.Timeline)
	default:
		return fmt.Errorf("no operation %q", op.Kind)
	}
}

// outcome is what an error says of its statement. A server that breaks off a session may have committed before.
func outcome(err error) history.Outcome {
	var refused *pgconn.PgError

	switch {
	case err == nil:
		return history.OK
	case errors.As(err, &refused) && refused.Severity == "ERROR" && !strings.HasPrefix(refused.Code, "57"):
		return history.Fail
	case pgconn.SafeToRetry(err):
		return history.Fail
	default:
		return history.Unknown
	}
}
