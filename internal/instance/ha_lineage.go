package instance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// mendLineage makes good what a promotion leaves, without which a replica on an older timeline could not come along: see
// ADR 0138. What is not made good costs that replica a new copy, so that it stops nothing.
func (p *protocol) mendLineage(timeline postgres.Timeline) {
	for _, mend := range []func() (string, error){
		func() (string, error) { return straighten(p.walDir(), timeline) },
		func() (string, error) { return completeSegments(p.walDir(), timeline, p.segmentBytes()) },
	} {
		mended, err := mend()
		if err != nil {
			p.r.log.Warn("replicas on older timelines may not be able to follow", "timeline", timeline, "error", err)
		}

		if mended != "" {
			p.r.log.Info("mended for replicas on older timelines", "timeline", timeline, "file", mended)
		}
	}
}

// straighten leaves out of a timeline's history what the server has not been on. PostgreSQL names as the parent of a new
// timeline the one that it aimed at, also where it knows no more of that one than its history: walsenders then send the log
// of its real parent beyond its end, and pg_rewind looks for the fork in the wrong place.
func straighten(dir string, timeline postgres.Timeline) (mended string, err error) {
	name := postgres.HistoryName(timeline)
	path := filepath.Join(dir, name)

	text, err := os.ReadFile(path) //nolint:gosec // our own path
	if errors.Is(err, os.ErrNotExist) {
		return "", nil // the first timeline
	}

	if err != nil {
		return "", fmt.Errorf("read a timeline's history: %w", err)
	}

	straight, err := postgres.StraightenHistory(timeline, string(text))
	if err != nil || straight == string(text) {
		return "", err
	}

	return name, volume.WriteFile(path, []byte(straight), 0o600)
}

// completeSegments sees to the segments in which one timeline ends and the next one ends as well. Who sends the older one
// reads its end from the file of the next, which PostgreSQL has named a partial one at the promotion after that. Up to there, the
// files of all later timelines have the same in them.
func completeSegments(dir string, timeline postgres.Timeline, segmentBytes int64) (mended string, err error) {
	history, err := readHistory(dir, timeline)
	if err != nil {
		return "", err
	}

	for i := range max(len(history.Entries), 1) - 1 {
		next := history.Entries[i+1]
		wanted := postgres.SegmentAt(next.Parent, history.Entries[i].Switch, segmentBytes)

		if postgres.SegmentAt(next.Parent, next.Switch, segmentBytes) != wanted {
			continue
		}

		var later []postgres.Timeline
		for _, entry := range history.Entries[i+2:] {
			later = append(later, entry.Parent)
		}

		made, err := completeSegment(dir, wanted, append(later, timeline), segmentBytes)
		if err != nil {
			return mended, err
		}

		if made {
			mended = wanted.Name(segmentBytes)
		}
	}

	return mended, nil
}

// completeSegment makes a segment of its partial file, or of that of the nearest later timeline which has it.
func completeSegment(dir string, wanted postgres.WALSegment, later []postgres.Timeline, segmentBytes int64) (made bool, err error) {
	path := filepath.Join(dir, wanted.Name(segmentBytes))
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return false, err
	}

	sources := []string{path + ".partial"}

	for _, timeline := range later {
		same := filepath.Join(dir, postgres.WALSegment{Timeline: timeline, Number: wanted.Number}.Name(segmentBytes))
		sources = append(sources, same, same+".partial")
	}

	for _, source := range sources {
		content, err := os.ReadFile(source) //nolint:gosec // our own path
		if errors.Is(err, os.ErrNotExist) {
			continue
		}

		if err != nil {
			return false, fmt.Errorf("read a segment: %w", err)
		}

		// It is of no use to an archive, which has the later ones.
		done := filepath.Join(dir, "archive_status", filepath.Base(path)+".done")

		return true, errors.Join(volume.WriteFile(done, nil, 0o600), volume.WriteFile(path, content, 0o600))
	}

	return false, nil // too long ago: nobody comes from there
}
