package metrics

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caretaker-dev/caretaker/internal/pgconn"
)

// tables are the sums over all tables, from memory; when they are old they are asked anew beside the scrape, which does
// not wait for them.
func (c *Collector) tables() []prometheus.Metric {
	c.tablesMu.Lock()
	defer c.tablesMu.Unlock()

	if now := c.clock.Now(); !c.tablesRunning && (c.tablesAt.IsZero() || now.Sub(c.tablesAt) > tablesInterval) {
		c.tablesRunning, c.tablesAt = true, now

		go c.refreshTables()
	}

	return c.tablesCached
}

func (c *Collector) refreshTables() {
	ctx, cancel := context.WithTimeout(context.Background(), tablesTimeout)
	defer cancel()

	found, err := c.askTables(ctx)
	if err != nil {
		c.log.Debug("the tables' metrics could not be collected", "error", err)
	}

	c.tablesMu.Lock()
	defer c.tablesMu.Unlock()

	c.tablesRunning = false
	if err == nil {
		c.tablesCached = found
	}
}

func (c *Collector) askTables(ctx context.Context) ([]prometheus.Metric, error) {
	var names []string

	err := c.source.Session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT datname::text FROM pg_database
 WHERE datallowconn AND NOT datistemplate ORDER BY datname LIMIT $1`, maxDatabases)
		if err != nil {
			return fmt.Errorf("list databases: %w", err)
		}

		names, err = pgx.CollectRows(rows, pgx.RowTo[string])

		return err
	})
	if err != nil {
		return nil, err
	}

	var found []prometheus.Metric

	for _, name := range names {
		rows, err := c.askDatabase(ctx, name)
		if err != nil {
			return nil, err
		}

		found = append(found, rows...)
	}

	return found, nil
}

func (c *Collector) askDatabase(ctx context.Context, name string) ([]prometheus.Metric, error) {
	conn, err := pgconn.Connect(ctx, c.source.Database(name))
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read from

	return c.ask(ctx, conn, tables())
}
