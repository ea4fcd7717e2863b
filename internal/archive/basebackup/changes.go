package basebackup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// fork numbers of pg_wal_summary_contents.
func forkNumber(fork string) int16 {
	switch fork {
	case "fsm":
		return 1
	case "vm":
		return 2
	case "init":
		return 3
	default:
		return 0
	}
}

// forkKey names a fork of a relation. Filenode 0 stands for a database that was created as a copy of files.
type forkKey struct {
	tablespace, database, filenode uint32
	fork                           int16
}

// changed is what the WAL says of a fork since the parent.
type changed struct {
	// limit: the fork was cut off or made anew at that block; what the parent has from there on is void. -1 for none.
	limit  int64
	blocks []int64
}

// changes of all forks.
type changes map[forkKey]*changed

func (c changes) of(key forkKey) *changed {
	found, ok := c[key]
	if !ok {
		found = &changed{limit: -1}
		c[key] = found
	}

	return found
}

// walRange is WAL of one timeline.
type walRange struct {
	timeline   postgres.Timeline
	start, end postgres.LSN
}

// walRanges lead from an LSN of one timeline to an LSN at the end of a history.
func walRanges(from postgres.Timeline, start postgres.LSN, history postgres.History, end postgres.LSN) ([]walRange, error) {
	if !history.Contains(from, start) {
		return nil, fmt.Errorf("timeline %d at %s is not part of timeline %d's history: a full backup is needed", from, start, history.Timeline)
	}

	var ranges []walRange

	at := start
	isOn := false

	for _, step := range history.Entries {
		isOn = isOn || step.Parent == from
		if isOn && step.Switch > at {
			ranges = append(ranges, walRange{timeline: step.Parent, start: at, end: step.Switch})
			at = step.Switch
		}
	}

	if end > at {
		ranges = append(ranges, walRange{timeline: history.Timeline, start: at, end: end})
	}

	return ranges, nil
}

// summary is a WAL summary file of the server.
type summary = walRange

// covering picks the summaries that cover a range without a hole; ok is false, with the first LSN that is missing, if they do not.
func covering(available []summary, want walRange) (picked []summary, missing postgres.LSN, ok bool) {
	var own []summary

	for _, s := range available {
		if s.timeline == want.timeline && s.end > want.start && s.start < want.end {
			own = append(own, s)
		}
	}

	slices.SortFunc(own, func(a, b summary) int { return int(a.start.Diff(b.start)) })

	at := want.start
	for _, s := range own {
		if s.start > at {
			return nil, at, false
		}

		at = max(at, s.end)
	}

	return own, at, at >= want.end
}

const (
	summaryPoll = 200 * time.Millisecond
	// summaryWait: the summarizer is rarely more than seconds behind the checkpoint that began the backup.
	summaryWait = 5 * time.Minute
)

// readChanges asks the server for its WAL summaries, and waits for those that are still being made.
func readChanges(ctx context.Context, conn *pgx.Conn, c clock.Clock, ranges []walRange) (changes, error) {
	deadline := c.Now().Add(summaryWait)

	for {
		available, err := availableSummaries(ctx, conn)
		if err != nil {
			return nil, err
		}

		picked, missing, ok := coveringAll(available, ranges)
		if ok {
			return readSummaries(ctx, conn, picked)
		}

		if hasBegun(available, missing) || c.Now().After(deadline) {
			return nil, fmt.Errorf("the server has no WAL summary from %s on timeline %d on (wal_summary_keep_time may be too short, or "+
				"summarize_wal was off): %w", missing.start, missing.timeline, errNoSummaries)
		}

		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.After(summaryPoll):
		}
	}
}

func coveringAll(available []summary, ranges []walRange) (picked []summary, missing walRange, ok bool) {
	for _, want := range ranges {
		some, at, ok := covering(available, want)
		if !ok {
			return nil, walRange{timeline: want.timeline, start: at, end: want.end}, false
		}

		picked = append(picked, some...)
	}

	return picked, walRange{}, true
}

