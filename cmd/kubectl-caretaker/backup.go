package main

import (
	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/plugin"
)

func newBackupCommand(c *connection) *cobra.Command {
	taking := plugin.Taking{Clock: clock.RealClock{}}
	method, target := "", ""

	cmd := &cobra.Command{
		Use:   "backup CLUSTER",
		Short: "Back a Cluster up, and tell how it goes",
		Long: "Makes a Backup of a Cluster and tells how it goes, until all of it has been read back from the store. It ends with\n" +
			"status 1, and says why, if there is no backup then that can be restored. When it is interrupted, the backup goes on.",
		Example:           "  kubectl caretaker backup shop -n web\n  kubectl caretaker backup shop --name before-upgrade --wait=false",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeCluster,
		RunE: func(cmd *cobra.Command, args []string) error {
			kube, key, err := c.open(args[0])
			if err != nil {
				return err
			}

			taking.API, taking.Cluster, taking.Out = kube, key, cmd.OutOrStdout()
			taking.Spec.Method, taking.Spec.Target = v1.BackupMethod(method), v1.BackupTarget(target)

			return taking.Run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&taking.Name, "name", "", "the Backup's name; the Cluster's and the time if empty")
	flags.StringVar(&method, "method", "", "objectStore (the default), barmanObjectStore or volumeSnapshot")
	flags.StringVar(&target, "target", "", "prefer-standby or primary, in place of the Cluster's spec.backup.target")
	flags.BoolVar(&taking.Wait, "wait", true, "follow it to its end")
	flags.DurationVar(&taking.Timeout, "timeout", 0, "how long to follow it; as long as it takes if 0")

	return cmd
}
