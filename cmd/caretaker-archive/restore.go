package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// restoreFlags of the restore command.
type restoreFlags struct {
	workFlags

	backup, dataDir           string
	delta                     bool
	tablespaces               map[string]string
	time, lsn, name, timeline string
	xid                       uint64
	immediate, exclusive      bool
	restoreCommand            string
	withoutRecovery, anyWAL   bool
	snapshot                  bool
}

func newRestoreCommand() *cobra.Command {
	f := &restoreFlags{}
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Make a data directory of a backup, ready to be started and to recover to a target",
		Long: "Make a data directory of a backup. Without --backup, the newest one that leads to the target is taken.\n" +
			"Then start PostgreSQL on it: it replays WAL from the archive up to the target, and only then accepts writes. If the WAL\n" +
			"ends before the target, it stops and says so; nothing is promoted short of it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd)

	flags := cmd.Flags()
	flags.StringVar(&f.backup, "backup", "", "the backup's `ID`, as \"backups\" lists it")
	flags.StringVar(&f.dataDir, "data-dir", os.Getenv("PGDATA"), "the data directory to make ($PGDATA)")
	flags.BoolVar(&f.delta, "delta", false, "change the data directory that is there into the backup: only what differs is fetched, what the "+
		"backup does not have is removed, and the WAL there is set aside in pg_wal/before-restore")
	flags.StringToStringVar(&f.tablespaces, "tablespace", nil, "put the tablespace that was at OLD into NEW: `OLD=NEW`")
	flags.StringVar(&f.time, "target-time", "", "recover to that `time`; without a zone it is UTC")
	flags.StringVar(&f.lsn, "target-lsn", "", "recover to that `LSN`")
	flags.Uint64Var(&f.xid, "target-xid", 0, "recover to that `transaction`'s end")
	flags.StringVar(&f.name, "target-name", "", "recover to a restore point of that `name`")
	flags.BoolVar(&f.immediate, "target-immediate", false, "recover only until the data are consistent")
	flags.BoolVar(&f.exclusive, "target-exclusive", false, "end just before the target instead of just after it")
	flags.StringVar(&f.timeline, "target-timeline", "latest", "latest, current, or a `number`")
	flags.StringVar(&f.restoreCommand, "restore-command", "", "the restore_command to set; default: this program's wal-fetch, from the same store")
	flags.BoolVar(&f.anyWAL, "no-wal-check", false, "restore the --backup also if WAL that it needs is known to be missing")
	flags.BoolVar(&f.snapshot, "snapshot", false, "the data directory came with a volume made of the snapshot that the --backup names: only make it ready")
	flags.BoolVar(&f.withoutRecovery, "no-recovery", false, "write no recovery.signal and no settings: the caller does")

	return cmd
}

func (f *restoreFlags) recoveryTarget() (archiveapi.RecoveryTarget, error) {
	t := archiveapi.RecoveryTarget{
		XID: f.xid, Name: f.name, Immediate: f.immediate, Exclusive: f.exclusive, Timeline: strings.ToLower(f.timeline),
	}

	var err error

	if f.time != "" {
		if t.Time, err = archiveapi.ParseTime(f.time); err != nil {
			return t, err
		}
	}

	if f.lsn != "" {
		if t.LSN, err = postgres.ParseLSN(f.lsn); err != nil {
			return t, err
		}
	}

	return t, t.Check()
}

func (f *restoreFlags) run(cmd *cobra.Command) error {
	ctx := cmd.Context()

	if f.dataDir == "" {
		return fmt.Errorf("which data directory? give --data-dir")
	}

	target, err := f.recoveryTarget()
	if err != nil {
		return err
	}

	archive, err := f.open(ctx)
	if err != nil {
		return err
	}

	chosen, reach, err := f.choose(ctx, archive, target)
	if err != nil {
		return err
	}

	if !f.asJSON {
		_, _ = fmt.Fprintf(os.Stderr, "restoring backup %s into %s, to recover to %s\n", chosen.ID, f.dataDir, target) // for the eye only
	}

	done, err := f.files(ctx, archive, chosen.ID)
	if err != nil {
		return err
	}

	target = target.Along(reach.Named)
	if err := f.recovery(target); err != nil {
		return err
	}

	return f.result(cmd.OutOrStdout(), restoreResult(done, target, reach),
		fmt.Sprintf("restored %s of backup %s into %s (%s fetched). Start PostgreSQL on it: it will recover to %s; the archive reaches to %s on timeline %d",
			megabytes(done.Manifest.DataBytes), done.Manifest.ID, f.dataDir, megabytes(done.FetchedBytes), target, reach.End, reach.Timeline))
}

