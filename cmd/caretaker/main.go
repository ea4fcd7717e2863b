// Command caretaker is the operator.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "caretaker:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to do but what stop does
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "caretaker",
		Short:         "Looks after PostgreSQL on Kubernetes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newOperatorCommand(), newCheckCommand(), newVersionCommand())

	return root
}
