package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
)

const (
	// scrapeTimeout bounds all the queries of a scrape together.
	scrapeTimeout = 2 * time.Second
	// maxAge of an answer that is used again.
	maxAge = 3 * time.Second
	// tablesInterval and tablesTimeout are for the sums over all tables of every database.
	tablesInterval = time.Minute
	tablesTimeout  = 10 * time.Second
	// maxDatabases bounds how many databases are visited for them.
	maxDatabases = 50
)

// Source says what to collect from.
type Source struct {
	// Session to the database postgres.
	Session *pgconn.Session
	// Database are the Params to connect to another database.
	Database func(name string) pgconn.Params
	// IsUp says whether PostgreSQL runs as a server of the Cluster, and its major version.
	IsUp func() (major int, up bool)
	// Restarts is how often PostgreSQL was started again after it ended by itself.
	Restarts func() int
	// Rejoins are how often this member was rewound, and copied anew, because it could not follow the primary.
	Rejoins func() (rewinds, reclones int)
	// Protocol is how the instance stands in the failover protocol; false while it takes no part.
	Protocol func() (Protocol, bool)
	// Disk is the data volume; nil if it is not known.
	Disk func() *instanceapi.Disk
	// Archiving is how WAL reaches the archive; nil if there is none, or if it is not known.
	Archiving func() *instanceapi.Archiving
	// Copies are how far the copies of the archive are; none if this instance makes none.
	Copies func() []instanceapi.Copied
	// Instance is the instance of a replication connection, by the name that the connection shows.
	Instance func(application string) string
}

// Collector collects the metrics of a PostgreSQL server.
type Collector struct {
	source Source
	clock  clock.PassiveClock
	log    *slog.Logger

	up, restarts, rewinds, reclones, failed *prometheus.Desc

	mu     sync.Mutex
	at     time.Time
	cached []prometheus.Metric

	tablesMu      sync.Mutex
	tablesAt      time.Time
	tablesRunning bool
	tablesCached  []prometheus.Metric
}

// NewCollector makes a Collector.
func NewCollector(source Source, clk clock.PassiveClock, log *slog.Logger) *Collector {
	return &Collector{
		source: source, clock: clk, log: log,
		up: prometheus.NewDesc(prefix+"up", "1 if PostgreSQL answers.", nil, nil),
		restarts: prometheus.NewDesc(prefix+"restarts_total",
			"How often PostgreSQL was started again after it ended by itself.", nil, nil),
		rewinds: prometheus.NewDesc(prefix+"rewinds_total",
			"How often this member's log had diverged from the primary's, and was rewound.", nil, nil),
		reclones: prometheus.NewDesc(prefix+"reclones_total",
			"How often this member's data were of no use, and were copied anew.", nil, nil),
		failed: prometheus.NewDesc(prefix+"scrape_failed", "1 for a query that failed in this scrape.", []string{"query"}, nil),
	}
}

// Describe sends nothing: the collector is unchecked, since what it has depends on the server's version.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics; from memory if they are young. Scrapes wait for each other.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if now := c.clock.Now(); c.at.IsZero() || now.Sub(c.at) > maxAge {
		c.cached, c.at = c.scrape(), now
	}

	for _, m := range c.cached {
		out <- m
	}
}

func (c *Collector) scrape() []prometheus.Metric {
	rewinds, reclones := c.source.Rejoins()
	found := []prometheus.Metric{
		prometheus.MustNewConstMetric(c.restarts, prometheus.CounterValue, float64(c.source.Restarts())),
		prometheus.MustNewConstMetric(c.rewinds, prometheus.CounterValue, float64(rewinds)),
		prometheus.MustNewConstMetric(c.reclones, prometheus.CounterValue, float64(reclones)),
	}
	found = append(append(append(found, c.volume()...), c.protocol()...), append(c.archive(), c.copies()...)...)

	major, isUp := c.source.IsUp()
	if !isUp {
		return append(found, prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, 0))
	}

	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()

	answered := 0.0

	err := c.source.Session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		for _, q := range queries() {
			if q.min > major || q.max != 0 && q.max < major {
				continue
			}

			rows, err := c.ask(ctx, conn, q)
			if err != nil {
				found = append(found, prometheus.MustNewConstMetric(c.failed, prometheus.GaugeValue, 1, q.name))
				c.log.Debug("a metrics query failed", "query", q.name, "error", err)

				if conn.IsClosed() {
					return err
				}

				continue
			}

			answered = 1
			found = append(found, rows...)
		}

		return nil
	})
	if err != nil {
		c.log.Debug("metrics could not be collected", "error", err)
	}

	found = append(found, prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, answered))

	return append(found, c.tables()...)
}

// ask runs a query and makes its metrics.
func (c *Collector) ask(ctx context.Context, conn *pgx.Conn, q query) ([]prometheus.Metric, error) {
	rows, err := conn.Query(ctx, q.sql)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", q.name, err)
	}
	defer rows.Close()

	descs := make([]*prometheus.Desc, len(q.metrics))
	for i, m := range q.metrics {
		descs[i] = prometheus.NewDesc(prefix+m.name, m.help, q.labels, nil)
	}

	var found []prometheus.Metric

	for rows.Next() {
		labels, values, err := scan(rows, q)
		if err != nil {
			return nil, fmt.Errorf("query %s: %w", q.name, err)
		}

		// Members are known to PostgreSQL by their IDs, to people by their instances.
		if i := slices.Index(q.labels, replicaLabel); i >= 0 {
			labels[i] = c.source.Instance(labels[i])
		}

		for i, value := range values {
			if value != nil {
				found = append(found, prometheus.MustNewConstMetric(descs[i], q.metrics[i].kind, *value, labels...))
			}
		}
	}

	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("query %s: %w", q.name, err)
	}

	return found, nil
}

func scan(rows pgx.Rows, q query) ([]string, []*float64, error) {
	labels, values := make([]string, len(q.labels)), make([]*float64, len(q.metrics))
	targets := make([]any, 0, len(labels)+len(values))

	for i := range labels {
		targets = append(targets, &labels[i])
	}

	for i := range values {
		targets = append(targets, &values[i])
	}

	if err := rows.Scan(targets...); err != nil {
		return nil, nil, fmt.Errorf("scan: %w", err)
	}

	return labels, values, nil
}
