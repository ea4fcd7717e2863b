package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/plugin"
)

func newPromoteCommand(c *connection) *cobra.Command {
	promotion := plugin.Promotion{Clock: clock.RealClock{}}

	cmd := &cobra.Command{
		Use:   "promote CLUSTER MEMBER",
		Short: "Make a replica the primary, without losing anything",
		Long: "Makes a replica the primary: an orderly switchover, in which the old primary stops, the new one proves that it\n" +
			"has everything, and clients reconnect within seconds. It tells what happens, and ends when the old primary\n" +
			"follows the new one. When it is interrupted, the switchover goes on.",
		Example:           "  kubectl caretaker promote shop shop-1 -n web",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: c.completeReplica,
		RunE: func(cmd *cobra.Command, args []string) error {
			kube, key, err := c.open(args[0])
			if err != nil {
				return err
			}

			promotion.API, promotion.Cluster, promotion.Member = kube, key, args[1]
			promotion.Out = cmd.OutOrStdout()
			promotion.Nonce = strconv.FormatInt(promotion.Clock.Now().UnixMilli(), 36)

			return promotion.Run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&promotion.NoWait, "no-wait", false, "ask for it and do not follow it")
	cmd.Flags().DurationVar(&promotion.Timeout, "timeout", 2*time.Minute, "how long to follow it")

	return cmd
}
