package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
)

// ClaimSlot finds a slot for the cluster with this state folder, and writes down that
// it is taken. A cluster that has one keeps it. A slot is free when its cluster's state
// folder is gone, no bridge of its name exists, and its addresses are not in use.
func ClaimSlot(ctx context.Context, dir, state string) (layout.Network, error) {
	unlock, err := lockSlots(dir)
	if err != nil {
		return layout.Network{}, err
	}
	defer unlock()
	used, err := AddressesInUse(ctx)
	if err != nil {
		return layout.Network{}, err
	}
	if network, found := FindSlot(dir, state); found {
		return network, nil
	}
	for slot := range layout.MaxSlots {
		network := layout.Network{Slot: slot}
		if !free(dir, network) || Collides(network, used) {
			continue
		}
		if err := os.WriteFile(slotFile(dir, slot), []byte(state+"\n"), 0o600); err != nil {
			return layout.Network{}, fmt.Errorf("claiming a slot: %w", err)
		}
		return network, nil
	}
	return layout.Network{}, fmt.Errorf("all %d slots for clusters are taken, or their addresses "+
		"(10.98.N.0/24, parts of 10.244.0.0/16 and 10.96.0.0/16) are in use on this machine; "+
		"see %s and run \"devcluster down\" where a cluster is no longer needed", layout.MaxSlots, dir)
}

// FindSlot finds the slot that the cluster with this state folder has.
func FindSlot(dir, state string) (network layout.Network, found bool) {
	for slot := range layout.MaxSlots {
		if owner(dir, slot) == state {
			return layout.Network{Slot: slot}, true
		}
	}
	return layout.Network{}, false
}

// FreeSlot gives up what the cluster claimed.
func FreeSlot(dir, state string) error {
	unlock, err := lockSlots(dir)
	if err != nil {
		return err
	}
	defer unlock()
	for slot := range layout.MaxSlots {
		if owner(dir, slot) != state {
			continue
		}
		if err := os.Remove(slotFile(dir, slot)); err != nil {
			return fmt.Errorf("giving up a slot: %w", err)
		}
	}
	return nil
}

func free(dir string, network layout.Network) bool {
	if state := owner(dir, network.Slot); state != "" {
		if _, err := os.Stat(state); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return !LinkExists(network.Name())
}

func owner(dir string, slot int) string {
	content, err := os.ReadFile(slotFile(dir, slot))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

func slotFile(dir string, slot int) string { return filepath.Join(dir, strconv.Itoa(slot)) }

func lockSlots(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("slots: %w", err)
	}
	return Lock(filepath.Join(dir, "lock"))
}

// Lock waits for the lock file, and holds it until unlock is called or the process ends.
func Lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, errors.Join(err, file.Close()))
	}
	return func() { _ = file.Close() }, nil
}
