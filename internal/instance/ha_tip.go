package instance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

func (p *protocol) walDir() string { return filepath.Join(p.r.layout.DataDir, "pg_wal") }

func (p *protocol) segmentBytes() int64 {
	var size int64

	p.r.conf.Set(func(in *serverconf.Input) { size = in.WALSegmentBytes })

	const usual = 16 << 20
	if size == 0 {
		return usual
	}

	return size
}

// tip is a position with the history of its timeline.
func (p *protocol) tip(timeline uint32, lsn uint64) (ha.Tip, error) {
	history, err := readHistory(p.walDir(), postgres.Timeline(timeline))
	if err != nil {
		return ha.Tip{}, err
	}

	tip := ha.Tip{Timeline: timeline, LSN: lsn}
	for _, entry := range history.Entries {
		tip.History = append(tip.History, ha.Switch{Timeline: uint32(entry.Parent), End: uint64(entry.Switch)})
	}

	return tip, nil
}

func readHistory(dir string, timeline postgres.Timeline) (postgres.History, error) {
	content, err := os.ReadFile(filepath.Join(dir, postgres.HistoryName(timeline))) //nolint:gosec // our own path
	if errors.Is(err, os.ErrNotExist) {
		return postgres.History{Timeline: timeline}, nil
	}

	if err != nil {
		return postgres.History{}, fmt.Errorf("read a timeline's history: %w", err)
	}

	return postgres.ParseHistory(timeline, string(content))
}

// logEnd is the timeline of the last byte of a standby's log that ends at lsn. PostgreSQL does not tell; the files that
// it received do: the newest timeline with a file for that place, unless the log ends before it left its parent.
func (p *protocol) logEnd(lsn uint64) (ha.Tip, error) {
	entries, err := os.ReadDir(p.walDir())
	if err != nil {
		return ha.Tip{}, fmt.Errorf("look at the WAL: %w", err)
	}

	size := p.segmentBytes()
	last := postgres.LSN(max(lsn, 1) - 1)
	want := postgres.SegmentAt(1, last, size).Number

	var newest, stray postgres.Timeline

	for _, entry := range entries {
		segment, err := postgres.ParseWALName(strings.TrimSuffix(entry.Name(), ".partial"), size)

		switch {
		case err != nil || segment.Number != want:
		case isTimeline(p.walDir(), segment.Timeline):
			newest = max(newest, segment.Timeline)
		default:
			stray = max(stray, segment.Timeline)
		}
	}

	if newest == 0 {
		newest = stray
	}

	if newest == 0 {
		return ha.Tip{}, fmt.Errorf("no WAL is left of %s, where this log ends", postgres.LSN(lsn))
	}

	return p.endOn(newest, lsn)
}

// endOn is the end of a log in a file of this timeline.
func (p *protocol) endOn(newest postgres.Timeline, lsn uint64) (ha.Tip, error) {
	history, err := readHistory(p.walDir(), newest)
	if err != nil {
		return ha.Tip{}, err
	}

	return p.tip(uint32(history.TimelineAt(postgres.LSN(max(lsn, 1)-1))), lsn)
}

// observedEnd is logEnd without a look at the whole folder, as long as the log is on the leader's timeline.
func (p *protocol) observedEnd(lsn uint64) (ha.Tip, error) {
	leader := postgres.Timeline(p.driver.Snapshot().Leader.Tip.Timeline)
	segment := postgres.SegmentAt(leader, postgres.LSN(max(lsn, 1)-1), p.segmentBytes())

	_, err := os.Stat(filepath.Join(p.walDir(), segment.Name(p.segmentBytes())))
	if leader > 0 && err == nil && isTimeline(p.walDir(), leader) {
		return p.endOn(leader, lsn)
	}

	return p.logEnd(lsn)
}

// standbyTip is the end of a standby's log as it is seen from outside: see askStandbyEnd.
func (p *protocol) standbyTip(ctx context.Context) (ha.Tip, error) {
	var end uint64

	err := p.work.Do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		end, _, err = p.askStandbyEnd(ctx, conn)

		return err
	})
	if err != nil {
		return ha.Tip{}, err
	}

	return p.logEnd(end)
}

const standbyEnd = `SELECT COALESCE(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::text,
	COALESCE(pg_catalog.pg_last_wal_receive_lsn(), '0/0')::text,
	EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE status = 'streaming')`

