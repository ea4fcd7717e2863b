// Command caretaker-instance is PID 1 of a database pod, and its helpers.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
	"github.com/caretaker-dev/caretaker/internal/instance/install"
	"github.com/caretaker-dev/caretaker/internal/instance/watchdog"
	"github.com/caretaker-dev/caretaker/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "caretaker-instance:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to do but what stop does
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "caretaker-instance",
		Short:         "PID 1 of a database pod, and its helpers",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newInstanceCommand(), newInstallCommand(), newStatusCommand(), newWatchdogCommand(), newVersionCommand())

	return root
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

func newInstallCommand() *cobra.Command {
	var dir string

	cmd := &cobra.Command{
		Use:   "install",
		Short: "Copy this binary, and a passwd and a group file for the current user, into a folder",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find our own binary: %w", err)
			}

			return install.To(dir, self, install.User{UID: os.Getuid(), GID: os.Getgid()})
		},
	}
	cmd.Flags().StringVar(&dir, "to", "", "folder to install into (required)")
	// The flag was just defined.
	_ = cmd.MarkFlagRequired("to")

	return cmd
}
