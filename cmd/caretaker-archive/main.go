// Command caretaker-archive is all that talks to an object store: the archiver that PID 1 of a database pod keeps beside itself,
// backups and restores, and what is done with an archive by hand.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/command"
)

func main() { os.Exit(command.Run(newCommand(), "caretaker-archive")) }

func newCommand() *cobra.Command {
	return command.Root("caretaker-archive", "Backups, WAL and dumps in an object store",
		newArchiverCommand(), newWALPushCommand(), newWALFetchCommand(), newWALListCommand(),
		newBackupCommand(), newBackupsCommand(), newRestoreCommand(), newVerifyCommand(), newExpireCommand(), newCopyCommand(),
		newDumpCommand(), newDumpsCommand(), newDumpRestoreCommand(), newDumpScratchCommand(),
		command.Version("Say which build this is"))
}
