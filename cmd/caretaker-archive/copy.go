package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archive/wal"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// errNotCopied makes the command fail when something was not copied; what, it has printed.
var errNotCopied = errors.New("not everything could be copied")

// copyFlags of the commands that copy to another store.
type copyFlags struct {
	workFlags

	to, toConfig, toEndpoint string
	options                  basebackup.CopyOptions
}

func (f *copyFlags) add(cmd *cobra.Command) {
	f.workFlags.add(cmd)

	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "the store to copy to, a `URL` like --store")
	flags.StringVar(&f.toConfig, "to-config", "", "a JSON `file` with that store's settings, where it has other credentials than the first one")
	flags.StringVar(&f.toEndpoint, "to-endpoint", "", "the `URL` of that store's endpoint")
}

// newCopyCommand copies all of an archive.
func newCopyCommand() *cobra.Command {
	f := &copyFlags{}
	keep := ""

	var every time.Duration

	cmd := &cobra.Command{
		Use:   "copy",
		Short: "Copy all backups and their WAL to another store, once or again and again",
		Long: "Copy all backups that are complete, and the WAL since the oldest of them, to another store, where all commands work the\n" +
			"same. Every object is checked before it is put there. Nothing is overwritten or deleted there; \"expire\" on that store does so.\n" +
			"What is there already is not copied again. With --every it goes on, until it is interrupted.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keep != "" {
				var err error
				if f.options.Keep, err = basebackup.ParsePolicy(keep); err != nil {
					return err
				}
			}

			return repeat(cmd.Context(), every, realClock(), func() error { return f.run(cmd) })
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&keep, "keep", "", "copy only what that retention needs: 30d, 4w, 6m, or a number of full backups; that of the second store, if it is shorter")
	cmd.Flags().DurationVar(&every, "every", 0, "go on, and copy what is new that often")

	return cmd
}

// newBackupCopyCommand copies one backup.
func newBackupCopyCommand() *cobra.Command {
	f := &copyFlags{}
	cmd := &cobra.Command{
		Use:   "copy BACKUP",
		Short: "Copy a backup, its parents and their WAL to another store",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.options.Backup = args[0]

			return f.run(cmd)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.options.WithoutLaterWAL, "without-later-wal", false, "leave out the WAL after the backup's end")

	return cmd
}

// repeat something; without an interval it is done once. What fails is tried again at the next turn.
func repeat(ctx context.Context, every time.Duration, c clock.Clock, do func() error) error {
	for {
		err := do()
		if every <= 0 {
			return err
		}

		if err != nil && ctx.Err() == nil {
			_, _ = fmt.Fprintf(os.Stderr, "caretaker-archive: %v; tried again in %s\n", err, every) // for the eye only
		}

		select {
		case <-ctx.Done():
			return nil
		case <-c.After(every):
		}
	}
}

func (f *copyFlags) run(cmd *cobra.Command) error {
	ctx := cmd.Context()

	from, err := f.open(ctx)
	if err != nil {
		return err
	}

	if f.to == "" && f.toConfig == "" {
		return errors.New("copy to which store? give --to or --to-config")
	}

	second := &archiveFlags{
		storeFlags: storeFlags{store: f.to, endpoint: f.toEndpoint, region: f.region, caFile: f.caFile},
		config:     f.toConfig, server: from.target.Server,
	}

	to, err := second.open(ctx)
	if err != nil {
		return fmt.Errorf("the store to copy to: %w", err)
	}

	if to.String() == from.String() && isSameServer(to.target.Store, from.target.Store) {
		return fmt.Errorf("the store to copy to is the one to copy from, %s", from)
	}

	o := f.options
	o.From, o.To, o.Identities = from.Store(), to.Store(), from.identities
	o.Workers, o.Progress, o.Clock = f.workers, f.progress(os.Stderr), realClock()
	o.CheckWAL = func(name string, object []byte) error {
		return damagedWAL(name, wal.Check(object, name, from.identities))
	}

	done, err := basebackup.Copy(ctx, o)
	if err != nil {
		return err
	}

	if err := f.result(cmd.OutOrStdout(), done, copiedText(done)); err != nil {
		return err
	}

	if len(done.Problems) > 0 {
		return errNotCopied
	}

	return nil
}

// isSameServer says whether two stores that have the same URL are on the same server, and of the same account: a bucket may have its
// name on another server, too.
func isSameServer(one, other storeconfig.Config) bool {
	server := func(c storeconfig.Config) []string {
		return []string{strings.TrimRight(c.Endpoint, "/"), c.Account, c.Credentials.AzureAccountFile, c.Credentials.AzureConnectionStringFile}
	}

	return slices.Equal(server(one), server(other))
}

func copiedText(done *basebackup.Copied) string {
	var out strings.Builder

	fmt.Fprintf(&out, "copied: %d objects, %s; %d were there already. The second store has: backups %s; WAL to %s",
		done.Objects, megabytes(done.Bytes), done.Present, names(done.Backups), dash(done.LastWAL))

	if done.Sealed {
		out.WriteString("\nthere is no identity to open what is encrypted with: it was compared only from outside")
	}

	for _, problem := range done.Problems {
		out.WriteString("\nnot copied: " + problem)
	}

	return out.String()
}
