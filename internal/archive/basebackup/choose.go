package basebackup

import (
	"context"
	"fmt"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// ReadWAL reads a file of the archive by the name that PostgreSQL gave it, decompressed and opened.
type ReadWAL func(ctx context.Context, name string) ([]byte, error)

// Histories reads all timelines' histories of an archive.
func Histories(ctx context.Context, store objectstore.Store, read ReadWAL) (map[postgres.Timeline]postgres.History, error) {
	found := map[postgres.Timeline]postgres.History{}

	for info, err := range store.List(ctx, layout.HistoryPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list the timelines: %w", err)
		}

		name := strings.TrimPrefix(info.Key, layout.HistoryPrefix)

		timeline, err := postgres.ParseHistoryName(name)
		if err != nil {
			continue
		}

		text, err := read(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read the history of timeline %d: %w", timeline, err)
		}

		if found[timeline], err = postgres.ParseHistory(timeline, string(text)); err != nil {
			return nil, err
		}
	}

	return found, nil
}

// Choose gives the backup that is named, or, for "" and Latest, the one that leads to the target; and checks that the WAL that it needs is there.
func Choose(ctx context.Context, store objectstore.Store, id string, target archiveapi.RecoveryTarget, read ReadWAL) (*Manifest, Reach, error) {
	if err := target.Check(); err != nil {
		return nil, Reach{}, err
	}

	histories, err := Histories(ctx, store, read)
	if err != nil {
		return nil, Reach{}, err
	}

	var chosen *Manifest

	if id != "" && id != Latest {
		chosen, err = ReadManifest(ctx, store, id)
	} else {
		var backups []Backup
		if backups, err = List(ctx, store); err == nil {
			chosen, err = Select(backups, histories, target)
		}
	}

	if err != nil {
		return nil, Reach{}, err
	}

	history, err := targetHistory(histories, target, chosen)
	if err != nil {
		return nil, Reach{}, err
	}

	if reason := tooLate(chosen, history, target); reason != "" {
		return nil, Reach{}, fmt.Errorf("backup %s does not lead to %s: %s; choose an older one, or none, so that one is found", chosen.ID, target, reason)
	}

	reach, err := CheckReachable(ctx, store, chosen, histories, target)
	reach.Named = named(histories, chosen.Timeline, history.Timeline)

	for timeline := range histories {
		reach.Newest = max(reach.Newest, timeline)
	}

	return chosen, reach, err
}
