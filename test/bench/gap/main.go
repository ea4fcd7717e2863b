// Command gap inserts a row every 20 ms and says how long the longest time between two acknowledged inserts was, and
// whether all that was acknowledged is there.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	interval       = 20 * time.Millisecond
	connectTimeout = time.Second
	writeTimeout   = 2 * time.Second
	reportAbove    = 300 * time.Millisecond
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type client struct {
	uri   string
	conn  *pgx.Conn
	acked []int64
	last  time.Time
	worst time.Duration
	why   string
}

func run(ctx context.Context, uri, duration string) error {
	limit, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}

	c := &client{uri: uri}
	if err := c.setUp(ctx); err != nil {
		return err
	}

	c.last = time.Now()
	end := c.last.Add(limit)

	for id := c.last.UnixNano(); ctx.Err() == nil && time.Now().Before(end); id++ {
		c.insert(ctx, id)

		select {
		case <-time.After(interval):
		case <-ctx.Done():
		}
	}

	return c.verdict(context.WithoutCancel(ctx))
}

func (c *client) connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}

	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()

	conn, err := pgx.Connect(ctx, c.uri)
	c.conn = conn

	return err
}

func (c *client) setUp(ctx context.Context) error {
	if err := c.connect(ctx); err != nil {
		return err
	}

	_, err := c.conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS gap (id bigint PRIMARY KEY)")

	return err
}

func (c *client) insert(ctx context.Context, id int64) {
	err := c.connect(ctx)
	if err == nil {
		write, cancel := context.WithTimeout(ctx, writeTimeout)
		_, err = c.conn.Exec(write, "INSERT INTO gap VALUES ($1)", id)

		cancel()
	}

	if err != nil {
		c.why = err.Error()

		if c.conn != nil {
			_ = c.conn.Close(context.Background()) //nolint:contextcheck // also when the run is over
			c.conn = nil
		}

		return
	}

	now := time.Now()
	if gap := now.Sub(c.last); gap > reportAbove {
		fmt.Printf("%s gap %.2fs; last error: %s\n", now.Format("15:04:05.000"), gap.Seconds(), c.why)
		c.worst = max(c.worst, gap)
	}

	c.last = now
	c.acked = append(c.acked, id)
}

// verdict reads everything back.
func (c *client) verdict(ctx context.Context) error {
	if err := c.connect(ctx); err != nil {
		return err
	}

	rows, err := c.conn.Query(ctx, "SELECT id FROM gap")
	if err != nil {
		return err
	}

	all, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}

	have := make(map[int64]bool, len(all))
	for _, id := range all {
		have[id] = true
	}

	lost := 0
	for _, id := range c.acked {
		if !have[id] {
			lost++
		}
	}

	fmt.Printf("acknowledged %d, lost %d, longest gap %.2fs\n", len(c.acked), lost, c.worst.Seconds())

	if lost > 0 {
		return fmt.Errorf("%d acknowledged rows are lost", lost)
	}

	return nil
}
