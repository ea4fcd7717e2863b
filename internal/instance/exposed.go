package instance

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// exposureQuery: the snapshot is taken before the position is read, so that what it shows as ended lies before that.
const exposureQuery = `
SELECT pg_catalog.pg_is_in_recovery(),
       pg_catalog.pg_current_snapshot()::text,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN '0/0' ELSE pg_catalog.pg_current_wal_insert_lsn()::text END`

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
	)

	err := a.session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, exposureQuery).Scan(&replica, &transactions, &text)
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

		return
	}

	lsn, err := postgres.ParseLSN(text)
	if err != nil {
		a.log.Error("PostgreSQL's position cannot be read", "error", err)

		return
	}

	a.tracker.Note(a.r.clock.Now(), lsn, transactions)

	if a.status != nil && a.status.Push != nil {
		a.archived = max(a.archived, endOf(a.status.Push.LastArchived, segmentBytes))
	}
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

	exposed := &instanceapi.Exposure{}
	if since := a.tracker.Since(a.archived); !since.IsZero() {
		exposed.Since = &since
	}

	return exposed
}
