package faults

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archive/internal/pgserver"
	"github.com/caretaker-dev/caretaker/internal/archive/wal"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/objectstore/stores"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// TestCopyToAnotherStore: from a store that misbehaves all the time, to one of each kind. Then the first store is gone, and PostgreSQL
// recovers from each copy, to a moment behind its newest backup.
func TestCopyToAnotherStore(t *testing.T) {
	w := newWorld(t)
	n := w.primary("--wal-segsize=1")
	o := &oracle{w: w}

	o.rows(n, 10)

	full := n.mustTake()
	o.rows(n, 10)

	increment, err := n.take(w.ctx, w.store(), full.ID)
	w.must(err)
	o.rows(n, 10)
	n.settle()

	for name, start := range map[string]func(*testing.T) storeconfig.Config{
		"s3":    func(t *testing.T) storeconfig.Config { t.Helper(); return stores.S3(t).Config },
		"dir":   func(t *testing.T) storeconfig.Config { t.Helper(); return stores.Dir(t) },
		"gcs":   func(t *testing.T) storeconfig.Config { t.Helper(); return stores.GCS(t).Config },
		"azure": func(t *testing.T) storeconfig.Config { t.Helper(); return stores.Azure(t).Config },
	} {
		t.Run(name, func(t *testing.T) {
			config := start(t)

			w.proxy.Misbehave(badDay())
			defer w.proxy.Misbehave(nil)

			done := w.copyTo(t, config)
			if len(done.Problems) > 0 || !slices.Equal(done.Backups, []string{full.ID, increment.ID}) || done.LastWAL == "" {
				t.Fatalf("copied: %+v", done)
			}

			if again := w.copyTo(t, config); again.Objects != 0 || again.LastWAL != done.LastWAL {
				t.Errorf("the second time: %+v", again)
			}

			w.verifyIn(t, config, increment.ID)

			// The WAL goes on, and the copy with it; then there is only the copy.
			o.rows(n, 10)
			n.settle()

			if later := w.copyTo(t, config); len(later.Problems) > 0 || later.Objects == 0 {
				t.Errorf("with more WAL: %+v", later)
			}

			w.server.Kill()
			defer w.server.Start()

			only := w.without(t, config)
			last := len(o.lsns) - 1
			(&oracle{w: only}).check(only.recover(archiveapi.RecoveryTarget{LSN: o.lsns[last]}), last)
		})
	}
}

// archiveIn opens the archive as it is in a store.
func (w *world) archiveIn(t *testing.T, config storeconfig.Config) *wal.Archive {
	t.Helper()

	archive, err := wal.Open(w.ctx, archiveapi.Target{Store: config, Server: serverName})
	if err != nil {
		t.Fatal(err)
	}

	return archive
}

// copyTo copies all, through the proxy.
func (w *world) copyTo(t *testing.T, config storeconfig.Config) *basebackup.Copied {
	t.Helper()

	done, err := basebackup.Copy(w.ctx, basebackup.CopyOptions{
		From: w.store(), To: w.archiveIn(t, config).Store(), Clock: clock.RealClock{},
		CheckWAL: func(name string, object []byte) error { return damage(name, wal.Check(object, name, nil)) },
	})
	if err != nil {
		t.Fatal(err)
	}

	return done
}

// verifyIn reads a backup and its WAL back from a store.
func (w *world) verifyIn(t *testing.T, config storeconfig.Config, id string) {
	t.Helper()

	archive := w.archiveIn(t, config)

	report, err := basebackup.Verify(w.ctx, basebackup.VerifyOptions{
		Store: archive.Store(), Backup: id, Clock: clock.RealClock{},
		CheckWAL: func(ctx context.Context, name string) error {
			_, err := archive.Fetch(ctx, name)

			return damage(name, err)
		},
	})
	if err != nil || !report.Restorable || report.WALSegments == 0 {
		t.Errorf("the copy: %v, %v", report, err)
	}
}

func damage(name string, err error) error {
	if errors.Is(err, wal.ErrDamaged) {
		return &basebackup.DamagedError{Key: name, Reason: err.Error()}
	}

	return err
}

// without is what there is once the first store is gone: its copy, without a proxy.
func (w *world) without(t *testing.T, config storeconfig.Config) *world {
	t.Helper()

	only := *w
	only.t, only.direct, only.config = t, config, config

	// Servers have a user of their own, who gets copies of what only the test may read.
	if config.Type == storeconfig.TypeDir {
		dir := filepath.Join(w.dir, "copy")
		w.must(os.CopyFS(dir, os.DirFS(config.Bucket)))
		pgserver.New(t, w.bin).Give(dir)
		only.config.Bucket = dir
	} else {
		only.config = only.readable(config)
	}

	plain, err := objectstore.Open(w.ctx, config)
	w.must(err)

	only.plain = objectstore.Within(plain, serverName)

	return &only
}
