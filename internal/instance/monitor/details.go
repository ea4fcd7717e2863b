package monitor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// Details are the answer to the long question.
type Details struct {
	Pending  []instanceapi.PendingParameter
	Errors   []string
	Replicas []instanceapi.ReplicaStatus
	Log      instanceapi.Log
	// SyncWaiters are backends that wait for a replica's acknowledgement.
	SyncWaiters int
}

// A change that waits for a restart is also listed as one that could not be applied; it is no error.
const errorsQuery = `
SELECT format('%s = %s: %s', f.name, f.setting, f.error)
  FROM pg_catalog.pg_file_settings f
 WHERE f.error IS NOT NULL
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_settings s WHERE s.name = lower(f.name) AND s.pending_restart)
UNION ALL
SELECT format('postgresql.auto.conf sets %s, over the Cluster''s configuration: ALTER SYSTEM RESET %s', f.name, f.name)
  FROM pg_catalog.pg_file_settings f
 WHERE f.sourcefile LIKE '%/postgresql.auto.conf' AND f.applied
UNION ALL
SELECT format('pg_hba line %s: %s', h.line_number, h.error)
  FROM pg_catalog.pg_hba_file_rules h WHERE h.error IS NOT NULL`

const identErrorsQuery = `
UNION ALL
SELECT format('pg_ident line %s: %s', i.line_number, i.error)
  FROM pg_catalog.pg_ident_file_mappings i WHERE i.error IS NOT NULL`

const pendingQuery = `
SELECT s.name, pg_catalog.current_setting(s.name),
       COALESCE((SELECT f.setting FROM pg_catalog.pg_file_settings f
                  WHERE lower(f.name) = s.name ORDER BY f.seqno DESC LIMIT 1), s.boot_val, '')
  FROM pg_catalog.pg_settings s
 WHERE s.pending_restart
 ORDER BY s.name`

const replicasQuery = `
SELECT application_name, COALESCE(state, ''), COALESCE(sync_state, ''),
       (l.lsn - flush_lsn)::bigint, (l.lsn - replay_lsn)::bigint,
       extract(epoch FROM CASE WHEN l.lsn = replay_lsn THEN '0' ELSE replay_lag END)::float8
  FROM (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()
                    ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) l, pg_catalog.pg_stat_replication
 WHERE application_name = ANY ($1)
 ORDER BY application_name, backend_start`

const logQuery = `
SELECT (CASE WHEN r.yes THEN COALESCE(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
             ELSE pg_catalog.pg_current_wal_lsn() END)::text,
       COALESCE((CASE WHEN r.yes THEN pg_catalog.pg_last_wal_replay_lsn() END)::text, ''),
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE wait_event = 'SyncRep')
  FROM (SELECT pg_catalog.pg_is_in_recovery() AS yes) r`

// identFileMajor is the first version that has pg_ident_file_mappings.
const identFileMajor = 15

// Details asks what a status tells beyond health; members are the instances of the Cluster by the names that
// their replication connections show.
func (m *Monitor) Details(ctx context.Context, major int, members map[string]string) (Details, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()

	var d Details

	err := m.session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var err error
		if d.Pending, err = rows[instanceapi.PendingParameter](ctx, conn, pendingQuery); err != nil {
			return err
		}

		if d.Replicas, err = rows[instanceapi.ReplicaStatus](ctx, conn, replicasQuery, slices.Collect(maps.Keys(members))); err != nil {
			return err
		}

		for i := range d.Replicas {
			d.Replicas[i].Instance = members[d.Replicas[i].Instance]
		}

		if err = conn.QueryRow(ctx, logQuery).Scan(&d.Log.LSN, &d.Log.ReplayLSN, &d.SyncWaiters); err != nil {
			return err
		}

		d.Errors, err = configErrors(ctx, conn, major)

		return err
	})
	if err != nil {
		return Details{}, fmt.Errorf("ask PostgreSQL for its status: %w", err)
	}

	return d, nil
}

func configErrors(ctx context.Context, conn *pgx.Conn, major int) ([]string, error) {
	query := errorsQuery
	if major >= identFileMajor {
		query += identErrorsQuery
	}

	result, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}

	found, err := pgx.CollectRows(result, pgx.RowTo[string])
	for i := range found {
		found[i] = strings.TrimSpace(found[i])
	}

	return found, err
}

func rows[T any](ctx context.Context, conn *pgx.Conn, query string, args ...any) ([]T, error) {
	result, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}

	return pgx.CollectRows(result, pgx.RowToStructByPos[T])
}
