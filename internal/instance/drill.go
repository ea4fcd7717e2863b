package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instance/pgbin"
	"github.com/caretaker-dev/caretaker/internal/instance/process"
	"github.com/caretaker-dev/caretaker/internal/instance/provision"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// drillStop is how long the throw-away server may take to stop; nobody needs its data.
	drillStop = 10 * time.Second
	// checkTimeout of one of the user's checks.
	checkTimeout = 30 * time.Minute
	// maxDrillMessage fits into what the kubelet keeps of a container's last words, with the rest.
	maxDrillMessage = 2000
)

// Drill restores a backup on a throw-away volume, replays all of the archive, and checks what comes out. What came of it is
// written to opts.TerminationLog; an error says that even that was not possible.
func Drill(ctx context.Context, opts Options, in instanceapi.Drill) error {
	table, err := process.NewTable(opts.Clock)
	if err != nil {
		return err
	}

	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()

	go table.Run(life)

	opts.Layout.VolumeDir, opts.Layout.DataDir = instanceapi.DrillDir, filepath.Join(instanceapi.DrillDir, "pgdata")
	opts.Layout.StateDir = filepath.Join(instanceapi.DrillDir, "caretaker")

	if err := opts.Layout.Prepare(); err != nil {
		return err
	}

	r := &runner{opts: opts, layout: opts.Layout, clock: opts.Clock, log: opts.Log, table: table, view: &view{}}
	r.archiving = newArchiving(r, nil)
	d := drill{r: r, in: in, log: opts.Log.With("logger", "drill"), result: v1.DrillStatus{BackupID: in.Recovery.BackupID}}
	began := metav1.NewTime(opts.Clock.Now().Truncate(time.Second))
	d.result.StartedAt = &began

	err = d.run(ctx)
	ended := metav1.NewTime(opts.Clock.Now().Truncate(time.Second))
	d.result.StoppedAt, d.result.Succeeded = &ended, err == nil

	if err != nil {
		d.result.Message = err.Error()
		d.result.Message = d.result.Message[:min(len(d.result.Message), maxDrillMessage)]
		d.log.Error("the drill failed", "error", err)
	} else {
		d.log.Info("the drill succeeded", "checks", d.result.Checks)
	}

	said, err := json.Marshal(d.result)
	if err != nil {
		return fmt.Errorf("encode the drill's result: %w", err)
	}

	if err := os.WriteFile(opts.TerminationLog, said, 0o600); err != nil {
		return fmt.Errorf("tell the drill's result: %w", err)
	}

	return nil
}

type drill struct {
	r      *runner
	in     instanceapi.Drill
	log    *slog.Logger
	result v1.DrillStatus
	// along is the timeline to recover along by number; 0 if PostgreSQL finds it by itself.
	along postgres.Timeline
	// programs and child of PostgreSQL.
	programs *pgbin.Programs
	child    *process.Child
	words    string
}

func (d *drill) run(ctx context.Context) error {
	var err error

	finder := pgbin.Finder{Path: d.r.opts.Path, Places: pgbin.Places(), Table: d.r.table, Env: d.r.opts.Env}
	if d.programs, err = finder.Find(ctx, d.in.Major); err != nil {
		return err
	}

	began := d.r.clock.Now()

	if err := d.restore(ctx); err != nil {
		return fmt.Errorf("restore: %w", err)
	}

	d.result.RestoreSeconds = int64(d.r.clock.Since(began).Seconds())
	began = d.r.clock.Now()

	stop, err := d.archiver() //nolint:contextcheck // the child ends by stop, not by a context
	if err != nil {
		return err
	}
	defer stop()

	if err := d.start(); err != nil {
		return err
	}
	defer d.stop()

	if err := d.replay(ctx); err != nil {
		return fmt.Errorf("replay: %w", err)
	}

	d.result.ReplaySeconds = int64(d.r.clock.Since(began).Seconds())

	return errors.Join(d.amcheck(ctx), d.checks(ctx))
}

func (d *drill) restore(ctx context.Context) error {
	target, err := d.r.archiving.target(d.in.Recovery.Archive, "recovery")
	if err != nil {
		return err
	}

	file, err := d.r.archiving.writeTarget("archive-recovery.json", target)
	if err != nil {
		return err
	}

	var done archiveapi.Restored
	if err := d.r.archiving.commandWith(ctx, file, &done, d.note, restoreArgs(d.r.layout.DataDir, d.in.Recovery)...); err != nil {
		return err
	}

	d.along = done.Reach.Named
	d.result.BackupID, d.result.RestoredBytes = done.Restored.Manifest.ID, done.Restored.Manifest.DataBytes

	if err := provision.Disown(d.r.layout.DataDir); err != nil {
		return err
	}

	return volume.WriteFile(filepath.Join(d.r.layout.DataDir, "recovery.signal"), nil, 0o600)
}

// note logs what commands say, but for their progress.
func (d *drill) note(line string) {
	if _, ok := parseProgress(line); !ok {
		d.log.Info(line)
	}
}

