package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/archive/wal"
	"github.com/caretaker-dev/caretaker/internal/command"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

const (
	// walMissing and walAbort are what PostgreSQL expects of a restore_command: up to 125 is "not there", above is "stop".
	walMissing = 1
	walAbort   = 126
)

// openWAL reads no identities yet, which pushing and listing do without.
func (f *archiveFlags) openWAL(ctx context.Context) (*wal.Archive, error) {
	target, err := f.target()
	if err != nil {
		return nil, err
	}

	return wal.Open(ctx, target)
}

func newWALPushCommand() *cobra.Command {
	var (
		flags   archiveFlags
		storing storingFlags
	)

	cmd := &cobra.Command{
		Use:   "wal-push FILE…",
		Short: "Archive WAL files by hand; what is archived already is never overwritten",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			target, err := flags.target()
			if err != nil {
				return err
			}

			archive, err := wal.Open(cmd.Context(), storing.apply(target))
			if err != nil {
				return err
			}

			for _, file := range files {
				pushed, _, err := archive.PushFile(cmd.Context(), file, true, nil)
				if err != nil {
					return err
				}

				word := "archived"
				if pushed.WasThere {
					word = "was archived already"
				}

				if _, err := fmt.Fprintln(cmd.OutOrStdout(), filepath.Base(file), word); err != nil {
					return err
				}
			}

			return nil
		},
	}
	flags.add(cmd)
	storing.add(cmd)

	return cmd
}

func newWALFetchCommand() *cobra.Command {
	var flags archiveFlags

	cmd := &cobra.Command{
		Use:   "wal-fetch NAME DEST",
		Short: "Fetch an archived WAL file by hand, checked; it serves as restore_command: wal-fetch %f %p",
		Long: "Fetch an archived WAL file by hand, checked. It serves as restore_command: wal-fetch %f %p\n\n" +
			"Exit codes: 0 the file is there, 1 the archive does not have it, 126 anything else, upon which PostgreSQL stops recovery.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			archive, err := flags.openWAL(cmd.Context())
			if err == nil {
				err = archive.FetchFile(cmd.Context(), args[0], args[1])
			}

			switch {
			case err == nil:
				return nil
			case errors.Is(err, objectstore.ErrNotFound):
				return command.WithCode(err, walMissing)
			default:
				return command.WithCode(err, walAbort)
			}
		},
	}
	flags.add(cmd)

	return cmd
}

func newWALListCommand() *cobra.Command {
	var (
		flags  archiveFlags
		asJSON bool
	)

	cmd := &cobra.Command{
		Use:   "wal-list",
		Short: "List the archived WAL: runs of segments, and with them the gaps",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			archive, err := flags.openWAL(cmd.Context())
			if err != nil {
				return err
			}

			ranges, err := archive.Ranges(cmd.Context())
			if err != nil {
				return err
			}

			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(ranges)
			}

			return printRanges(cmd.OutOrStdout(), ranges)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")

	return cmd
}

func printRanges(out io.Writer, ranges []wal.Range) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintln(table, "TIMELINE\tFIRST\tLAST\tSEGMENTS\tSTORED")

	for i, r := range ranges {
		note := ""
		if i > 0 && ranges[i-1].Timeline == r.Timeline {
			note = "\tthere is a gap before it"
		}

		_, lineErr := fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%d MiB%s\n", r.Timeline, r.First, r.Last, r.Segments, r.StoredBytes>>20, note)
		err = errors.Join(err, lineErr)
	}

	return errors.Join(err, table.Flush())
}
