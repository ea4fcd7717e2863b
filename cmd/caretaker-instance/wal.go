package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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

// walFlags say which archive is meant, where no cluster does.
type walFlags struct {
	store, server, endpoint, region, caFile string
	identities, recipients, compression     string
}

func (f *walFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.store, "store", os.Getenv("CARETAKER_STORE"), "where the archive is: s3://bucket/path, gs://bucket/path, "+
		"https://account.blob.core.windows.net/container/path or file:///path ($CARETAKER_STORE)")
	flags.StringVar(&f.server, "server", os.Getenv("CARETAKER_SERVER"), "the server's `name` in the archive ($CARETAKER_SERVER)")
	flags.StringVar(&f.endpoint, "endpoint", "", "the `URL` of a store that is not the provider's own")
	flags.StringVar(&f.region, "region", "", "S3's region")
	flags.StringVar(&f.caFile, "ca-file", "", "certificates (PEM) to trust beside the system's")
	flags.StringVar(&f.identities, "identities", os.Getenv("CARETAKER_AGE_IDENTITIES_FILE"),
		"a `file` with age identities that open what is encrypted ($CARETAKER_AGE_IDENTITIES_FILE)")
}

func (f *walFlags) open(ctx context.Context) (*wal.Archive, error) {
	if f.store == "" || f.server == "" {
		return nil, errors.New("which archive? give --store and --server, or set CARETAKER_STORE and CARETAKER_SERVER: " +
			"the server's name is the first part of all keys below the store's path")
	}

	config, err := objectstore.ParseURL(f.store)
	if err != nil {
		return nil, err
	}

	config.Endpoint = cmp.Or(f.endpoint, config.Endpoint)
	config.Region, config.CAFile = f.region, f.caFile

	return wal.Open(ctx, wal.Target{
		Store: config, Server: f.server, Compression: f.compression, IdentitiesFile: f.identities, RecipientsFile: f.recipients,
	})
}

func newWALPushCommand() *cobra.Command {
	var flags walFlags

	cmd := &cobra.Command{
		Use:   "wal-push FILE…",
		Short: "Archive WAL files by hand; what is archived already is never overwritten",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			archive, err := flags.open(cmd.Context())
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
	cmd.Flags().StringVar(&flags.compression, "compression", "", "zstd, gzip, lz4, snappy or none (default zstd)")
	cmd.Flags().StringVar(&flags.recipients, "recipients", os.Getenv("CARETAKER_AGE_RECIPIENTS_FILE"),
		"a `file` with age recipients to encrypt for ($CARETAKER_AGE_RECIPIENTS_FILE)")

	return cmd
}

func newWALFetchCommand() *cobra.Command {
	var flags walFlags

	cmd := &cobra.Command{
		Use:   "wal-fetch NAME DEST",
		Short: "Fetch an archived WAL file by hand, checked; it serves as restore_command: wal-fetch %f %p",
		Long: "Fetch an archived WAL file by hand, checked. It serves as restore_command: wal-fetch %f %p\n\n" +
			"Exit codes: 0 the file is there, 1 the archive does not have it, 126 anything else, upon which PostgreSQL stops recovery.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			archive, err := flags.open(cmd.Context())
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
		flags  walFlags
		asJSON bool
	)

	cmd := &cobra.Command{
		Use:   "wal-list",
		Short: "List the archived WAL: runs of segments, and with them the gaps",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			archive, err := flags.open(cmd.Context())
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