// archiver fetches the WAL for the replay.
func (d *drill) archiver() (stop func(), err error) {
	l := d.r.layout

	from, err := d.r.archiving.target(d.in.Recovery.Archive, "recovery")
	if err != nil {
		return nil, err
	}

	config, err := json.Marshal(archiveapi.Config{
		Sources: []archiveapi.Target{from}, Socket: l.ArchiverSocket(), DataDir: l.DataDir, SpoolDir: l.SpoolDir(),
	})
	if err != nil {
		return nil, fmt.Errorf("encode the archiver's configuration: %w", err)
	}

	if err := d.r.archiving.startChild(config); err != nil {
		return nil, err
	}

	return d.r.archiving.stopChild, nil
}

func (d *drill) start() error {
	l := d.r.layout

	hba := filepath.Join(l.ConfDir(), "drill_hba.conf")
	if err := errors.Join(
		volume.WriteFile(hba, []byte("local all trust\n"), 0o600),
		volume.WriteFile(l.IdentFile(), nil, 0o600),
		volume.WriteFile(l.ConfFile(), []byte(serverconf.DrillConf(d.in.Libraries)), 0o600),
	); err != nil {
		return err
	}

	output, _, err := process.Lines(func(line string) {
		d.log.Info(line)

		if strings.Contains(line, "FATAL") || strings.Contains(line, "PANIC") {
			d.words = line
		}
	})
	if err != nil {
		return err
	}
	defer output.Close() //nolint:errcheck // the child has it

	target, err := recoveryTarget(d.in.Recovery.Target)
	if err != nil {
		return err
	}

	target = target.Along(d.along)
	args := []string{
		"-D", l.DataDir, "-c", "config_file=" + l.ConfFile(), "-c", "hba_file=" + hba, "-c", "ident_file=" + l.IdentFile(),
		"-c", "listen_addresses=", "-c", "unix_socket_directories=" + l.OwnSocketDir(), "-c", "port=" + strconv.Itoa(l.PostgresPort),
	}
	for _, setting := range append(d.r.recoverySettings(target), "archive_mode=off", "fsync=off") {
		args = append(args, "-c", setting)
	}

	d.child, err = d.r.table.Start(process.Command{
		Path: filepath.Join(d.programs.Dir, "postgres"), Args: args, Env: d.r.opts.Env, Stdout: output, Stderr: output, Group: true,
	})

	return err
}

func (d *drill) stop() {
	_ = d.child.Signal(sigQuit)

	select {
	case <-d.child.Done():
	case <-d.r.clock.After(drillStop):
		_ = d.child.Signal(sigKill)
	}
}

// replay waits until all of the archive was replayed and the server accepts connections.
func (d *drill) replay(ctx context.Context) error {
	for {
		conn, err := d.connect(ctx, postgres.Superuser)
		if err == nil {
			defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read from

			return conn.QueryRow(ctx, "SELECT coalesce(pg_catalog.pg_last_wal_replay_lsn(), pg_catalog.pg_current_wal_lsn())::text").
				Scan(&d.result.ReplayedLSN)
		}

		if d.child.HasEnded() {
			return fmt.Errorf("PostgreSQL ended (%s): %s", d.child.Exit(), d.words)
		}

		if isFinal(err) {
			return err
		}

		select {
		case <-d.r.clock.After(recoveryWait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (d *drill) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgconn.Connect(ctx, pgconn.Local(d.r.layout.OwnSocketDir(), d.r.layout.PostgresPort, database))
}

// amcheck looks for damage in all tables and indexes.
func (d *drill) amcheck(ctx context.Context) error {
	if !d.in.Amcheck {
		return nil
	}

	program := filepath.Join(d.programs.Dir, "pg_amcheck")
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		return nil // Not every image has it.
	} else if err != nil {
		return fmt.Errorf("amcheck: %w", err)
	}

	d.result.Checks = append(d.result.Checks, "amcheck")

	out, err := d.r.table.Output(ctx, process.Command{
		Path: program, Env: append(d.r.opts.Env, "LC_ALL=C"), Group: true,
		Args: []string{
			"--all", "--install-missing", "--no-password", "--host", d.r.layout.OwnSocketDir(),
			"--port", strconv.Itoa(d.r.layout.PostgresPort), "--username", postgres.Superuser,
		},
	}, d.note)
	if err != nil {
		return fmt.Errorf("amcheck: %w %s", err, strings.TrimSpace(out))
	}

	return nil
}

func (d *drill) checks(ctx context.Context) error {
	var failed []error

	for _, check := range d.in.Checks {
		d.result.Checks = append(d.result.Checks, check.Name)

		if err := d.check(ctx, check); err != nil {
			failed = append(failed, fmt.Errorf("check %s: %w", check.Name, err))
		}
	}

	return errors.Join(failed...)
}

func (d *drill) check(ctx context.Context, check instanceapi.DrillCheck) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()

	conn, err := d.connect(ctx, check.Database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read from

	var holds *bool
	if err := conn.QueryRow(ctx, check.SQL).Scan(&holds); err != nil {
		return err
	}

	if holds == nil || !*holds {
		return errors.New("it is not true")
	}

	return nil
}