// files of the backup come from the store, or are there.
func (f *restoreFlags) files(ctx context.Context, archive *opened, id string) (*basebackup.Restored, error) {
	if f.snapshot {
		return basebackup.Prepare(ctx, basebackup.PrepareOptions{
			Store: archive.Store(), Backup: id, DataDir: f.dataDir, Identities: archive.identities,
		})
	}

	return basebackup.Restore(ctx, basebackup.RestoreOptions{
		Store: archive.Store(), Backup: id, DataDir: f.dataDir, Delta: f.delta, Tablespaces: f.tablespaces,
		Identities: archive.identities, Workers: f.workers, Progress: f.progress(os.Stderr), Clock: realClock(),
	})
}

// restoreResult is what the command prints; PID 1 reads some of it (archiveapi.Restored).
func restoreResult(done *basebackup.Restored, target archiveapi.RecoveryTarget, reach basebackup.Reach) any {
	return map[string]any{"restored": done, "target": target.String(), "reach": reach}
}

// choose the backup, and find out how far the WAL after it reaches.
func (f *restoreFlags) choose(ctx context.Context, archive *opened, target archiveapi.RecoveryTarget) (*basebackup.Manifest, basebackup.Reach, error) {
	if !f.anyWAL {
		return basebackup.Choose(ctx, archive.Store(), f.backup, target, archive.read)
	}

	if f.backup == "" {
		return nil, basebackup.Reach{}, errors.New("--no-wal-check needs --backup: without it, the WAL decides which backup is taken")
	}

	m, err := basebackup.ReadManifest(ctx, archive.Store(), f.backup)

	return m, basebackup.Reach{}, err
}

func (f *restoreFlags) recovery(target archiveapi.RecoveryTarget) error {
	if f.withoutRecovery {
		return nil
	}

	command := f.restoreCommand
	if command == "" {
		var err error
		if command, err = f.walFetchCommand(); err != nil {
			return err
		}
	}

	return basebackup.WriteRecovery(f.dataDir, archiveapi.RecoverySettings(target, command))
}

func newVerifyCommand() *cobra.Command {
	f := &workFlags{}
	backup := ""
	cmd := &cobra.Command{
		Use:   "verify [BACKUP]",
		Short: "Read a backup, its parents and their WAL back, and say whether it can be restored",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				backup = args[0]
			}

			return f.verify(cmd, backup)
		},
	}
	f.add(cmd)

	return cmd
}

func (f *workFlags) verify(cmd *cobra.Command, backup string) error {
	ctx := cmd.Context()

	archive, err := f.open(ctx)
	if err != nil {
		return err
	}

	if backup == "" || backup == basebackup.Latest {
		m, _, err := basebackup.Choose(ctx, archive.Store(), "", archiveapi.RecoveryTarget{Immediate: true}, archive.read)
		if err != nil {
			return err
		}

		backup = m.ID
	}

	o := basebackup.VerifyOptions{
		Store: archive.Store(), Backup: backup, Identities: archive.identities, Workers: f.workers,
		Progress: f.progress(os.Stderr), Clock: realClock(), CheckWAL: archive.check,
	}

	report, err := basebackup.Verify(ctx, o)
	if err != nil {
		return err
	}

	if err := f.result(cmd.OutOrStdout(), report, report.String()); err != nil {
		return err
	}

	if !report.Restorable {
		return errNotRestorable
	}

	return nil
}

// walFetchCommand is this program's own, with the same archive.
func (f *archiveFlags) walFetchCommand() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find our own binary: %w", err)
	}

	words := []string{self, "wal-fetch"}

	if f.config != "" {
		file, err := filepath.Abs(f.config)
		if err != nil {
			return "", err
		}

		return strings.Join(append(words, "--config", archiveapi.Quote(file), "%f", "%p"), " "), nil
	}

	target, err := f.target()
	if err != nil {
		return "", err
	}

	for _, flag := range [][2]string{
		{"--store", target.Store.String()},
		{"--server", target.Server},
		{"--endpoint", target.Store.Endpoint},
		{"--region", target.Store.Region},
		{"--ca-file", target.Store.CAFile},
		{"--identities", target.IdentitiesFile},
	} {
		if flag[1] != "" {
			words = append(words, flag[0], archiveapi.Quote(flag[1]))
		}
	}

	return strings.Join(append(words, "%f", "%p"), " "), nil
}
