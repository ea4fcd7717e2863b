package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/archive/dump"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// testDump restores the dump that was just taken into the server of the container beside this one. The result is in the last words
// before that, too: whatever happens to this process, the dump is there.
func testDump(cmd *cobra.Command, in archiveapi.Dump, taken *dump.Manifest, result *archiveapi.DumpResult, terminationLog string) error {
	if terminationLog != "" {
		result.Test = &archiveapi.DumpTest{Started: realClock().Now().UTC(), Error: "it did not come to its end"}
		if err := writeLastWords(terminationLog, *result); err != nil {
			return err
		}
	}

	store, err := openDumps(cmd.Context(), in)
	if err != nil {
		result.Test = &archiveapi.DumpTest{Error: err.Error()}

		return nil //nolint:nilerr // the dump is good; its test is not
	}

	m, err := dump.Reload(cmd.Context(), store, taken)
	if err != nil {
		result.Test = &archiveapi.DumpTest{Error: err.Error()}

		return nil //nolint:nilerr // the dump is good; its test is not
	}

	test := programs(cmd).TestRestore(cmd.Context(), dump.TestOptions{
		Scratch:  dump.Scratch{Engine: m.Engine, Dir: archiveapi.DumpScratchDir, Clock: realClock()},
		Database: m.Database, Checks: in.Verification.Checks,
		Feed: func(ctx context.Context, w io.Writer) error { return dump.Read(ctx, store, m, nil, w) },
	})
	result.Test = &test

	return nil
}

// newDumpScratchCommand is what the container beside a dump runs.
func newDumpScratchCommand() *cobra.Command {
	var s dump.Scratch

	cmd := &cobra.Command{
		Use:    "dump-scratch",
		Short:  "Give a throw-away server to whoever asks for one in a folder",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.Clock = realClock()

			return s.Serve(cmd.Context(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.Engine, "engine", archiveapi.EnginePostgreSQL, "postgresql, mysql or mongodb")
	flags.StringVar(&s.Dir, "dir", archiveapi.DumpScratchDir, "the `folder`")
	flags.Int64Var(&s.MaxBytes, "max-bytes", 0, "how much room a server may take; 0 for no limit")

	return cmd
}

func newDumpsTestRestoreCommand() *cobra.Command {
	var (
		where  dumpStoreFlags
		checks []string
		tmp    string
	)

	cmd := &cobra.Command{
		Use:   "test-restore DUMP|latest",
		Short: "Restore a dump into a throw-away server on this machine, and check what comes out",
		Long: "Restore a dump into a throw-away server on this machine, count what came, and run checks: SQL that must be true. The server\n" +
			"(postgres, mysqld or mongod) must be installed, of the dump's major version or a newer one; it listens on a Unix socket only.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			stored, err := where.find(cmd.Context(), args[0])
			if err != nil {
				return err
			}

			m := stored.manifest
			o := dump.TestOptions{Database: m.Database, Feed: stored.read}

			for _, sql := range checks {
				o.Checks = append(o.Checks, archiveapi.DumpCheck{Name: strings.Join(strings.Fields(sql), " "), SQL: sql})
			}

			result, err := testHere(cmd, m.Engine, tmp, o)
			if err != nil {
				return err
			}

			if result.Error != "" {
				return fmt.Errorf("dump %s: %s", m.ID, result)
			}

			return where.result(cmd.OutOrStdout(), result, "dump "+m.ID+": "+result.String())
		},
	}
	where.add(cmd)
	cmd.Flags().StringArrayVar(&checks, "check", nil, "`SQL` that must be true, such as 'SELECT count(*) > 0 FROM orders'; as often as you like")
	cmd.Flags().StringVar(&tmp, "tmp", "", "a `folder` with room for the database; the system's for temporary files by default")

	return cmd
}

// testHere has the server run by this process.
func testHere(cmd *cobra.Command, engine, tmp string, o dump.TestOptions) (result archiveapi.DumpTest, err error) {
	dir, err := os.MkdirTemp(tmp, "scratch-")
	if err != nil {
		return result, fmt.Errorf("make room for the throw-away server: %w", err)
	}

	o.Scratch = dump.Scratch{Engine: engine, Dir: dir, Clock: realClock()}
	ctx, cancel := context.WithCancel(cmd.Context())
	served := make(chan error, 1)

	go func() { served <- o.Scratch.Serve(ctx, cmd.ErrOrStderr()) }()

	result = programs(cmd).TestRestore(ctx, o)

	cancel()

	return result, errors.Join(<-served, os.RemoveAll(dir))
}
