package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/version"
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(command.OutOrStdout(), "caretaker %s (%s, %s/%s)\n", version.String(), runtime.Version(), runtime.GOOS, runtime.GOARCH)

			return err //nolint:wrapcheck // standard output is closed; there is nothing to add
		},
	}
}
