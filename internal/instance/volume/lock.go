package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// LockedError says that another container holds the volume's lock.
type LockedError struct {
	// Path of the lock.
	Path string
}

// Error says who holds it and what ends it.
func (e *LockedError) Error() string {
	return "another container holds " + e.Path + ": its PostgreSQL, or a process of it, still runs on this volume"
}

// Lock takes the lock on the volume, without waiting. The file is to be inherited by postgres: the lock belongs to the
// open file, so it lives until the last process that has it is gone. postmaster.pid cannot do this, since it names a
// process ID that means nothing in another container.
func Lock(stateDir string) (*os.File, error) {
	path := filepath.Join(stateDir, "lock")

	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // our own path
	if err != nil {
		return nil, fmt.Errorf("lock the volume: %w", err)
	}

	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return file, nil
	}

	if closeErr := file.Close(); closeErr != nil {
		err = errors.Join(err, closeErr)
	}

	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, &LockedError{Path: path}
	}

	return nil, fmt.Errorf("lock %s: %w", path, err)
}
