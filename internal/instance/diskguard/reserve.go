package diskguard

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/internal/instance/volume"
)

// file that holds the reserve, in the state folder.
const file = "reserve"

// Reserved is how much is kept back in a folder.
func Reserved(dir string) (int64, error) {
	info, err := os.Stat(filepath.Join(dir, file))

	switch {
	case errors.Is(err, os.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("look at the reserve: %w", err)
	default:
		return info.Size(), nil
	}
}

// Reserve keeps so much back; 0 gives it up. A reserve that cannot be made whole is not kept.
func Reserve(dir string, bytes int64) error {
	path := filepath.Join(dir, file)

	if bytes == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("give up the reserve: %w", err)
		}

		return nil
	}

	reserve, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // our own path
	if err != nil {
		return fmt.Errorf("make the reserve: %w", err)
	}

	err = errors.Join(fill(reserve, bytes), reserve.Sync(), reserve.Close())
	if err == nil {
		return volume.SyncDir(dir)
	}

	if removeErr := os.Remove(path); removeErr != nil {
		err = errors.Join(err, removeErr)
	}

	return fmt.Errorf("make a reserve of %d bytes: %w", bytes, err)
}

// fill gives the file blocks of its own, by writing where the filesystem has no other way.
func fill(reserve *os.File, bytes int64) error {
	err := unix.Fallocate(int(reserve.Fd()), 0, 0, bytes)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return err //nolint:wrapcheck // the caller says what it was for
	}

	_, err = io.CopyN(reserve, zeros{}, bytes)

	return err //nolint:wrapcheck // as above
}

type zeros struct{}

// Read gives zeros without end.
func (zeros) Read(p []byte) (int, error) {
	clear(p)

	return len(p), nil
}
