package main

import (
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/plugin"
)

func newRestoreDumpCommand(c *connection) *cobra.Command {
	restoration := plugin.DumpRestoration{Clock: clock.RealClock{}}

	cmd := &cobra.Command{
		Use:   "restore-dump BACKUP [-- ARGUMENT…]",
		Short: "Load a dump of a Backup of backup.caretaker.dev into a database",
		Long: "Loads a dump into a database, with a Job from the image that took it: the server that it was taken of, or another one\n" +
			"whose Secret you name. All of the dump is checked first. Nothing that is there is replaced: a table of the same name\n" +
			"ends the restore. Arguments after -- go to pg_restore, mysql or mongorestore. A whole Cluster is restored by\n" +
			"kubectl caretaker restore.",
		Example: "  kubectl caretaker restore-dump nightly --to-database copy -n shop\n" +
			"  kubectl caretaker restore-dump nightly --dump 20261128T020000Z-k3x9qa --to-secret staging-app -- --no-owner",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kube, key, err := c.open(args[0])
			if err != nil {
				return err
			}

			restoration.API, restoration.Backup, restoration.Out = kube, key, cmd.OutOrStdout()
			restoration.Restore.Arguments = args[1:]

			return restoration.Run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&restoration.Restore.Dump, "dump", "latest", "the dump's `ID`")
	flags.StringVar(&restoration.Restore.Secret, "to-secret", "", "a Secret with username, password and host of another server, such as <cluster>-app")
	flags.StringVar(&restoration.Restore.Database, "to-database", "", "another database, which must exist")
	flags.StringVar(&restoration.Restore.IdentitySecret, "identity-secret", "", "a Secret with an age secret key under the key identity, for a dump that is encrypted")
	flags.BoolVar(&restoration.NoWait, "no-wait", false, "make the Job and do not follow it")
	flags.DurationVar(&restoration.Timeout, "timeout", time.Hour, "how long to follow it")

	return cmd
}
