package wal

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Has says whether the archive holds this file, or does not need to. Other content under its name is an error.
func (a *Archive) Has(ctx context.Context, file File) (bool, error) {
	if file.isPlaceholder() {
		return true, nil
	}

	key, err := layout.WAL(file.Name)
	if err != nil {
		return false, err
	}

	return a.compare(ctx, key, file, sumOf(file.Content))
}

// known is what a probe found out, nil before there was one.
func (a *Archive) known() *objectstore.Capabilities {
	a.mu.Lock()
	defer a.mu.Unlock()

	return a.capabilities
}

// missingBefore are the names of what is missing right before an archived segment, in order: none if the segment before it is there, or if
// there is no earlier WAL at all, since an archive begins somewhere.
func (a *Archive) missingBefore(ctx context.Context, segment postgres.WALSegment, segmentBytes int64) ([]string, error) {
	if segment.Number == 0 {
		return nil, nil // nothing comes before the first
	}

	history, err := a.lineOf(ctx, segment.Timeline)
	if err != nil {
		return nil, err
	}

	timelines := []postgres.Timeline{segment.Timeline}
	for _, entry := range slices.Backward(history.Entries) {
		timelines = append(timelines, entry.Parent)
	}

	for _, timeline := range timelines {
		_, err := a.Header(ctx, postgres.WALSegment{Timeline: timeline, Number: segment.Number - 1}.Name(segmentBytes))
		if err == nil {
			return nil, nil // no gap
		}

		if !errors.Is(err, objectstore.ErrNotFound) {
			return nil, err
		}
	}

	last, err := a.lastBefore(ctx, timelines, segment.Number, segmentBytes)
	if err != nil || last == nil {
		return nil, err
	}

	var names []string

	for number := last.Number + 1; number < segment.Number; number++ {
		missing := postgres.WALSegment{Number: number}
		missing.Timeline = history.TimelineOf(missing, segmentBytes)
		names = append(names, missing.Name(segmentBytes))
	}

	return names, nil
}

// isFilled says whether the archive has both ends of a gap by now.
func (a *Archive) isFilled(ctx context.Context, gap archiveapi.Gap) bool {
	for _, name := range []string{gap.First, gap.Last} {
		if _, err := a.Header(ctx, name); err != nil {
			return false
		}
	}

	return true
}

// hasBackupBehind says whether there is a complete backup that needs nothing of a gap, nor of what comes before it.
func (a *Archive) hasBackupBehind(ctx context.Context, gap archiveapi.Gap) (bool, error) {
	backups, err := basebackup.List(ctx, a.store)
	if err != nil {
		return false, err
	}

	for _, backup := range slices.Backward(backups) {
		m := backup.Manifest
		if m == nil || m.Timeline < gap.Timeline {
			continue
		}

		last, err := postgres.ParseWALName(gap.Last, m.WALSegmentBytes)
		if err == nil && m.StartLSN >= last.Next().Start(m.WALSegmentBytes) {
			return true, nil
		}
	}

	return false, nil
}

// lineOf is the history of a timeline, without its parents if the archive does not have them.
func (a *Archive) lineOf(ctx context.Context, timeline postgres.Timeline) (postgres.History, error) {
	alone := postgres.History{Timeline: timeline}

	if timeline == 1 {
		return alone, nil
	}

	history, err := a.History(ctx, timeline)
	if errors.Is(err, objectstore.ErrNotFound) {
		return alone, nil
	}

	return history, err
}

// History of a timeline, from the archive.
func (a *Archive) History(ctx context.Context, timeline postgres.Timeline) (postgres.History, error) {
	text, err := a.Fetch(ctx, postgres.HistoryName(timeline))
	if err != nil {
		return postgres.History{}, err
	}

	return postgres.ParseHistory(timeline, string(text))
}

// lastBefore is the newest archived segment before a place, on any of the timelines; nil if there is none.
func (a *Archive) lastBefore(ctx context.Context, timelines []postgres.Timeline, number uint64, segmentBytes int64) (*postgres.WALSegment, error) {
	var last *postgres.WALSegment

	for _, timeline := range timelines {
		end := postgres.WALSegment{Timeline: timeline, Number: number}.Name(segmentBytes)

		for info, err := range a.store.List(ctx, layout.WALTimeline(timeline), "") {
			if err != nil {
				return nil, err
			}

			name := info.Key[strings.LastIndex(info.Key, "/")+1:]
			if name >= end {
				break
			}

			segment, err := postgres.ParseWALName(name, segmentBytes)
			if err == nil && (last == nil || segment.Number > last.Number) {
				last = &segment
			}
		}
	}

	return last, nil
}
