// Package install puts the programs of a database pod, and a passwd and a group file, into a volume of a database pod.
//
// The init container runs it with the pod's user. Images know different users, and some platforms assign one that no
// image knows; PostgreSQL and libpq want a name for it.
package install

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Home of the user.
const home = "/var/lib/postgresql"

// User is whom the pod runs as.
type User struct {
	UID, GID int
}

// Passwd is a passwd file in which the user is postgres.
func (u User) Passwd() string {
	lines := []string{"root:x:0:0:root:/root:/sbin/nologin"}
	if u.UID != 0 {
		lines = append(lines, fmt.Sprintf("postgres:x:%d:%d:PostgreSQL:%s:/bin/sh", u.UID, u.GID, home))
	}

	return strings.Join(append(lines, "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin", ""), "\n")
}

// Group is a group file in which the user's group is postgres.
func (u User) Group() string {
	lines := []string{"root:x:0:"}
	if u.GID != 0 {
		lines = append(lines, fmt.Sprintf("postgres:x:%d:", u.GID))
	}

	return strings.Join(append(lines, "nogroup:x:65534:", ""), "\n")
}

// The programs' names in the folder: PID 1, the one with the clients of object stores, and what PostgreSQL runs for each WAL
// segment.
const (
	Binary    = "caretaker-instance"
	Archive   = "caretaker-archive"
	WALHelper = "caretaker-wal"
)

// To installs into dir: PID 1's binary at path self, those of the other programs (Archive, WALHelper), which are beside it, and
// the two files. Each appears whole or not at all.
func To(dir, self string, user User, others ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the main container may run as another user
		return fmt.Errorf("install: %w", err)
	}

	if err := program(filepath.Join(dir, Binary), self); err != nil {
		return err
	}

	for _, name := range others {
		if err := program(filepath.Join(dir, name), filepath.Join(filepath.Dir(self), name)); err != nil {
			return err
		}
	}

	if err := write(filepath.Join(dir, "passwd"), strings.NewReader(user.Passwd()), 0o644); err != nil {
		return err
	}

	return write(filepath.Join(dir, "group"), strings.NewReader(user.Group()), 0o644)
}

func program(target, path string) error {
	source, err := os.Open(path) //nolint:gosec // our own binary
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	defer source.Close() //nolint:errcheck // only read from

	return write(target, source, 0o755)
}

func write(path string, content io.Reader, mode os.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}

	_, err = io.Copy(file, content)
	err = errors.Join(err, file.Chmod(mode), file.Close())

	if err == nil {
		err = os.Rename(file.Name(), path)
	}

	if err != nil {
		return fmt.Errorf("install %s: %w", path, errors.Join(err, os.Remove(file.Name())))
	}

	return nil
}
