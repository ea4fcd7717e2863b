package harunner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
)

// diskFile in the state folder of the volume.
const diskFile = "protocol.json"

// LoadDisk reads the protocol's state of a volume; found is false on a volume that never took part.
func LoadDisk(stateDir string) (disk ha.Disk, found bool, err error) {
	path := filepath.Join(stateDir, diskFile)

	content, err := os.ReadFile(path) //nolint:gosec // our own path
	if errors.Is(err, os.ErrNotExist) {
		return ha.Disk{}, false, nil
	}

	if err != nil {
		return ha.Disk{}, false, fmt.Errorf("read the protocol's state: %w", err)
	}

	err = json.Unmarshal(content, &disk)
	if err == nil && disk.Member == "" {
		err = errors.New("it names no member")
	}

	if err != nil {
		return ha.Disk{}, false, fmt.Errorf("%s is damaged (%w): if another instance leads, delete this instance's volume, "+
			"so that it is made anew", path, err)
	}

	return disk, true, nil
}

// SaveDisk writes it durably.
func SaveDisk(stateDir string, disk ha.Disk) error {
	content, err := json.Marshal(disk)
	if err != nil {
		return fmt.Errorf("encode the protocol's state: %w", err)
	}

	return volume.WriteFile(filepath.Join(stateDir, diskFile), content, 0o600)
}
