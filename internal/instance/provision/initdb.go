package provision

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/caretaker-dev/caretaker/internal/instance/pgbin"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// checksumsByDefault: from this major on initdb has checksums by default, and has a flag to leave them out.
const checksumsByDefault = 18

// InitDB makes an empty database folder, not yet under its real name, and returns where it is.
func InitDB(ctx context.Context, programs *pgbin.Programs, dataDir string, in instanceapi.InitDB, log *slog.Logger) (string, error) {
	dir, err := volume.Begin(dataDir)
	if err != nil {
		return "", err
	}

	each := func(line string) { log.Info(line) }
	if err := programs.InitDB(ctx, initDBArgs(dir, programs.Major, in), each); err != nil {
		return "", fmt.Errorf("make the database: %w", err)
	}

	return dir, nil
}

// initDBArgs: nobody can connect by initdb's own pg_hba.conf, ours replaces it; files are synced once, at the end.
func initDBArgs(dir string, major int, in instanceapi.InitDB) []string {
	args := []string{
		"--pgdata=" + dir, "--username=" + postgres.Superuser, "--auth=reject", "--no-instructions", "--no-sync",
	}

	for flag, value := range map[string]string{
		"--encoding": in.Encoding, "--locale": in.Locale, "--lc-ctype": in.LocaleCType, "--lc-collate": in.LocaleCollate,
	} {
		if value != "" {
			args = append(args, flag+"="+value)
		}
	}

	if in.WalSegmentSizeMB > 0 {
		args = append(args, "--wal-segsize="+strconv.Itoa(in.WalSegmentSizeMB))
	}

	switch {
	case in.DataChecksums:
		args = append(args, "--data-checksums")
	case major >= checksumsByDefault:
		args = append(args, "--no-data-checksums")
	}

	return args
}
