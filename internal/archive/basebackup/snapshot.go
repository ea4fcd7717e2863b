package basebackup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

// PrepareOptions of Prepare.
type PrepareOptions struct {
	// Store of the server, objectstore.Within(store, server).
	Store objectstore.Store
	// Backup of Kind Snapshot.
	Backup string
	// DataDir that came with a volume made of the snapshot.
	DataDir    string
	Identities []age.Identity
}

// Prepare makes a data directory that a snapshot holds what Restore makes of a backup in the store: without what belonged to the
// running server, with backup_label, and on disk. Unlike there, recovery.signal is put there too. It happens once: a directory that
// was prepared for this backup is left as it is, since a server may have begun to recover it.
func Prepare(ctx context.Context, o PrepareOptions) (*Restored, error) {
	manifest, err := ReadManifest(ctx, o.Store, o.Backup)
	if err != nil {
		return nil, err
	}

	if manifest.Kind != Snapshot {
		return nil, fmt.Errorf("the files of backup %s are in the store: restore it into an empty directory", o.Backup)
	}

	l, err := openLink(ctx, o.Store, manifest, o.Identities)
	if err != nil {
		return nil, err
	}

	if l.index.Label == "" {
		return nil, &DamagedError{Key: indexKey(o.Backup), Reason: "it has no backup_label"}
	}

	t := &tree{root: o.DataDir, link: l}
	done := &Restored{Manifest: manifest, KeptBytes: manifest.DataBytes}

	prepared, err := os.ReadFile(t.path(archiveapi.PreparedFile))

	switch {
	case err == nil && strings.TrimSpace(string(prepared)) == o.Backup:
		return done, nil
	case err == nil:
		return nil, fmt.Errorf("%s was made ready for backup %s, and is not what backup %s needs: begin with a new volume of its snapshot",
			o.DataDir, strings.TrimSpace(string(prepared)), o.Backup)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}

	return done, t.prepareSnapshot()
}

// prepareSnapshot can be interrupted and run again until the last file is written.
func (t *tree) prepareSnapshot() error {
	if _, err := os.Stat(t.path(controlFile)); err != nil {
		return fmt.Errorf("there is no data directory of the snapshot: %w", err)
	}

	if err := errors.Join(t.findOwner(), os.Chmod(t.root, privateDir)); err != nil {
		return err
	}

	if err := t.strip(""); err != nil {
		return fmt.Errorf("take out of %s what belonged to the server that the snapshot was taken of: %w", t.root, err)
	}

	if err := t.finish(t.link.index.Label); err != nil {
		return err
	}

	if err := t.write("recovery.signal", nil); err != nil {
		return err
	}

	if err := syncFileSystem(t.root); err != nil {
		return err
	}

	if err := t.write(archiveapi.PreparedFile, []byte(t.link.manifest.ID+"\n")); err != nil {
		return err
	}

	return syncFileSystem(t.root)
}

// strip removes what a backup into the store leaves out. Unlogged relations stay: the server makes them anew by itself.
func (t *tree) strip(name string) error {
	entries, err := os.ReadDir(t.path(name))
	if err != nil {
		return err
	}

	s := &scanner{root: t.root}

	for _, entry := range entries {
		below := path.Join(name, entry.Name())

		switch {
		case s.isLeft(name, entry.Name()):
			err = os.RemoveAll(t.path(below))
		case slices.Contains(emptied(), below):
			err = t.empty(below)
		case entry.IsDir():
			err = t.strip(below)
		}

		if err != nil {
			return err
		}
	}

	return nil
}

// empty leaves a folder and nothing in it, but for the one in pg_wal that a server needs.
func (t *tree) empty(name string) error {
	entries, err := os.ReadDir(t.path(name))
	if err != nil {
		return err
	}

	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(t.path(name), entry.Name())); err != nil {
			return err
		}
	}

	if name != "pg_wal" {
		return nil
	}

	status := t.path("pg_wal/archive_status")

	return errors.Join(os.MkdirAll(status, privateDir), t.give(status))
}

// snapshotPoll is how often the word that the snapshot has been taken is looked for.
const snapshotPoll = 200 * time.Millisecond

// AwaitFile is for Options.Snapshot: it waits until a file is there, and no longer than patience, so that no server stays in backup
// mode for somebody who is gone.
func AwaitFile(file string, patience time.Duration, c clock.Clock) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		deadline := c.Now().Add(patience)

		for {
			_, err := os.Stat(file)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return err
			}

			if c.Now().After(deadline) {
				return fmt.Errorf("nobody has said within %s that the snapshot was taken", patience)
			}

			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-c.After(snapshotPoll):
			}
		}
	}
}
