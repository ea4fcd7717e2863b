package watchdog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// deadlineBytes are the size of the shared memory.
const deadlineBytes = 8

// Deadline is a time of CLOCK_BOOTTIME in memory that two processes share; 0 is none.
type Deadline struct {
	file *os.File
}

// newDeadline makes the memory: a file without a name or a disk, so that no access to it can wait for anything.
func newDeadline() (*Deadline, error) {
	fd, err := unix.MemfdCreate("caretaker-deadline", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make memory for the deadline: %w", err)
	}

	d := &Deadline{file: os.NewFile(uintptr(fd), "caretaker-deadline")}
	if err := d.set(0); err != nil {
		return nil, errors.Join(err, d.file.Close())
	}

	return d, nil
}

func (d *Deadline) set(by time.Duration) error {
	var content [deadlineBytes]byte
	binary.NativeEndian.PutUint64(content[:], uint64(by)) //nolint:gosec // never negative

	if _, err := d.file.WriteAt(content[:], 0); err != nil {
		return fmt.Errorf("put off the deadline: %w", err)
	}

	return nil
}

func (d *Deadline) get() (time.Duration, error) {
	var content [deadlineBytes]byte
	if _, err := d.file.ReadAt(content[:], 0); err != nil {
		return 0, fmt.Errorf("read the deadline: %w", err)
	}

	return time.Duration(binary.NativeEndian.Uint64(content[:])), nil //nolint:gosec // never negative
}
