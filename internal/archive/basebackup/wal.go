package basebackup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// WALMissingError says which segments that a backup or a target needs are not in the archive.
type WALMissingError struct {
	// Missing are names, the first ones only.
	Missing []string
	Count   int
	// For what they are needed.
	For string
	// Instead is what to do; empty if there is nothing to say.
	Instead string
}

// Error names the segments.
func (e *WALMissingError) Error() string {
	more := ""
	if e.Count > len(e.Missing) {
		more = fmt.Sprintf(" and %d more", e.Count-len(e.Missing))
	}

	instead := ""
	if e.Instead != "" {
		instead = "; " + e.Instead
	}

	return fmt.Sprintf("%s needs WAL that is not in the archive: %s%s%s", e.For, strings.Join(e.Missing, ", "), more, instead)
}

const maxNamedSegments = 10

func (e *WALMissingError) add(name string) {
	e.Count++
	if len(e.Missing) < maxNamedSegments {
		e.Missing = append(e.Missing, name)
	}
}

// segments names the WAL from one LSN to another along a history. A segment in which a timeline was left is looked for on the
// new timeline, as PostgreSQL does: its file there begins with the old one's content.
func segments(history postgres.History, from, to postgres.LSN, bytes int64) []string {
	var names []string

	for s := postgres.SegmentAt(0, from, bytes); s.Start(bytes) < max(to, from+1); s = s.Next() {
		s.Timeline = history.TimelineAt(s.Start(bytes) + postgres.LSN(bytes) - 1) //nolint:gosec // a size is positive
		names = append(names, s.Name(bytes))
	}

	return names
}

// MissingWAL says which of the WAL that a backup needs to become consistent is not in the archive; nil if none.
func MissingWAL(ctx context.Context, store objectstore.Store, m *Manifest) (*WALMissingError, error) {
	history, err := m.TimelineHistory()
	if err != nil {
		return nil, err
	}

	missing := &WALMissingError{For: "backup " + m.ID}

	for _, name := range segments(history, m.StartLSN, m.StopLSN, m.WALSegmentBytes) {
		ok, err := hasWAL(ctx, store, name)
		if err != nil {
			return nil, err
		}

		if !ok {
			missing.add(name)
		}
	}

	if m.Timeline > 1 {
		ok, err := hasWAL(ctx, store, postgres.HistoryName(m.Timeline))
		if err != nil {
			return nil, err
		}

		if !ok {
			missing.add(postgres.HistoryName(m.Timeline))
		}
	}

	if missing.Count == 0 {
		return nil, nil //nolint:nilnil // nothing is missing
	}

	return missing, nil
}

func hasWAL(ctx context.Context, store objectstore.Store, name string) (bool, error) {
	key, err := layout.WAL(name)
	if err != nil {
		return false, err
	}

	_, err = store.Head(ctx, key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return false, nil
	}

	return err == nil, err
}

const walPoll = 2 * time.Second

// WaitForWAL waits until a backup's WAL is in the archive; afterwards the error is a *WALMissingError.
func WaitForWAL(ctx context.Context, store objectstore.Store, m *Manifest, c clock.Clock, timeout time.Duration) error {
	deadline := c.Now().Add(timeout)

	for {
		missing, err := MissingWAL(ctx, store, m)
		if err != nil {
			return err
		}

		if missing == nil {
			return nil
		}

		if c.Now().After(deadline) {
			return missing
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.After(walPoll):
		}
	}
}

// Reach is how far a recovery from a backup can go.
type Reach struct {
	Timeline postgres.Timeline `json:"timeline"`
	// LastSegment that is there without a gap from the backup on; End is its end.
	LastSegment string       `json:"lastSegment"`
	End         postgres.LSN `json:"end"`
	// LastArchived is when that segment was put into the store.
	LastArchived time.Time `json:"lastArchived,omitzero"`
	// Gap is the first segment that is missing although there are later ones; empty if there is no gap.
	Gap string `json:"gap,omitempty"`
	// Behind is the first segment behind the gap, and Missing how many are missing before it.
	Behind  string `json:"behind,omitempty"`
	Missing int    `json:"missing,omitempty"`
	// Newest timeline that the archive has a history of, also if the recovery does not come by it; 0 if it has none.
	Newest postgres.Timeline `json:"newestTimeline,omitempty"`
	// Named is Timeline where PostgreSQL would not find it by itself, since a number before it is missing; else 0.
	Named postgres.Timeline `json:"namedTimeline,omitempty"`
}

