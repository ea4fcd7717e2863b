package main

import (
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/caretaker-dev/caretaker/internal/cluster"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/operator"
)

func newOperatorCommand() *cobra.Command {
	var options operator.Options

	command := &cobra.Command{
		Use:   "operator",
		Short: "Run the operator",
		Long: "Runs the operator: against the cluster that it runs in, or the one that KUBECONFIG names.\n" +
			"It stops on SIGTERM; databases go on without it.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := options.Validate(); err != nil {
				return fmt.Errorf("operator: %w", err)
			}

			logger, err := operator.NewLogger(command.ErrOrStderr(), options.LogLevel, options.LogFormat)
			if err != nil {
				return fmt.Errorf("operator: %w", err)
			}

			connection, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("operator: find a cluster to connect to (run in one, or set KUBECONFIG): %w", err)
			}

			clk := clock.RealClock{}

			return operator.Run(command.Context(), connection, options, clk, logger, controllers(options, clk))
		},
	}
	options.AddFlags(command.Flags())

	return command
}

// controllers is every controller of this operator.
func controllers(o operator.Options, clk clock.Clock) operator.Setup {
	return func(manager ctrl.Manager) error {
		err := cluster.SetupWithManager(manager, cluster.Options{
			DefaultImage:            o.DefaultPostgresImage,
			OperatorImage:           o.OperatorImage,
			OperatorImagePullPolicy: corev1.PullPolicy(o.OperatorImagePullPolicy),
			Clock:                   clk,
			Instances:               instanceclient.New(clk),
			Recorder:                manager.GetEventRecorder("caretaker"),
			Registerer:              metrics.Registry,
			MaxConcurrentReconciles: o.MaxConcurrentReconciles,
		})
		if err != nil {
			return fmt.Errorf("set up the Cluster controller: %w", err)
		}

		return nil
	}
}
