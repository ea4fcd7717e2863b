package pgbin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/caretaker-dev/caretaker/internal/instance/process"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// run runs a program to its end, with messages in English for those that are parsed.
func (p *Programs) run(ctx context.Context, each func(string), name string, args ...string) (string, error) {
	return p.table.Output(ctx, process.Command{
		Path: filepath.Join(p.Dir, name),
		Args: args,
		Env:  slices.Concat(p.env, []string{"LC_ALL=C"}),
	}, each)
}

// ControlData reads a data folder's control file.
func (p *Programs) ControlData(ctx context.Context, dataDir string) (postgres.ControlData, error) {
	out, err := p.run(ctx, nil, "pg_controldata", "-D", dataDir)
	if err != nil {
		return postgres.ControlData{}, err
	}

	control, err := postgres.ParseControlData(out)
	if err != nil {
		return postgres.ControlData{}, fmt.Errorf("%s: %w", dataDir, err)
	}

	return control, nil
}

// InitDB makes a data folder.
func (p *Programs) InitDB(ctx context.Context, args []string, each func(string)) error {
	_, err := p.run(ctx, each, "initdb", args...)

	return err
}

// BaseBackup copies a server; env is added to the environment (a password, say).
func (p *Programs) BaseBackup(ctx context.Context, args, env []string, each func(string)) error {
	_, err := p.table.Output(ctx, process.Command{
		Path: filepath.Join(p.Dir, "pg_basebackup"),
		Args: args,
		Env:  slices.Concat(p.env, []string{"LC_ALL=C"}, env),
	}, each)

	return err
}

// Rewind makes a data folder a copy of the source's again, up to where it will replay from. It ends crash recovery of the
// target first, for which it needs the configuration.
func (p *Programs) Rewind(ctx context.Context, dataDir, confFile, source string, each func(string)) error {
	args := []string{"--target-pgdata=" + dataDir, "--source-server=" + source}

	const takesConfigFile = 15
	if p.Major >= takesConfigFile {
		args = append(args, "--config-file="+confFile)
	}

	_, err := p.run(ctx, each, "pg_rewind", args...)

	return err
}

// StartServer starts postgres as a child. It inherits the volume's lock.
func (p *Programs) StartServer(args []string, stderr, lock *os.File) (*process.Child, error) {
	return p.table.Start(process.Command{
		Path:    filepath.Join(p.Dir, "postgres"),
		Args:    args,
		Env:     p.env,
		Stdout:  stderr,
		Stderr:  stderr,
		Inherit: []*os.File{lock},
		Group:   true,
	})
}
