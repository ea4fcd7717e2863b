package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/version"
)

// Root is a program's root command, which has subcommands only.
func Root(use, short string, subcommands ...*cobra.Command) *cobra.Command {
	root := &cobra.Command{Use: use, Short: short, SilenceUsage: true, SilenceErrors: true}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(subcommands...)

	return root
}

// Version is the subcommand that prints which build this is.
func Version(short string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version.String())

			return err
		},
	}
}

// CodedError ends the program with a code of its own, where whoever started it goes by that.
type CodedError struct {
	error

	// Code to exit with.
	Code int
}

// WithCode gives an error the code that the program ends with.
func WithCode(err error, code int) CodedError { return CodedError{error: err, Code: code} }

// Unwrap gives what went wrong.
func (e CodedError) Unwrap() error { return e.error }

func exitCode(err error) int {
	if coded := (CodedError{}); errors.As(err, &coded) {
		return coded.Code
	}

	return 1
}

// Run executes a program until it ends, or is told to by SIGINT or SIGTERM, and returns its exit code. An error is printed
// after the prefix.
func Run(root *cobra.Command, prefix string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(root.ErrOrStderr(), prefix+":", err)

		return exitCode(err)
	}

	return 0
}
