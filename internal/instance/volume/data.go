package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Incomplete is the suffix of a data folder that is being made. Only a whole one is renamed to its final name, so a
// crash midway never leaves half a folder that looks whole.
const Incomplete = ".incomplete"

const (
	standbySignal  = "standby.signal"
	recoverySignal = "recovery.signal"
	backupLabel    = "backup_label"
)

// Data is what a look at PGDATA tells.
type Data struct {
	// Present: there is a data folder with a PG_VERSION.
	Present bool
	// Major of the data.
	Major int
	// Standby: it would start as a standby.
	Standby bool
	// Label: it is a copy that has not been recovered yet.
	Label bool
}

// Inspect looks at PGDATA. A folder with content that is not PostgreSQL's is an error, not an empty volume.
func Inspect(dataDir string) (Data, error) {
	entries, err := os.ReadDir(dataDir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return Data{}, nil
	}

	if err != nil {
		return Data{}, fmt.Errorf("look at %s: %w", dataDir, err)
	}

	version, err := os.ReadFile(filepath.Join(dataDir, "PG_VERSION")) //nolint:gosec // our own path
	if err != nil {
		return Data{}, fmt.Errorf("%s holds files but no PG_VERSION, so it is no data folder of PostgreSQL: "+
			"move them away, or delete the volume: %w", dataDir, err)
	}

	major, err := strconv.Atoi(strings.TrimSpace(string(version)))
	if err != nil {
		return Data{}, fmt.Errorf("%s/PG_VERSION says %q: not a major version", dataDir, version)
	}

	return Data{
		Present: true,
		Major:   major,
		Standby: exists(dataDir, standbySignal) || exists(dataDir, recoverySignal),
		Label:   exists(dataDir, backupLabel),
	}, nil
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))

	return err == nil
}

// SetStandby makes PGDATA start as a standby.
func SetStandby(dataDir string) error {
	if _, err := WriteFileIfChanged(filepath.Join(dataDir, standbySignal), nil, 0o600); err != nil {
		return fmt.Errorf("make it a standby: %w", err)
	}

	return nil
}

// ClearStandby makes PGDATA start read-write, durably.
func ClearStandby(dataDir string) error {
	for _, name := range []string{standbySignal, recoverySignal} {
		if err := removeIfThere(filepath.Join(dataDir, name)); err != nil {
			return err
		}
	}

	return SyncDir(dataDir)
}

// RemoveStalePID removes postmaster.pid of a container that is gone. Only the holder of the lock may: the process ID
// in it may by now be someone else's in this container, and PostgreSQL would refuse to start.
func RemoveStalePID(dataDir string) error {
	return removeIfThere(filepath.Join(dataDir, "postmaster.pid"))
}

// RemoveStaleSocket removes the Unix sockets of a container that is gone, and their locks: as with postmaster.pid, the
// process ID in a lock may be someone else's by now.
func RemoveStaleSocket(socketDir string) error {
	left, err := filepath.Glob(filepath.Join(socketDir, ".s.PGSQL.*"))
	if err != nil {
		return fmt.Errorf("look for the sockets of an earlier server: %w", err)
	}

	for _, path := range left {
		if err := removeIfThere(path); err != nil {
			return err
		}
	}

	return nil
}

// Restrict makes PGDATA accessible to its owner only: a kubelet that applies fsGroup opens it to the group, and
// PostgreSQL then refuses to start.
func Restrict(dataDir string) error {
	if err := os.Chmod(dataDir, 0o700); err != nil { //nolint:gosec // a folder needs the bit
		return fmt.Errorf("restrict the data folder: %w", err)
	}

	return nil
}

// Begin gives an empty folder to make data in, and removes what an earlier attempt left.
func Begin(dataDir string) (string, error) {
	dir := dataDir + Incomplete
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("remove an incomplete data folder: %w", err)
	}

	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a data folder: %w", err)
	}

	return dir, nil
}

// Abandon removes what an attempt left.
func Abandon(dataDir string) error {
	if err := os.RemoveAll(dataDir + Incomplete); err != nil {
		return fmt.Errorf("remove an incomplete data folder: %w", err)
	}

	return nil
}

// Commit makes the data folder that Begin gave the real one, durably. An empty folder in its place is replaced.
func Commit(dataDir string) error { return commit(dataDir+Incomplete, dataDir) }

func commit(dir, dataDir string) error {
	if err := syncFilesystem(dir); err != nil {
		return err
	}

	if err := removeIfThere(dataDir); err != nil {
		return err
	}

	if err := os.Rename(dir, dataDir); err != nil {
		return fmt.Errorf("complete the data folder: %w", err)
	}

	return SyncDir(filepath.Dir(dataDir))
}

// syncFilesystem flushes everything: one call in place of one fsync per file.
func syncFilesystem(dir string) error {
	file, err := os.Open(dir) //nolint:gosec // our own path
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}

	err = unix.Syncfs(int(file.Fd()))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("sync the filesystem of %s: %w", dir, err)
	}

	return nil
}

// Sync flushes everything in a folder's filesystem.
func Sync(dir string) error { return syncFilesystem(dir) }

// Discard removes PGDATA so that it is cloned anew. The rename comes first: a crash midway leaves no half folder
// under the real name.
func Discard(dataDir string) error {
	if err := Abandon(dataDir); err != nil {
		return err
	}

	if err := os.Rename(dataDir, dataDir+Incomplete); err != nil {
		return fmt.Errorf("discard the data folder: %w", err)
	}

	if err := SyncDir(filepath.Dir(dataDir)); err != nil {
		return err
	}

	return Abandon(dataDir)
}

// Usage is the size of the filesystem that holds a folder, and what is free of it for us, in bytes.
func Usage(dir string) (total, free int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("usage of the volume at %s: %w", dir, err)
	}

	return int64(stat.Blocks) * stat.Bsize, int64(stat.Bavail) * stat.Bsize, nil //nolint:gosec // no filesystem has 8 EiB
}

// Size is the size of the filesystem that holds a folder, in bytes.
func Size(dir string) (int64, error) {
	total, _, err := Usage(dir)

	return total, err
}
