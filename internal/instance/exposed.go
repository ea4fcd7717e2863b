package instance

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// exposureQuery: the snapshot is taken before the position is read, so that what it shows as ended lies before that.
const exposureQuery = `
SELECT pg_catalog.pg_is_in_recovery(),
       pg_catalog.pg_current_snapshot()::text,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN '0/0' ELSE pg_catalog.pg_current_wal_insert_lsn()::text END,
       extract(epoch FROM pg_catalog.current_setting('archive_timeout')::interval)::float8`

// noteExposure asks the server for changes. One that does not answer is as it was.
func (a *archiving) noteExposure(ctx context.Context) {
	if a.session == nil || !a.r.serves() || a.r.conf.Config().Archive == nil {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, archiverPatience)
	defer cancel()

	var (
		replica            bool
		transactions, text string
		archiveTimeout     float64
	)

	err := a.session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, exposureQuery).Scan(&replica, &transactions, &text, &archiveTimeout)
	})
	if err != nil {
		a.log.Debug("cannot ask what is not archived", "error", err)

		return
	}

	segmentBytes := a.r.conf.segment()

	a.mu.Lock()
	defer a.mu.Unlock()

	a.leads = !replica
	if replica {
		a.tracker.Forget()
		a.archived = 0 // of a log that may be rewound

		return
	}

	lsn, err := postgres.ParseLSN(text)
	if err != nil {
		a.log.Error("PostgreSQL's position cannot be read", "error", err)

		return
	}

	now := a.r.clock.Now()
	a.tracker.Note(now, lsn, transactions)

	if a.status != nil && a.status.Push != nil {
		// What ends behind the position is of a branch that was left.
		if end := endOf(a.status.Push.LastArchived, segmentBytes); end < lsn+postgres.LSN(segmentBytes) { //nolint:gosec // 1 MiB to 1 GiB
			a.archived = max(a.archived, end)
		}
	}

	if nothingLeft(lsn, a.archived, segmentBytes, a.tracker.Rest(now), time.Duration(archiveTimeout*float64(time.Second))) {
		a.tracker.Settle()
	}
}

// nothingLeft tells whether an idle server's open segment holds no changes. The position may have been read behind the switch
// that sent the last change's segment away, and no later segment ends then: archive_timeout switches only if something that
// matters was written since the last switch (CheckArchiveTimeout in PostgreSQL's checkpointer.c). So if all segments before
// the open one are archived, and it was not ended although two timeouts have passed since the last change, it has none.
func nothingLeft(current, archived postgres.LSN, segmentBytes int64, rest, archiveTimeout time.Duration) bool {
	open := current - current%postgres.LSN(segmentBytes) //nolint:gosec // a segment has 1 MiB to 1 GiB

	return archived >= open && archiveTimeout > 0 && rest > 2*archiveTimeout
}

// endOf a segment; 0 for other files, which say nothing about how far the archive is.
func endOf(name string, segmentBytes int64) postgres.LSN {
	if !postgres.IsWALName(name) {
		return 0
	}

	segment, err := postgres.ParseWALName(name, segmentBytes)
	if err != nil {
		return 0
	}

	return segment.Next().Start(segmentBytes)
}

// exposure is what the archive lacks; nil on a replica, and while it is not known. The caller holds the lock.
func (a *archiving) exposure() *instanceapi.Exposure {
	if !a.leads {
		return nil
	}

	var waiting archiveapi.Backlog
	if a.status != nil && a.status.Push != nil {
		waiting = a.status.Push.Backlog
	}

	exposed := &instanceapi.Exposure{}
	if since := exposedSince(a.tracker.Since(a.archived), waiting); !since.IsZero() {
		exposed.Since = &since
	}

	return exposed
}

// exposedSince is since when there are changes that the archive lacks; zero for none. A primary that has just taken over knows of no
// changes before, but has the segments that still wait.
func exposedSince(seen time.Time, waiting archiveapi.Backlog) time.Time {
	if since := waiting.OldestSince; !since.IsZero() && (seen.IsZero() || since.Before(seen)) {
		return since
	}

	return seen
}
