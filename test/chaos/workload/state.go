package workload

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/test/chaos/check"
)

// State is what an instance has of a run's appends, in a standby once it has replayed up to a position.
type State struct {
	Rows []check.Row
	// LSN is where the primary writes, or to where a standby has replayed.
	LSN string
}

// Rows reads a run's appends.
func (e Endpoint) Rows(ctx context.Context, run string) (State, error) {
	var state State

	s, err := e.connect(ctx)
	if err != nil {
		return state, err
	}
	defer s.close()

	err = s.conn.QueryRow(ctx, `SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text`).
		Scan(&state.LSN)
	if err != nil {
		return state, fmt.Errorf("read position: %w", err)
	}

	rows, err := s.conn.Query(ctx, "SELECT key, value, position FROM "+AppendTable(run))
	if err != nil {
		return state, fmt.Errorf("read rows: %w", err)
	}

	state.Rows, err = pgx.CollectRows(rows, pgx.RowToStructByPos[check.Row])
	if err != nil {
		return state, fmt.Errorf("read rows: %w", err)
	}

	return state, nil
}

// Ask says whether the server at the other end lets clients write; an error if it does not answer.
func (e Endpoint) Ask(ctx context.Context) (writable bool, err error) {
	s, err := e.connect(ctx)
	if err != nil {
		return false, err
	}
	defer s.close()

	err = s.conn.QueryRow(ctx, "SELECT NOT pg_is_in_recovery()").Scan(&writable)

	return writable, err
}
