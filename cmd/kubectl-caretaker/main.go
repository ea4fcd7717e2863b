// Command kubectl-caretaker is the kubectl plugin: `kubectl caretaker`.
package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/caretaker-dev/caretaker/internal/command"
)

func main() {
	// What libraries have to say of streams that were given up is not for the user.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	os.Exit(command.Run(newCommand(), "error"))
}

func newCommand() *cobra.Command {
	root := command.Root("kubectl-caretaker", "Look after PostgreSQL Clusters of Caretaker, and restore dumps")
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl caretaker"}
	connection := newConnection(root.PersistentFlags())
	root.AddCommand(newStatusCommand(connection), newPromoteCommand(connection),
		newBackupCommand(connection), newRestoreCommand(connection), newRestoreDumpCommand(connection), command.Version("Print the version"))

	return root
}
