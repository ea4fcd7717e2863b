package wal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Where timelines part, a segment has two lives. Timeline 1 ends within segment 5, timeline 2 begins there:
//
//   - the server that was promoted renames its 1/5 to 1/5.partial and archives that, and later 2/5;
//   - a standby that follows the promotion under archive_mode=always also wants to archive its 1/5, under its full name, though
//     only the bytes up to the switch are of timeline 1. As a whole segment it would be a lie, and would differ from what the
//     old primary may have archived. It is archived as 1/5.partial.
//
// Two partial segments are the same if they agree up to the switch.

// cut is where a segment ends within a server's history.
type cut struct {
	// bytes of the segment that are of its timeline.
	bytes int64
	// follows: this server went on with the next timeline, which is here too.
	follows bool
}

// findCut says whether a segment is cut by a timeline that this pg_wal knows. nil: it is whole.
func findCut(walDir string, segment postgres.WALSegment, segmentBytes int64) (*cut, error) {
	history, err := newestHistory(walDir)
	if err != nil || history.Timeline <= segment.Timeline {
		return nil, err
	}

	start := segment.Start(segmentBytes)

	for _, entry := range history.Entries {
		if entry.Parent != segment.Timeline || entry.Switch <= start || entry.Switch >= segment.Next().Start(segmentBytes) {
			continue
		}

		follows, err := followsFrom(walDir, history, segment, segmentBytes)

		return &cut{bytes: entry.Switch.Diff(start), follows: follows}, err
	}

	return nil, nil //nolint:nilnil // no cut is no error
}

// followsFrom says whether a later timeline's segment of the same place is here: the proof that this server followed, and does
// not only know of the timeline.
func followsFrom(walDir string, history postgres.History, segment postgres.WALSegment, segmentBytes int64) (bool, error) {
	later := []postgres.Timeline{history.Timeline}

	for _, entry := range history.Entries {
		if entry.Parent > segment.Timeline {
			later = append(later, entry.Parent)
		}
	}

	for _, timeline := range later {
		name := postgres.WALSegment{Timeline: timeline, Number: segment.Number}.Name(segmentBytes)

		_, err := os.Stat(filepath.Join(walDir, name))
		if err == nil {
			return true, nil
		}

		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}

	return false, nil
}

// newestHistory in pg_wal; timeline 0 if there is none.
func newestHistory(walDir string) (postgres.History, error) {
	entries, err := os.ReadDir(walDir)
	if err != nil {
		return postgres.History{}, err
	}

	newest := postgres.Timeline(0)

	for _, entry := range entries {
		if timeline, err := postgres.ParseHistoryName(entry.Name()); err == nil {
			newest = max(newest, timeline)
		}
	}

	if newest == 0 {
		return postgres.History{}, nil
	}

	text, err := os.ReadFile(filepath.Join(walDir, postgres.HistoryName(newest))) //nolint:gosec // PostgreSQL's own folder
	if err != nil {
		return postgres.History{}, err
	}

	return postgres.ParseHistory(newest, string(text))
}
