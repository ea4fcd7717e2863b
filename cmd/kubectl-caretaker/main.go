// Command kubectl-caretaker is the kubectl plugin: `kubectl caretaker`.
package main

import (
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/caretaker-dev/caretaker/internal/command"
)

func main() {
	silenceLibraries()

	os.Exit(command.Run(newCommand(), "error"))
}

// silenceLibraries: what they have to say of streams that were given up is not for the user. klog's own output cannot be
// switched off, errors go to standard error all the same.
func silenceLibraries() { klog.SetLogger(logr.Discard()) }

func newCommand() *cobra.Command {
	root := command.Root("kubectl-caretaker", "Look after PostgreSQL Clusters of Caretaker, and restore dumps")
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl caretaker"}
	connection := newConnection(root.PersistentFlags())
	root.AddCommand(newStatusCommand(connection), newPromoteCommand(connection),
		newBackupCommand(connection), newRestoreCommand(connection), newRestoreDumpCommand(connection), command.Version("Print the version"))

	return root
}
