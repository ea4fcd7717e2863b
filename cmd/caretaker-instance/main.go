// Command caretaker-instance is PID 1 of a database pod, and its helpers.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/command"
	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
	"github.com/caretaker-dev/caretaker/internal/instance/install"
	"github.com/caretaker-dev/caretaker/internal/instance/watchdog"
)

func main() { os.Exit(command.Run(newCommand(), "caretaker-instance")) }

func newCommand() *cobra.Command {
	return command.Root("caretaker-instance", "PID 1 of a database pod, and its helpers",
		newInstanceCommand(), newMySQLCommand(), newInstallCommand(), newStatusCommand(), newWatchdogCommand(), newDrillCommand(), command.Version("Say which build this is"))
}

// newWatchdogCommand is what PID 1 starts beside itself; nobody else has a use for it.
func newWatchdogCommand() *cobra.Command {
	return &cobra.Command{
		Use:    watchdogCommand,
		Short:  "Kill PostgreSQL when PID 1 does not put the deadline off",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return watchdog.Run(clock.RealClock{}, harunner.Boottime)
		},
	}
}

func newInstallCommand() *cobra.Command {
	var (
		dir       string
		noArchive bool
	)

	cmd := &cobra.Command{
		Use:   "install",
		Short: "Copy the programs of a database pod, and a passwd and a group file for the current user, into a folder",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find our own binary: %w", err)
			}

			others := []string{install.Archive, install.WALHelper}
			if noArchive {
				others = nil
			}

			return install.To(dir, self, install.User{UID: os.Getuid(), GID: os.Getgid()}, others...)
		},
	}
	cmd.Flags().StringVar(&dir, "to", "", "folder to install into (required)")
	cmd.Flags().BoolVar(&noArchive, "without-archive", false, "leave out the programs for an archive, which MySQL has none of")
	// The flag was just defined.
	_ = cmd.MarkFlagRequired("to")

	return cmd
}
