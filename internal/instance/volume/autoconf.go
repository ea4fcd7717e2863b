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
