package instance

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/instance/diskguard"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
)

const (
	// diskInterval between two looks at the volume; a look costs a microsecond, and a fast disk takes a segment of the log
	// in less than that.
	diskInterval = 200 * time.Millisecond
	// writersFor is for how long after writes were refused those are ended who began before.
	writersFor = 2 * time.Second
	// refusedFor is for how long writes are refused at least.
	refusedFor = 5 * time.Second
)

// diskWatch guards the data volume.
type diskWatch struct {
	r       *runner
	session *pgconn.Session

	// since writes are refused, and whether the last look failed; only the watch's goroutine touches them.
	since    time.Time
	lastFail string

	mu   sync.Mutex
	seen instanceapi.Disk
}

// disk as it was last seen; nil before the first look.
func (w *diskWatch) disk() *instanceapi.Disk {
	w.mu.Lock()
	defer w.mu.Unlock()

	if w.seen.TotalBytes == 0 {
		return nil
	}

	seen := w.seen

	return &seen
}

// run looks until the context ends, whether PostgreSQL runs or not: one that a full volume keeps from starting needs the
// reserve most.
func (w *diskWatch) run(ctx context.Context) {
	for ctx.Err() == nil {
		text := ""
		if err := w.look(ctx); err != nil {
			text = err.Error()
		}

		if text != "" && text != w.lastFail {
			w.r.log.Warn("the guard of the volume failed, and tries again", "error", text)
		}

		w.lastFail = text

		select {
		case <-w.r.clock.After(diskInterval):
		case <-ctx.Done():
		}
	}
}

func (w *diskWatch) look(ctx context.Context) error {
	total, free, err := volume.Usage(w.r.layout.VolumeDir)
	if err != nil {
		return err
	}

	reserved, err := diskguard.Reserved(w.r.layout.StateDir)
	if err != nil {
		return err
	}

	wasReadOnly := w.isReadOnly()
	w.note(instanceapi.Disk{TotalBytes: total, FreeBytes: free, ReserveBytes: reserved, ReadOnly: wasReadOnly})

	// Without a member there is no lock yet, and the volume may be another's. A filesystem that is larger than the volume
	// is shared with others, and does not get larger limits for it.
	asked := w.r.conf.Config().StorageBytes
	if asked == 0 || w.r.view.get().MemberID == "" {
		return nil
	}

	limits := diskguard.LimitsOf(min(total, asked), w.r.conf.segment())
	todo := diskguard.Decide(limits, diskguard.State{Free: free, Reserve: reserved, ReadOnly: wasReadOnly})

	return w.do(ctx, todo, instanceapi.Disk{TotalBytes: total, FreeBytes: free, ReserveBytes: reserved, ReadOnly: wasReadOnly})
}

func (w *diskWatch) isReadOnly() bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.seen.ReadOnly
}

func (w *diskWatch) note(seen instanceapi.Disk) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.seen = seen
}

func (w *diskWatch) do(ctx context.Context, todo diskguard.Decision, now instanceapi.Disk) error {
	isReleased := todo.Reserve < now.ReserveBytes

	// It is made again together with the leave to write.
	isEarly := todo.Reserve > now.ReserveBytes && now.ReadOnly && w.r.clock.Since(w.since) <= refusedFor
	if todo.Reserve != now.ReserveBytes && !isEarly {
		if err := diskguard.Reserve(w.r.layout.StateDir, todo.Reserve); err != nil {
			return err
		}

		if isReleased {
			w.r.log.Error("the volume is full: its reserve is given up", "freeBytes", now.FreeBytes, "reserveBytes", now.ReserveBytes)
		}

		now.FreeBytes, now.ReserveBytes = now.FreeBytes+now.ReserveBytes-todo.Reserve, todo.Reserve
	}

	w.note(now)

	isNew := todo.ReadOnly && !now.ReadOnly
	if todo.ReadOnly != now.ReadOnly && (isNew || w.r.clock.Since(w.since) > refusedFor) {
		now.ReadOnly = todo.ReadOnly
		if err := w.refuse(now); err != nil {
			return err
		}

		w.note(now)
	}

	// Readers write too: what was never read before gets its hint bits logged. The log shrinks with a checkpoint only.
	if isNew || isReleased {
		go w.r.chores.checkpoint(ctx, w.r.serves(), time.Minute)
	}

	if now.ReadOnly && (isReleased || w.r.clock.Since(w.since) < writersFor) {
		return w.endWriters(ctx)
	}

	return nil
}

// refuse has PostgreSQL refuse writes, or take them again: new transactions of every session that did not choose for
// itself. So a person who wants to make room still can.
func (w *diskWatch) refuse(now instanceapi.Disk) error {
	w.r.conf.Set(func(in *serverconf.Input) { in.ReadOnly = now.ReadOnly })

	if w.r.server.IsUp() {
		if err := w.r.conf.Apply(false); err != nil {
			w.r.conf.Set(func(in *serverconf.Input) { in.ReadOnly = !now.ReadOnly })

			return err
		}
	}

	if !now.ReadOnly {
		w.r.log.Info("there is room on the volume again: writes resume", "freeBytes", now.FreeBytes, "totalBytes", now.TotalBytes)

		return nil
	}

	w.since = w.r.clock.Now()
	w.r.log.Error("the volume is nearly full: writes are refused until there is room", "freeBytes", now.FreeBytes, "totalBytes", now.TotalBytes)

	return nil
}

// endWriters ends the transactions of clients that have written and go on. A commit that waits for a replica is left alone;
// it writes nothing any more.
func (w *diskWatch) endWriters(ctx context.Context) error {
	if !w.r.serves() || w.r.view.get().Role != instanceapi.RolePrimary {
		return nil
	}

	ctx, cancel := context.WithTimeout(ctx, choreTimeout)
	defer cancel()

	var ended int

	err := w.session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid() AND application_name <> 'caretaker'
			AND backend_xid IS NOT NULL AND wait_event IS DISTINCT FROM 'SyncRep' AND xact_start < $1`, w.since.Add(writersFor/2)).Scan(&ended)
	})
	if err != nil {
		return fmt.Errorf("end transactions that fill the volume: %w", err)
	}

	if ended > 0 {
		w.r.log.Warn("ended transactions that were filling the volume", "count", ended)
	}

	return nil
}