// askStandbyEnd is max(received, replayed) while it receives. What was received in bytes may end in the middle of a record,
// which counts only as long as the rest can still come: afterwards the log ends with the last whole record.
func (p *protocol) askStandbyEnd(ctx context.Context, conn *pgx.Conn) (end uint64, isReceiving bool, err error) {
	var replayed, received string
	if err := conn.QueryRow(ctx, standbyEnd).Scan(&replayed, &received, &isReceiving); err != nil {
		return 0, false, fmt.Errorf("ask where a standby's log ends: %w", err)
	}

	at, err := postgres.ParseLSN(replayed)
	if err != nil {
		return 0, false, err
	}

	in, err := postgres.ParseLSN(received)
	if err != nil {
		return 0, false, err
	}

	if isReceiving && p.counts(in) {
		at = max(at, in)
	}

	return uint64(at), isReceiving, nil
}

// counts: PostgreSQL goes on telling the end of what it received before, while a new sender repeats what led up to it. Once
// that end is known to be in the middle of a record, it counts for nothing until something else is received.
func (p *protocol) counts(received postgres.LSN) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	if received != p.unfinished {
		p.unfinished = 0
	}

	return p.unfinished == 0
}

func (p *protocol) setUnfinished(received postgres.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.unfinished = received
}

const primaryEnd = `SELECT pg_catalog.pg_current_wal_flush_lsn()::text,
	('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::bigint`

func (p *protocol) primaryTip(ctx context.Context) (ha.Tip, error) {
	var tip ha.Tip

	err := p.work.Do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		tip, err = p.askPrimaryTip(ctx, conn)

		return err
	})

	return tip, err
}

func (p *protocol) askPrimaryTip(ctx context.Context, conn *pgx.Conn) (ha.Tip, error) {
	var (
		end      string
		timeline int64
	)

	if err := conn.QueryRow(ctx, primaryEnd).Scan(&end, &timeline); err != nil {
		return ha.Tip{}, fmt.Errorf("ask where the log ends: %w", err)
	}

	lsn, err := postgres.ParseLSN(end)
	if err != nil {
		return ha.Tip{}, err
	}

	return p.tip(uint32(timeline), uint64(lsn)) //nolint:gosec // 32 bits by its making
}

// isTimeline: a promotion makes the first segment of its timeline, and then says in the history where that begins. One that
// was cut off in between leaves a segment of a timeline that has never been.
func isTimeline(dir string, timeline postgres.Timeline) bool {
	info, err := os.Stat(filepath.Join(dir, postgres.HistoryName(timeline)))

	return timeline == 1 || err == nil && info.Size() > 0
}

// isPlaceholder: an empty history file only keeps PostgreSQL from picking its timeline ID.
func isPlaceholder(dir string, timeline postgres.Timeline) bool {
	info, err := os.Stat(filepath.Join(dir, postgres.HistoryName(timeline)))

	return err == nil && info.Size() == 0
}

// reserve makes PostgreSQL's next promotion pick exactly this timeline: it takes the first ID above the highest of an
// unbroken row of history files. The empty ones are also what standbys from before ask for.
func reserve(dir string, timeline postgres.Timeline) error {
	const first = 2
	for t := postgres.Timeline(first); t < timeline; t++ {
		path := filepath.Join(dir, postgres.HistoryName(t))
		if _, err := os.Stat(path); err == nil {
			continue
		}

		if err := volume.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
	}

	return nil
}

// clearPlaceholders removes those above the newest timeline, which it gives back: a start would take the highest for its target.
func clearPlaceholders(dir string) (newest postgres.Timeline, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("look at the WAL: %w", err)
	}

	var empty []postgres.Timeline

	for _, entry := range entries {
		t, err := postgres.ParseHistoryName(entry.Name())

		switch {
		case err != nil:
		case isPlaceholder(dir, t):
			empty = append(empty, t)
		default:
			newest = max(newest, t)
		}
	}

	for _, t := range empty {
		if t < newest {
			continue
		}

		if err := os.Remove(filepath.Join(dir, postgres.HistoryName(t))); err != nil {
			return 0, fmt.Errorf("remove the placeholder of a timeline: %w", err)
		}
	}

	return newest, nil
}
