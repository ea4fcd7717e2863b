package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

const (
	// snapshotSuffix is that of the data folder of a volume that was made of a snapshot, until it has been recovered.
	snapshotSuffix = ".snapshot"
	// snapshotFile in the state folder has the mark of the volume that Disown has been through with.
	snapshotFile = "snapshot"
)

// Disown makes a volume that was made of a snapshot the volume of a new member: what the snapshot's member was, and had promised,
// goes, and its data are set aside for a recovery. It happens once for each mark, which a snapshot of this volume carries along,
// and which no other volume has. It can be interrupted at any point, and run again.
func Disown(stateDir, dataDir, mark string) error {
	file := filepath.Join(stateDir, snapshotFile)
	if content, err := os.ReadFile(file); err == nil && string(content) == mark { //nolint:gosec // our own path
		return nil
	}

	lock, err := Lock(stateDir)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // it is only locked

	if err := setSnapshotAside(dataDir); err != nil {
		return fmt.Errorf("set the data of the snapshot aside: %w", err)
	}

	entries, err := os.ReadDir(stateDir)
	if err != nil {
		return fmt.Errorf("look at %s: %w", stateDir, err)
	}

	for _, entry := range entries {
		if path := filepath.Join(stateDir, entry.Name()); path != lock.Name() {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}

	if err := errors.Join(err, SyncDir(stateDir)); err != nil {
		return fmt.Errorf("forget the member that the snapshot was taken of: %w", err)
	}

	return WriteFile(file, []byte(mark), 0o600)
}

func setSnapshotAside(dataDir string) error {
	if err := Abandon(dataDir); err != nil {
		return err
	}

	if exists(dataDir, "PG_VERSION") {
		// What lies there is of an earlier recovery of the server that the snapshot was taken of.
		if err := os.RemoveAll(dataDir + snapshotSuffix); err != nil {
			return err
		}

		if err := os.Rename(dataDir, dataDir+snapshotSuffix); err != nil {
			return err
		}
	}

	// It is of that server's own beginning.
	if err := removeIfThere(filepath.Join(dataDir+snapshotSuffix, archiveapi.PreparedFile)); err != nil {
		return err
	}

	return SyncDir(filepath.Dir(dataDir))
}

// SnapshotData is the folder with the data of the snapshot that a volume was made of.
func SnapshotData(dataDir string) (string, error) {
	dir := dataDir + snapshotSuffix
	if !exists(dir, "PG_VERSION") {
		return "", fmt.Errorf("the volume holds no data of a snapshot: delete the Cluster and its volume claim, and create it again")
	}

	return dir, nil
}

// CommitSnapshot makes the data of a snapshot, once recovered, the real ones, durably.
func CommitSnapshot(dataDir string) error {
	if err := commit(dataDir+snapshotSuffix, dataDir); err != nil {
		return err
	}

	// Not before: until then it says that these data have begun to recover.
	return removeIfThere(filepath.Join(dataDir, archiveapi.PreparedFile))
}
