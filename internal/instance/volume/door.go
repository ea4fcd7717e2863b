package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// OpenDoor puts a server's Unix socket where clients look for it. PostgreSQL itself listens in a folder beside, which
// only PID 1 goes to.
func OpenDoor(socketDir, ownDir string, port int) error {
	name := socketName(port)
	door := filepath.Join(socketDir, name)

	// Relative, so that it works wherever else the folder is mounted.
	target, err := filepath.Rel(socketDir, filepath.Join(ownDir, name))
	if err != nil {
		return fmt.Errorf("open the socket to clients: %w", err)
	}

	if is, err := os.Readlink(door); err == nil && is == target {
		return nil
	}

	if err := removeIfThere(door); err != nil {
		return err
	}

	if err := os.Symlink(target, door); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("open the socket to clients: %w", err)
	}

	return nil
}

// CloseDoor takes the socket away from clients. Connections that there are stay.
func CloseDoor(socketDir string, port int) error {
	return removeIfThere(filepath.Join(socketDir, socketName(port)))
}

func socketName(port int) string { return ".s.PGSQL." + strconv.Itoa(port) }
