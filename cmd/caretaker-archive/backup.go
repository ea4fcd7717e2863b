package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/version"
)

// backupFlags of the backup command.
type backupFlags struct {
	workFlags

	storing   storingFlags
	socketDir string
	port      int
	user      string
	options   basebackup.Options
	// snapshotTaken is the file whose coming says so; empty if the files go into the store.
	snapshotTaken    string
	snapshotPatience time.Duration
}

func newBackupCommand() *cobra.Command {
	f := &backupFlags{}
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Back up the PostgreSQL that runs on this machine",
		Long: "Back up the PostgreSQL that runs on this machine, a standby or the primary. Run it as the server's user.\n" +
			"The backup exists when this ends without an error, and until then not at all.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd)
	f.storing.add(cmd)

	flags := cmd.Flags()
	flags.StringVar(&f.socketDir, "socket-dir", "/var/run/postgresql", "the `folder` of PostgreSQL's Unix socket")
	flags.IntVar(&f.port, "port", 5432, "PostgreSQL's port")
	flags.StringVar(&f.user, "user", "", "the PostgreSQL user (postgres)")
	flags.StringVar(&f.options.DataDir, "data-dir", "", "the data directory, if it is not where the server says")
	flags.StringVar(&f.options.Parent, "incremental", "", "back up only what has changed since that backup, or since the `latest` one")
	flags.BoolVar(&f.options.BlockHashes, "block-hashes", false, "keep the hashes of all blocks, for incremental backups without WAL summaries")
	flags.StringVar(&f.options.Label, "label", "", "free text that is kept with the backup")
	flags.BoolVar(&f.options.Fast, "fast", true, "ask for a checkpoint at once, instead of spreading it out")
	flags.BoolVar(&f.options.AcceptDamage, "accept-damage", false, "back up also if page checksums are wrong")
	flags.StringSliceVar(&f.options.Exclude, "exclude", nil, "leave out what lies below that path of the data directory")
	flags.DurationVar(&f.options.WaitForWAL, "wait-for-wal", 10*time.Minute, "how long to wait until the WAL that the backup needs is archived; 0: not at all")
	flags.StringVar(&f.snapshotTaken, "snapshot", "", "leave the files to a snapshot of the volume that somebody else takes while this waits for the `file`")
	flags.DurationVar(&f.snapshotPatience, "snapshot-patience", 10*time.Minute, "how long to wait for that file")
	cmd.AddCommand(newBackupCopyCommand())

	return cmd
}

func (f *backupFlags) run(cmd *cobra.Command) error {
	ctx := cmd.Context()

	target, err := f.target()
	if err != nil {
		return err
	}

	archive, err := openArchive(ctx, f.storing.apply(target))
	if err != nil {
		return err
	}

	o := f.options
	o.Store, o.Server, o.Workers, o.Clock = archive.Store(), archive.target.Server, f.workers, realClock()
	o.Progress, o.Tool, o.Identities = f.progress(os.Stderr), "caretaker "+version.String(), archive.identities
	o.Compression = compress.Algorithm(archive.target.Compression)

	if f.snapshotTaken != "" {
		o.Snapshot = basebackup.AwaitFile(f.snapshotTaken, f.snapshotPatience, realClock())
	}

	if o.Recipients, err = readRecipients(archive.target.RecipientsFile); err != nil {
		return err
	}

	params := pgconn.Local(f.socketDir, f.port, "postgres")
	params.ApplicationName = "caretaker backup"

	if f.user != "" {
		params.User = f.user
	}

	if o.Conn, err = pgconn.Connect(ctx, params); err != nil {
		return err
	}
	defer closeConn(cmd, o.Conn)

	m, err := basebackup.Take(ctx, o)
	if err != nil {
		return err
	}

	return f.result(cmd.OutOrStdout(), m, fmt.Sprintf("backup %s (%s) of %s: %s read, %s stored, in %s; it can be recovered to %s or later",
		m.ID, m.Kind, megabytes(m.DataBytes), megabytes(m.ReadBytes), megabytes(m.StoredBytes),
		m.Completed.Sub(m.Started).Round(time.Second), m.Stopped.Format(time.RFC3339)))
}

