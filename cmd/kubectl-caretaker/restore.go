package main

import (
	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/plugin"
)

func newRestoreCommand(c *connection) *cobra.Command {
	restoration := plugin.Restoration{Clock: clock.RealClock{}}

	cmd := &cobra.Command{
		Use:   "restore BACKUP --to-cluster NAME",
		Short: "Make a new Cluster of a Backup, as of its end or of any later time",
		Long: "Makes a new Cluster, with the settings of the one that the Backup is of, and recovers it to the end of the archive or to\n" +
			"a time. The old Cluster is not touched; if it is gone, what the Backup knows of it must do. With --dry-run it prints the manifest, for you to change and to apply.",
		Example: "  kubectl caretaker restore shop-20260301010000 --to-cluster shop-restored -n web\n" +
			"  kubectl caretaker restore shop-20260301010000 --to-cluster shop-restored --target-time '2026-03-01 14:30:00' --dry-run",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeBackup,
		RunE: func(cmd *cobra.Command, args []string) error {
			kube, key, err := c.open(args[0])
			if err != nil {
				return err
			}

			restoration.API, restoration.Backup, restoration.Out = kube, key, cmd.OutOrStdout()

			return restoration.Run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&restoration.Cluster, "to-cluster", "", "the new Cluster's `name` (required)")
	flags.StringVar(&restoration.TargetTime, "target-time", "", "the `time` to recover to, UTC unless it names a zone; the end of the archive if empty")
	flags.StringVar(&restoration.Storage, "storage", "", "the `size` of each volume, where not as before")
	flags.Int32Var(&restoration.Instances, "instances", 0, "the `number` of instances, where not as before")
	flags.StringVar(&restoration.Image, "image", "", "the `image` of PostgreSQL, where not as before; of the same major version")
	flags.BoolVar(&restoration.DryRun, "dry-run", false, "print the manifest, and make nothing")
	// The flag was just defined.
	_ = cmd.MarkFlagRequired("to-cluster")

	return cmd
}