// WALReach follows the WAL from a backup's start on along a history.
func WALReach(ctx context.Context, store objectstore.Store, m *Manifest, history postgres.History) (Reach, error) {
	bytes := m.WALSegmentBytes
	reach := Reach{Timeline: history.Timeline}
	next := postgres.SegmentAt(0, m.StartLSN, bytes)

	var steps []postgres.Timeline
	for _, e := range history.Entries {
		steps = append(steps, e.Parent)
	}

	for _, timeline := range append(steps, history.Timeline) {
		for info, err := range store.List(ctx, layout.WALTimeline(timeline), "") {
			if err != nil {
				return reach, fmt.Errorf("list the WAL: %w", err)
			}

			segment, ok := segmentOf(info.Key, bytes)
			if !ok || segment.Number < next.Number {
				continue
			}

			end := segment.Start(bytes) + postgres.LSN(bytes) //nolint:gosec // a size is positive
			if history.TimelineAt(end-1) != timeline {
				continue
			}

			if segment.Number > next.Number {
				next.Timeline = history.TimelineOf(next, bytes)
				reach.Gap, reach.Behind, reach.Missing = next.Name(bytes), segment.Name(bytes), int(segment.Number-next.Number) //nolint:gosec // small

				return reach, nil
			}

			reach.LastSegment, reach.End, reach.LastArchived = segment.Name(bytes), end, info.Modified
			next = segment.Next()
		}
	}

	return reach, nil
}

func segmentOf(key string, bytes int64) (postgres.WALSegment, bool) {
	name, ok := layout.WALName(key)
	if !ok || !postgres.IsWALName(name) {
		return postgres.WALSegment{}, false
	}

	segment, err := postgres.ParseWALName(name, bytes)

	return segment, err == nil
}

// clockSkew is how far a store's clock may be behind a server's.
const clockSkew = 5 * time.Minute

// CheckReachable says before a restore what is known to be missing on the way to a target. A time, a transaction or a restore
// point can only be looked for by the recovery itself, which fails if the WAL ends before it: where it may come before a gap, the
// recovery decides. A time cannot that is later than when the last segment before the gap was archived.
func CheckReachable(ctx context.Context, store objectstore.Store, m *Manifest, histories map[postgres.Timeline]postgres.History, t archiveapi.RecoveryTarget) (Reach, error) {
	missing, err := MissingWAL(ctx, store, m)
	if err != nil {
		return Reach{}, err
	}

	if missing != nil {
		return Reach{}, missing
	}

	history, err := targetHistory(histories, t, m)
	if err != nil {
		return Reach{}, err
	}

	reach, err := WALReach(ctx, store, m, history)
	if err != nil || t.Immediate {
		return reach, err
	}

	if t.LSN != 0 {
		if t.LSN > reach.End {
			next := postgres.SegmentAt(history.TimelineAt(reach.End), reach.End, m.WALSegmentBytes)

			return reach, &WALMissingError{For: "the target, " + t.String(), Missing: []string{next.Name(m.WALSegmentBytes)}, Count: 1}
		}

		return reach, nil
	}

	mayComeBefore := t.XID != 0 || t.Name != "" || !t.Time.IsZero() && t.Time.Before(reach.LastArchived.Add(clockSkew))
	if reach.Gap == "" || mayComeBefore {
		return reach, nil
	}

	return reach, &WALMissingError{
		For:     fmt.Sprintf("recovery to %s from backup %s", t, m.ID),
		Missing: []string{reach.Gap}, Count: reach.Missing,
		Instead: archiveapi.InsteadOfGap(reach.Behind, reach.LastArchived),
	}
}
