package metrics

import "github.com/prometheus/client_golang/prometheus"

// prefix of every metric.
const prefix = "caretaker_pg_"

// metric is one number of a query.
type metric struct {
	name string
	help string
	kind prometheus.ValueType
}

// replicaLabel names a replica.
const replicaLabel = "replica"

// query is a question to PostgreSQL. Its columns are first the labels, as text, then the metrics, as float8; a null is
// left out. It runs on majors min to max (0: no limit).
type query struct {
	name     string
	sql      string
	labels   []string
	metrics  []metric
	min, max int
}

func gauge(name, help string) metric {
	return metric{name: name, help: help, kind: prometheus.GaugeValue}
}

func counter(name, help string) metric {
	return metric{name: name, help: help, kind: prometheus.CounterValue}
}

// statCheckpointerMajor is the first version with pg_stat_checkpointer.
const statCheckpointerMajor = 17

// queries are everything that is asked over the connection to the database postgres.
func queries() []query {
	return append(append(serverQueries(), replicationQueries()...), activityQueries()...)
}

func serverQueries() []query {
	return []query{
		{
			name: "server",
			sql: `SELECT pg_is_in_recovery()::int::float8,
       extract(epoch FROM pg_postmaster_start_time())::float8,
       current_setting('max_connections')::float8,
       (SELECT count(*) FROM pg_settings WHERE pending_restart)::float8`,
			metrics: []metric{
				gauge("is_replica", "1 if the server is in recovery."),
				gauge("start_time_seconds", "When the server started, in seconds since 1970."),
				gauge("max_connections", "The parameter max_connections."),
				gauge("pending_restart_parameters", "Parameters whose new value waits for a restart."),
			},
		},
		{
			name: "wal",
			sql: `SELECT ((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) - '0/0')::float8,
       w.files, w.bytes
  FROM (SELECT count(*)::float8 AS files, COALESCE(sum(size), 0)::float8 AS bytes FROM pg_ls_waldir()) w`,
			metrics: []metric{
				counter("wal_position_bytes", "The write position (on a replica: the replay position) as a number of bytes."),
				gauge("wal_files", "Files in pg_wal."),
				gauge("wal_size_bytes", "Size of the files in pg_wal."),
			},
		},
		{
			name: "checkpointer", min: statCheckpointerMajor,
			sql: `SELECT num_timed::float8, num_requested::float8, write_time / 1000, sync_time / 1000, buffers_written::float8
  FROM pg_stat_checkpointer`,
			metrics: checkpointMetrics(),
		},
		{
			name: "checkpointer", max: statCheckpointerMajor - 1,
			sql: `SELECT checkpoints_timed::float8, checkpoints_req::float8, checkpoint_write_time / 1000,
       checkpoint_sync_time / 1000, buffers_checkpoint::float8
  FROM pg_stat_bgwriter`,
			metrics: checkpointMetrics(),
		},
		{
			name: "bgwriter",
			sql:  `SELECT buffers_clean::float8, maxwritten_clean::float8, buffers_alloc::float8 FROM pg_stat_bgwriter`,
			metrics: []metric{
				counter("bgwriter_buffers_written_total", "Buffers written by the background writer."),
				counter("bgwriter_stopped_total", "Rounds that the background writer ended because it had written too much."),
				counter("buffers_allocated_total", "Buffers allocated."),
			},
		},
		{
			name: "archiver",
			sql: `SELECT archived_count::float8, failed_count::float8,
       extract(epoch FROM last_archived_time)::float8, extract(epoch FROM last_failed_time)::float8
  FROM pg_stat_archiver`,
			metrics: []metric{
				counter("archived_segments_total", "WAL segments that archive_command took, also where no archive is configured."),
				counter("archive_failures_total", "Failures of archive_command."),
				gauge("last_archived_time_seconds", "When archive_command last succeeded, in seconds since 1970."),
				gauge("last_archive_failure_time_seconds", "When archive_command last failed, in seconds since 1970."),
			},
		},
	}
}

func checkpointMetrics() []metric {
	return []metric{
		counter("checkpoints_timed_total", "Checkpoints that were due by time."),
		counter("checkpoints_requested_total", "Checkpoints that were asked for or due by WAL; many mean that max_wal_size is small."),
		counter("checkpoint_write_seconds_total", "Time spent writing files in checkpoints."),
		counter("checkpoint_sync_seconds_total", "Time spent syncing files in checkpoints."),
		counter("checkpoint_buffers_written_total", "Buffers written by checkpoints."),
	}
}