func closeConn(cmd *cobra.Command, conn *pgx.Conn) {
	_ = conn.Close(cmd.Context()) // the process is about to end
}

// newBackupsCommand lists, and holds what is done with backups that are there.
func newBackupsCommand() *cobra.Command {
	f := &workFlags{}
	cmd := &cobra.Command{
		Use:   "backups",
		Short: "List the backups of an archive, from the store alone",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			archive, err := f.open(cmd.Context())
			if err != nil {
				return err
			}

			found, err := basebackup.List(cmd.Context(), archive.Store())
			if err != nil {
				return err
			}

			return f.result(cmd.OutOrStdout(), found, backupTable(found))
		},
	}
	f.add(cmd)
	cmd.AddCommand(newBackupDeleteCommand())

	return cmd
}

func backupTable(found []basebackup.Backup) string {
	if len(found) == 0 {
		return "no backups"
	}

	var out strings.Builder

	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "BACKUP\tKIND\tPARENT\tRECOVERABLE FROM\tTIMELINE\tLSN\tSIZE\tSTORED\tDURATION\tSTATE") // memory

	for _, b := range found {
		m := b.Manifest
		if m == nil {
			_, _ = fmt.Fprintf(table, "%s\t-\t%s\t-\t-\t-\t-\t-\t-\t%s\n", b.ID, dash(b.Parent), incompleteState(b)) // memory

			continue
		}

		state := "complete"
		if b.Expired != nil {
			state = "expired, to be deleted"
		}

		if len(m.Damaged) > 0 {
			state += fmt.Sprintf(", %d damaged pages", len(m.Damaged))
		}

		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", b.ID, m.Kind, dash(m.Parent), m.Stopped.Format(time.RFC3339),
			m.Timeline, m.StopLSN, megabytes(m.DataBytes), megabytes(m.StoredBytes), m.Completed.Sub(m.Started).Round(time.Second), state) // memory
	}

	_ = table.Flush() // memory

	return strings.TrimSuffix(out.String(), "\n")
}

func incompleteState(b basebackup.Backup) string {
	if b.Problem != "" {
		return b.Problem
	}

	return "incomplete: being taken, or interrupted"
}

func dash(text string) string {
	if text == "" {
		return "-"
	}

	return text
}

func newExpireCommand() *cobra.Command {
	f := &workFlags{}
	o := basebackup.ExpireOptions{Clock: realClock()}
	policy := ""

	cmd := &cobra.Command{
		Use:   "expire",
		Short: "Mark the backups that are no longer needed; delete those that were marked before, and their WAL",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Policy, err = basebackup.ParsePolicy(policy); err != nil {
				return err
			}

			archive, err := f.open(cmd.Context())
			if err != nil {
				return err
			}

			o.Store = archive.Store()

			done, err := basebackup.Expire(cmd.Context(), o)
			if err != nil {
				return err
			}

			return f.result(cmd.OutOrStdout(), done, expiryText(done, o.DryRun))
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&policy, "keep", "", "what to keep: 30d, 4w, 6m, or a number of full backups")
	cmd.Flags().DurationVar(&o.Grace, "grace", basebackup.DefaultGrace, "how long a backup is marked before it is deleted")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what would be done")

	return cmd
}

func expiryText(done *basebackup.Expiry, isDry bool) string { //nolint:revive // what was done, not a mode
	var out strings.Builder

	for _, v := range done.Verdicts {
		word := "drop"
		if v.Keep {
			word = "keep"
		}

		fmt.Fprintf(&out, "%s  %s  %s\n", word, v.ID, v.Reason)
	}

	would := ""
	if isDry {
		would = "would be "
	}

	fmt.Fprintf(&out, "%smarked: %s; deleted: %s; swept: %s; WAL segments deleted: %d (before %s)", would,
		names(done.Marked), names(done.Deleted), names(done.Swept), done.WALDeleted, dash(done.FirstWAL))

	return out.String()
}

func names(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}

	return strings.Join(ids, ", ")
}
