package volume

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile puts content at path so that a reader sees the old or the new, also after a power loss.
func WriteFile(path string, content []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)

	file, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}

	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())

	if err == nil {
		err = os.Rename(file.Name(), path)
	}

	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, removeIfThere(file.Name())))
	}

	return SyncDir(dir)
}

// WriteFileIfChanged is WriteFile unless the file has that content already; it says whether it wrote.
func WriteFileIfChanged(path string, content []byte, mode os.FileMode) (bool, error) {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) { //nolint:gosec // our own paths
		return false, nil
	}

	return true, WriteFile(path, content, mode)
}

// SyncDir makes renames and removals in a folder durable.
func SyncDir(dir string) error {
	file, err := os.Open(dir) //nolint:gosec // our own paths
	if err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}

	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}

	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", path, err)
	}

	return nil
}
