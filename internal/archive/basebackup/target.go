package basebackup

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Select picks the backup to begin a recovery to the target with: the newest that ended before the target, on the way to the
// target's timeline. histories are those of the store, by timeline; timeline 1 has none.
func Select(backups []Backup, histories map[postgres.Timeline]postgres.History, t archiveapi.RecoveryTarget) (*Manifest, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}

	var (
		best     *Manifest
		rejected []string
	)

	for _, b := range backups {
		m := b.Manifest
		if m == nil || m.Kind == Snapshot {
			continue // the volume of a snapshot must have been made before: it can only be named
		}

		history, err := targetHistory(histories, t, m)

		var reason string
		if err != nil {
			reason = err.Error()
		} else {
			reason = tooLate(m, history, t)
		}

		if reason != "" {
			rejected = append(rejected, m.ID+": "+reason)

			continue
		}

		if best == nil || m.StopLSN > best.StopLSN || m.StopLSN == best.StopLSN && m.ID > best.ID {
			best = m
		}
	}

	if best == nil {
		return nil, fmt.Errorf("no backup leads to %s: %w%s", t, ErrNoBackup, because(rejected))
	}

	return best, nil
}

func because(rejected []string) string {
	const most = 5

	if len(rejected) == 0 {
		return "; the store holds no complete one"
	}

	if more := len(rejected) - most; more > 0 {
		rejected = append(slices.Clone(rejected[:most]), fmt.Sprintf("and %d more", more))
	}

	return " (" + strings.Join(rejected, "; ") + ")"
}

// tooLate says why a recovery from that backup cannot end at the target; empty if it can.
func tooLate(m *Manifest, history postgres.History, t archiveapi.RecoveryTarget) string {
	switch {
	case !history.Contains(m.Timeline, m.StopLSN):
		return fmt.Sprintf("it ended at %s on timeline %d, which timeline %d does not come from", m.StopLSN, m.Timeline, history.Timeline)
	case !t.Time.IsZero() && m.Stopped.After(t.Time):
		return "it ended at " + m.Stopped.UTC().Format(time.RFC3339)
	case t.LSN != 0 && m.StopLSN > t.LSN:
		return "it ended at " + m.StopLSN.String()
	case t.XID != 0 && !isXIDBefore(m.NextXID, t.XID):
		return fmt.Sprintf("it ended at transaction %d", m.NextXID)
	default:
		return ""
	}
}

// isXIDBefore says that a transaction is not older than one of 64 bits; a target of 32 bits is compared as PostgreSQL does.
func isXIDBefore(next, target uint64) bool {
	if target > math.MaxUint32 {
		return next <= target
	}

	return int32(uint32(target)-uint32(next&math.MaxUint32)) >= 0
}

// newestHistory is that of the highest timeline. PostgreSQL looks for the next one's until there is none; but a candidate that
// never came to write anything leaves a gap in the numbers, and a recovery that stops there would end on a branch that was left
// long ago. What has no entries only keeps a number taken.
func newestHistory(histories map[postgres.Timeline]postgres.History, own postgres.History) postgres.History {
	newest := own

	for timeline, h := range histories {
		if timeline > newest.Timeline && len(h.Entries) > 0 {
			newest = h
		}
	}

	return newest
}

// named is the timeline that a recovery ends on, if PostgreSQL does not get there from the backup's own by itself; else 0.
func named(histories map[postgres.Timeline]postgres.History, own, last postgres.Timeline) postgres.Timeline {
	if _, ok := histories[last]; !ok && last != 1 {
		return 0 // PostgreSQL refuses a number that it finds no history of
	}

	for next := own + 1; next <= last+1; next++ {
		if _, ok := histories[next]; ok == (next > last) {
			return last
		}
	}

	return 0
}

// targetHistory is the history of the timeline on which the recovery ends.
func targetHistory(histories map[postgres.Timeline]postgres.History, t archiveapi.RecoveryTarget, m *Manifest) (postgres.History, error) {
	own, err := m.TimelineHistory()
	if err != nil {
		return own, err
	}

	if t.Timeline == "current" {
		return own, nil
	}

	if t.Timeline == "" || t.Timeline == "latest" {
		return newestHistory(histories, own), nil
	}

	n, err := strconv.ParseUint(t.Timeline, 10, 32)
	if err != nil {
		return own, fmt.Errorf("timeline %q: %w", t.Timeline, err)
	}

	if postgres.Timeline(n) == own.Timeline {
		return own, nil
	}

	h, ok := histories[postgres.Timeline(n)]
	if !ok {
		return own, fmt.Errorf("the archive has no history of timeline %d", n)
	}

	return h, nil
}
