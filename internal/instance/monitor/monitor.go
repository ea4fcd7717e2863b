package monitor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/pgconn"
)

const (
	// queryTimeout bounds a question; a server that cannot answer in it is not healthy.
	queryTimeout = 2 * time.Second
	// maxAge of an answer that is used again.
	maxAge = 500 * time.Millisecond
	// maxErrorAge is shorter: a server that starts is to be noticed soon.
	maxErrorAge = 80 * time.Millisecond
)

// Health is the answer to the short question.
type Health struct {
	// InRecovery: it is a standby.
	InRecovery bool
	// Started is when the postmaster started.
	Started time.Time
	// SystemID and Timeline of the data.
	SystemID string
	Timeline int64
	// Streaming: a WAL receiver receives.
	Streaming bool
	// Behind: it has received what it has not replayed; Replayed is how far it has. Paused: somebody has paused replay,
	// or PostgreSQL has, since a parameter is lower than the primary's.
	Behind, Paused bool
	Replayed       string
}

// Monitor asks the server over one connection, and remembers the answer for half a second, so that probes, status
// requests and the main loop together ask at most twice a second.
type Monitor struct {
	session *pgconn.Session
	clock   clock.PassiveClock

	mu     sync.Mutex
	at     time.Time
	health Health
	err    error
	// streaming since when, and seen last.
	streamingSince, streamingSeen time.Time
	// stuckSince is since when it is behind, and replay has not moved from stuckAt.
	stuckSince time.Time
	stuckAt    string
}

// New makes a Monitor over a session.
func New(session *pgconn.Session, clk clock.PassiveClock) *Monitor {
	return &Monitor{session: session, clock: clk}
}

const healthQuery = `
SELECT pg_catalog.pg_is_in_recovery(),
       pg_catalog.pg_postmaster_start_time(),
       (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN COALESCE((SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver),
                          (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()))::bigint
            ELSE ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
       END,
       EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE status = 'streaming'),
       COALESCE(pg_catalog.pg_last_wal_receive_lsn() > pg_catalog.pg_last_wal_replay_lsn(), false),
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_get_wal_replay_pause_state() = 'paused' ELSE false END,
       COALESCE(pg_catalog.pg_last_wal_replay_lsn()::text, '')`

// Health asks, or answers from memory.
func (m *Monitor) Health(ctx context.Context) (Health, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	limit := maxAge
	if m.err != nil {
		limit = maxErrorAge
	}

	if !m.at.IsZero() && m.clock.Since(m.at) < limit {
		return m.health, m.err
	}

	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()

	var h Health

	err := m.session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, healthQuery).Scan(&h.InRecovery, &h.Started, &h.SystemID, &h.Timeline, &h.Streaming,
			&h.Behind, &h.Paused, &h.Replayed)
	})
	if err != nil {
		h, err = Health{}, fmt.Errorf("ask PostgreSQL how it is: %w", err)
	}

	m.at, m.health, m.err = m.clock.Now(), h, err
	m.noteStreaming(h)
	m.noteReplay(h)

	return h, err
}

func (m *Monitor) noteStreaming(h Health) {
	switch {
	case !h.Streaming:
		m.streamingSince = time.Time{}
	case m.streamingSince.IsZero():
		m.streamingSince = m.at
	}

	if h.Streaming {
		m.streamingSeen = m.at
	}
}

func (m *Monitor) noteReplay(h Health) {
	switch {
	case !h.Behind:
		m.stuckSince, m.stuckAt = time.Time{}, ""
	case m.stuckSince.IsZero() || h.Replayed != m.stuckAt:
		m.stuckSince, m.stuckAt = m.at, h.Replayed
	}
}

// Stuck is since when a replica that has something to replay has replayed nothing; zero if it does.
func (m *Monitor) Stuck() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.stuckSince
}

// Streaming is since when the WAL receiver has been receiving (zero if it is not), and when it last was.
func (m *Monitor) Streaming() (since, seen time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.streamingSince, m.streamingSeen
}

// Forget drops the answer: the server was stopped or started.
func (m *Monitor) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.at, m.streamingSince, m.streamingSeen, m.stuckSince = time.Time{}, time.Time{}, time.Time{}, time.Time{}
}
