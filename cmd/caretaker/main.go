// Command caretaker is the operator.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/command"
)

func main() { os.Exit(command.Run(newCommand(), "caretaker")) }

func newCommand() *cobra.Command {
	return command.Root("caretaker", "Looks after PostgreSQL on Kubernetes", newOperatorCommand(), newCheckCommand(), newVersionCommand())
}
