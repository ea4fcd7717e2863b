package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Root is a program's root command, which has subcommands only.
func Root(use, short string, subcommands ...*cobra.Command) *cobra.Command {
	root := &cobra.Command{Use: use, Short: short, SilenceUsage: true, SilenceErrors: true}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(subcommands...)

	return root
}

// Run executes a program until it ends, or is told to by SIGINT or SIGTERM, and returns its exit code. An error is printed
// after the prefix.
func Run(root *cobra.Command, prefix string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(root.ErrOrStderr(), prefix+":", err)

		return 1
	}

	return 0
}
