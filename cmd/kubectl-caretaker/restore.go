package main

import (
	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/plugin"
)

func newRestoreCommand(c *connection) *cobra.Command {
	var (
		restoration   = plugin.Restoration{Clock: clock.RealClock{}}
		inPlace, undo bool
		isSure        bool
		setAside      string
	)

	cmd := &cobra.Command{
		Use:   "restore BACKUP --to-cluster NAME | BACKUP --in-place | --undo CLUSTER",
		Short: "Restore a Backup, as of its end or of any later time, into a new Cluster or in place",
		Long: "Makes a new Cluster, with the settings of the one that the Backup is of, and recovers it to the end of the archive or to\n" +
			"a time. The old Cluster is not touched; if it is gone, what the Backup knows of it must do. With --dry-run it prints the\n" +
			"manifest, for you to change and to apply.\n" +
			"With --in-place the Cluster itself is stopped and recovered, under its own name. Its volumes are set aside, and --undo\n" +
			"takes them into use again.",
		Example: "  kubectl caretaker restore shop-20260301010000 --to-cluster shop-restored -n web\n" +
			"  kubectl caretaker restore shop-20260301010000 --to-cluster shop-restored --target-time '2026-03-01 14:30:00' --dry-run\n" +
			"  kubectl caretaker restore shop-20260301010000 --in-place --target-time '2026-03-01 14:30:00'\n" +
			"  kubectl caretaker restore --undo shop",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeBackup,
		RunE: func(cmd *cobra.Command, args []string) error {
			kube, key, err := c.open(args[0])
			if err != nil {
				return err
			}

			restoration.API, restoration.Backup, restoration.Out = kube, key, cmd.OutOrStdout()
			here := plugin.InPlace{API: kube, Clock: restoration.Clock, In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Yes: isSure}

			switch {
			case undo:
				return here.Undo(cmd.Context(), key, setAside)
			case inPlace:
				return here.Recover(cmd.Context(), key, restoration.TargetTime)
			default:
				return restoration.Run(cmd.Context())
			}
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&restoration.Cluster, "to-cluster", "", "the new Cluster's `name`")
	flags.StringVar(&restoration.Server, "server-name", "", "the `folder` that the new Cluster archives to; its name if empty")
	flags.StringVar(&restoration.TargetTime, "target-time", "", "the `time` to recover to, UTC unless it names a zone; the end of the archive if empty")
	flags.StringVar(&restoration.Storage, "storage", "", "the `size` of each volume, where not as before")
	flags.Int32Var(&restoration.Instances, "instances", 0, "the `number` of instances, where not as before")
	flags.StringVar(&restoration.Image, "image", "", "the `image` of PostgreSQL, where not as before; of the same major version")
	flags.BoolVar(&restoration.DryRun, "dry-run", false, "print the manifest, and make nothing")
	flags.BoolVar(&inPlace, "in-place", false, "stop the Cluster that the Backup is of, and recover it under its own name")
	flags.BoolVar(&undo, "undo", false, "take the volumes that a recovery in place of this Cluster set aside into use again")
	flags.StringVar(&setAside, "set-aside", "", "with --undo: the `ID` of the recovery whose volumes to take; those of the last one if empty")
	flags.BoolVar(&isSure, "yes", false, "with --in-place and --undo: do not ask")
	excludeFlags(cmd)

	return cmd
}

// excludeFlags: of the three ways to restore, each has flags that mean nothing to the others.
func excludeFlags(cmd *cobra.Command) {
	cmd.MarkFlagsOneRequired("to-cluster", "in-place", "undo")
	cmd.MarkFlagsMutuallyExclusive("to-cluster", "in-place", "undo")

	for _, flag := range []string{"storage", "instances", "image", "server-name", "dry-run"} {
		cmd.MarkFlagsMutuallyExclusive("in-place", flag)
		cmd.MarkFlagsMutuallyExclusive("undo", flag)
	}

	cmd.MarkFlagsMutuallyExclusive("undo", "target-time")
	cmd.MarkFlagsMutuallyExclusive("set-aside", "in-place")
	cmd.MarkFlagsMutuallyExclusive("set-aside", "to-cluster")
}