// hasBegun says that what is missing lies before a summary that is there: it will never come.
func hasBegun(available []summary, missing walRange) bool {
	return slices.ContainsFunc(available, func(s summary) bool {
		return s.timeline > missing.timeline || s.timeline == missing.timeline && s.start > missing.start
	})
}

func availableSummaries(ctx context.Context, conn *pgx.Conn) ([]summary, error) {
	rows, err := conn.Query(ctx, "SELECT tli, start_lsn::text, end_lsn::text FROM pg_available_wal_summaries()")
	if err != nil {
		return nil, fmt.Errorf("list the WAL summaries: %w", err)
	}

	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (summary, error) {
		var (
			timeline   int64
			start, end string
		)
		if err := row.Scan(&timeline, &start, &end); err != nil {
			return summary{}, err
		}

		return parseSummary(timeline, start, end)
	})
	if err != nil {
		return nil, fmt.Errorf("list the WAL summaries: %w", err)
	}

	return found, nil
}

func parseSummary(timeline int64, start, end string) (summary, error) {
	s := summary{timeline: postgres.Timeline(timeline)} //nolint:gosec // a timeline has 32 bits

	var err error
	if s.start, err = postgres.ParseLSN(start); err != nil {
		return s, err
	}

	s.end, err = postgres.ParseLSN(end)

	return s, err
}

func readSummaries(ctx context.Context, conn *pgx.Conn, picked []summary) (changes, error) {
	found := changes{}

	for _, s := range picked {
		if err := found.read(ctx, conn, s); err != nil {
			return nil, fmt.Errorf("read the WAL summary of timeline %d from %s to %s: %w", s.timeline, s.start, s.end, err)
		}
	}

	for _, c := range found {
		slices.Sort(c.blocks)
		c.blocks = slices.Compact(c.blocks)
	}

	return found, nil
}

func (c changes) read(ctx context.Context, conn *pgx.Conn, s summary) error {
	const query = `
SELECT reltablespace, reldatabase, relfilenode, relforknumber, relblocknumber, is_limit_block
FROM pg_wal_summary_contents($1, $2::text::pg_lsn, $3::text::pg_lsn)`

	rows, err := conn.Query(ctx, query, int64(s.timeline), s.start.String(), s.end.String())
	if err != nil {
		return err
	}
	defer rows.Close()

	for rows.Next() {
		var (
			key     forkKey
			block   int64
			isLimit bool
		)

		if err := rows.Scan(&key.tablespace, &key.database, &key.filenode, &key.fork, &block, &isLimit); err != nil {
			return err
		}

		found := c.of(key)

		switch {
		case !isLimit:
			found.blocks = append(found.blocks, block)
		case found.limit < 0 || block < found.limit:
			found.limit = block
		}
	}

	return rows.Err()
}

// plan says what of a relation's file is to be read. The rules are PostgreSQL's own (backup/basebackup_incremental.c).
func (c changes) plan(r *relation, blocks, segBlocks int64) (ranges []BlockRange, keep int64, partial bool) {
	const tooMany = 90 // percent: then it is read as a whole

	whole := forkKey{tablespace: r.tablespace, database: r.database}
	// Free space maps are not logged fully.
	if _, isCopied := c[whole]; isCopied || r.fork == "fsm" || blocks > segBlocks {
		return nil, 0, false
	}

	found, ok := c[forkKey{tablespace: r.tablespace, database: r.database, filenode: r.filenode, fork: forkNumber(r.fork)}]
	if !ok {
		return []BlockRange{}, blocks, true
	}

	first := r.segment * segBlocks
	if found.limit >= 0 && found.limit <= first {
		return nil, 0, false
	}

	keep = blocks
	if found.limit >= 0 {
		keep = min(keep, found.limit-first)
	}

	ranges = []BlockRange{}
	count := int64(0)
	from, _ := slices.BinarySearch(found.blocks, first)

	for _, block := range found.blocks[from:] {
		if block >= first+blocks {
			break
		}

		ranges = appendBlock(ranges, block-first)
		count++
	}

	if count*100 > blocks*tooMany {
		return nil, 0, false
	}

	return ranges, keep, true
}
