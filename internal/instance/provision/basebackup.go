package provision

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/caretaker-dev/caretaker/internal/instance/pgbin"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
)

// Copy is a base backup to be taken.
type Copy struct {
	// ConnInfo of the server in libpq's keyword form, without a password.
	ConnInfo string
	// Env for pg_basebackup, such as its password.
	Env []string
	// Slot of the server that keeps WAL for us; none if empty.
	Slot string
	// DataDir is PGDATA.
	DataDir string
	// Progress is called with 0 to 100 as it goes on.
	Progress func(percent int)
	// Log takes pg_basebackup's messages.
	Log *slog.Logger
}

// BaseBackup copies a running server, not yet under the real name, and returns where it is.
func BaseBackup(ctx context.Context, programs *pgbin.Programs, c Copy) (string, error) {
	dir, err := volume.Begin(c.DataDir)
	if err != nil {
		return "", err
	}

	args := []string{
		"--pgdata=" + dir, "--dbname=" + c.ConnInfo, "--no-password", "--format=plain",
		"--wal-method=stream", "--checkpoint=fast", "--progress", "--no-sync",
	}
	if c.Slot != "" {
		args = append(args, "--slot="+c.Slot)
	}

	err = programs.BaseBackup(ctx, args, c.Env, func(line string) {
		if percent, ok := parseProgress(line); ok {
			c.Progress(percent)

			return
		}

		c.Log.Info(line)
	})
	if err != nil {
		return "", fmt.Errorf("copy the server: %w", err)
	}

	return dir, nil
}

// parseProgress reads "  23179/23179 kB (100%), 1/1 tablespace".
func parseProgress(line string) (percent int, ok bool) {
	match := regexp.MustCompile(`^\s*\d+/\d+ kB \((\d+)%\)`).FindStringSubmatch(line)
	if match == nil {
		return 0, false
	}

	percent, err := strconv.Atoi(match[1])

	return min(percent, 100), err == nil
}

// ForgetSettings takes those of ALTER SYSTEM off data that were copied.
func ForgetSettings(dir string) error {
	return volume.WriteFile(filepath.Join(dir, "postgresql.auto.conf"), nil, 0o600)
}

// Disown takes off a copy what belonged to the server that it was copied from: settings of ALTER SYSTEM, which would
// override the Cluster's, and the signal to be a standby.
func Disown(dir string) error {
	if err := ForgetSettings(dir); err != nil {
		return err
	}

	for _, name := range []string{"standby.signal", "recovery.signal"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("disown a copy: %w", err)
		}
	}

	return nil
}
