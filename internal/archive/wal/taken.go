package wal

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// watchSpool notices what PostgreSQL takes out of the spool by itself (archiveapi.RestoreCommand), and fetches on. It begins with the
// first file that is fetched ahead: a server that only archives needs none of the node's inotify instances. Without it what is
// in the spool serves all the same, and the next segment behind it is asked for.
func (f *fetcher) watchSpool(ctx context.Context) {
	select {
	case <-f.begun:
	case <-ctx.Done():
		return
	}

	if err := f.followSpool(ctx); err != nil {
		f.log.Warn("the spool is not watched: recovery waits for each 32nd segment", "error", err)
	}
}

func (f *fetcher) followSpool(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer watcher.Close() //nolint:errcheck // nothing is written

	if err := watcher.Add(f.config.SpoolDir); err != nil {
		return fmt.Errorf("watch: %w", err)
	}

	for {
		select {
		case event := <-watcher.Events:
			// Moved, or copied and removed, where pg_wal is another file system.
			if event.Op.Has(fsnotify.Rename) || event.Op.Has(fsnotify.Remove) {
				f.taken(ctx, filepath.Base(event.Name))
			}
		case err := <-watcher.Errors:
			f.log.Warn("watching the spool", "error", err)
		case <-ctx.Done():
			return nil
		}
	}
}

// taken: PostgreSQL has a file that was fetched ahead. What goes in another way is not a job any more when it does.
func (f *fetcher) taken(ctx context.Context, name string) {
	f.mu.Lock()
	isTaken := f.jobs[name] != nil && name > f.last // not one that is fetched a second time, as an event comes late

	if isTaken {
		delete(f.jobs, name)
	}
	f.mu.Unlock()

	if !isTaken {
		return
	}

	_ = f.note(name, true, nil)
	f.prefetch(ctx, name)
}
