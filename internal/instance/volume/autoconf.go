package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	autoConf = "postgresql.auto.conf"
	// AutoConfAside is the file in PGDATA that keeps what was put aside last.
	AutoConfAside = autoConf + ".ignored"
)

// ClearAutoConf puts aside what ALTER SYSTEM has left in PGDATA, and returns it. It would override the Cluster's
// configuration, also where a standby's start or a failover stands on it; from PostgreSQL 17 on it cannot come to be.
func ClearAutoConf(dataDir string) (string, error) {
	path := filepath.Join(dataDir, autoConf)

	content, err := os.ReadFile(path) //nolint:gosec // our own path
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}

	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}

	var settings []string

	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			settings = append(settings, line)
		}
	}

	if len(settings) == 0 {
		return "", nil
	}

	if err := WriteFile(filepath.Join(dataDir, AutoConfAside), content, 0o600); err != nil {
		return "", err
	}

	return strings.Join(settings, "; "), WriteFile(path, nil, 0o600)
}

// BlockAutoConf makes ALTER SYSTEM fail, or lets it be, in a version that refuses it by itself: what one would set in the
// running server would come over the Cluster's configuration, synchronous_standby_names included, with the next reload.
// The server writes a temporary file first, and cannot where a folder has that name. Copies and pg_rewind leave it out.
func BlockAutoConf(dataDir string, block bool) error { //nolint:revive // by version, not a mode
	path := filepath.Join(dataDir, autoConf+".tmp")

	look, err := os.Lstat(path)

	switch {
	case err == nil && !look.IsDir(), err == nil && !block:
		err = os.Remove(path)
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist):
		err = nil
	}

	if err == nil && block {
		err = os.Mkdir(path, 0o700)
	}

	if err != nil {
		return fmt.Errorf("keep ALTER SYSTEM out: %w", err)
	}

	return nil
}