func replicationQueries() []query {
	return []query{
		{
			name: "replication", labels: []string{replicaLabel, "state"},
			sql: `SELECT application_name, COALESCE(state, ''),
       ((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END) - replay_lsn)::float8,
       extract(epoch FROM COALESCE(replay_lag, '0'))::float8
  FROM pg_stat_replication`,
			metrics: []metric{
				gauge("replication_lag_bytes", "WAL that a replica has not replayed yet, as its upstream sees it."),
				gauge("replication_lag_seconds", "Time until a replica replays what was written, as its upstream sees it."),
			},
		},
		{
			name: "receiver",
			sql: `SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')::int::float8,
       (pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn())::float8,
       CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END::float8
 WHERE pg_is_in_recovery()`,
			metrics: []metric{
				gauge("streaming", "1 if this replica receives WAL from its upstream."),
				gauge("replay_lag_bytes", "WAL that this replica has received but not replayed."),
				gauge("replay_lag_seconds", "Age of the last transaction that this replica has replayed; 0 if it has replayed all it received."),
			},
		},
		{
			name: "slots", labels: []string{"slot"},
			sql: `SELECT slot_name::text, active::int::float8,
       ((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) - restart_lsn)::float8,
       (wal_status = 'lost')::int::float8
  FROM pg_replication_slots`,
			metrics: []metric{
				gauge("replication_slot_active", "1 if the slot is in use."),
				gauge("replication_slot_retained_bytes", "WAL that is kept for the slot."),
				gauge("replication_slot_lost", "1 if WAL that the slot needs is gone."),
			},
		},
	}
}

func activityQueries() []query {
	return []query{
		{
			name: "connections", labels: []string{"state"},
			sql: `SELECT s.state, count(a.pid)::float8
  FROM unnest(ARRAY['active', 'idle', 'idle in transaction', 'idle in transaction (aborted)', 'other']) AS s(state)
  LEFT JOIN pg_stat_activity a
    ON a.backend_type = 'client backend'
   AND s.state = CASE WHEN a.state IN ('active', 'idle', 'idle in transaction', 'idle in transaction (aborted)')
                      THEN a.state ELSE 'other' END
 GROUP BY s.state`,
			metrics: []metric{gauge("connections", "Connections of clients by state.")},
		},
		{
			name: "transactions",
			sql: `SELECT COALESCE(max(extract(epoch FROM now() - xact_start)), 0)::float8,
       COALESCE(max(age(backend_xmin)), 0)::float8,
       (SELECT count(*) FROM pg_locks WHERE NOT granted)::float8,
       count(*) FILTER (WHERE wait_event = 'SyncRep')::float8
  FROM pg_stat_activity WHERE backend_type = 'client backend'`,
			metrics: []metric{
				gauge("longest_transaction_seconds", "Age of the oldest open transaction of a client."),
				gauge("oldest_snapshot_transactions", "Transactions since the oldest snapshot in use, which holds vacuum back."),
				gauge("waiting_locks", "Requests for locks that wait."),
				gauge("sync_waiters", "Clients whose commit waits for a replica's acknowledgement."),
			},
		},
		{
			name: "databases", labels: []string{"database"},
			sql: `SELECT d.datname::text, pg_database_size(d.oid)::float8, age(d.datfrozenxid)::float8, mxid_age(d.datminmxid)::float8,
       s.xact_commit::float8, s.xact_rollback::float8, s.blks_hit::float8, s.blks_read::float8,
       s.deadlocks::float8, s.temp_files::float8, s.temp_bytes::float8, s.conflicts::float8
  FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
 WHERE d.datallowconn`,
			metrics: []metric{
				gauge("database_size_bytes", "Size of a database."),
				gauge("database_frozen_xid_age", "Transactions since the oldest that is not frozen; wraparound is at 2 billion."),
				gauge("database_min_mxid_age", "Multixacts since the oldest one; wraparound is at 2 billion."),
				counter("transactions_committed_total", "Transactions committed."),
				counter("transactions_rolled_back_total", "Transactions rolled back."),
				counter("blocks_hit_total", "Blocks found in shared buffers."),
				counter("blocks_read_total", "Blocks read from below shared buffers."),
				counter("deadlocks_total", "Deadlocks."),
				counter("temp_files_total", "Temporary files written by queries."),
				counter("temp_bytes_total", "Bytes written to temporary files by queries."),
				counter("recovery_conflicts_total", "Queries cancelled on a replica by a conflict with replay."),
			},
		},
	}
}

// tables are asked in each database, seldom: the sums over all tables need a connection to each.
func tables() query {
	return query{
		name: "tables", labels: []string{"database"},
		sql: `SELECT current_database()::text, COALESCE(sum(n_live_tup), 0)::float8, COALESCE(sum(n_dead_tup), 0)::float8,
       COALESCE(max(n_dead_tup), 0)::float8
  FROM pg_stat_user_tables`,
		metrics: []metric{
			gauge("live_tuples", "Rows of all tables, estimated."),
			gauge("dead_tuples", "Dead rows of all tables, estimated; many mean that vacuum does not keep up, and tables bloat."),
			gauge("dead_tuples_max_table", "Dead rows of the table that has the most, estimated."),
		},
	}
}
