// Command caretaker-archive is all that talks to an object store: the archiver that PID 1 of a database pod keeps beside itself,
// backups and restores, and what is done with an archive by hand.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/command"
	"github.com/caretaker-dev/caretaker/internal/version"
)

func main() { os.Exit(command.Run(newCommand(), "caretaker-archive")) }

func newCommand() *cobra.Command {
	return command.Root("caretaker-archive", "Backups and WAL in an object store",
		newArchiverCommand(), newWALPushCommand(), newWALFetchCommand(), newWALListCommand(),
		newBackupCommand(), newBackupsCommand(), newRestoreCommand(), newVerifyCommand(), newExpireCommand(), newVersionCommand())
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version.String())

			return err
		},
	}
}
