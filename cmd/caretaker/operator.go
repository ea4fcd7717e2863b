package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/caretaker-dev/caretaker/internal/controllers"
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

			return operator.Run(command.Context(), connection, options, clk, logger, controllers.All(options, clk))
		},
	}
	options.AddFlags(command.Flags())

	return command
}
