package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/caretaker-dev/caretaker/internal/plugin"
)

func newStatusCommand(c *connection) *cobra.Command {
	var output string

	cmd := &cobra.Command{
		Use:   "status CLUSTER",
		Short: "Show how a Cluster is, and what to do next",
		Long: "Shows how a Cluster is: who leads, how far the replicas are, what a commit waits for, the last failover, and\n" +
			"what to do next. Lag and disk use are asked of the instances themselves, which needs the right to exec in pods;\n" +
			"without it everything else is shown.",
		Example:           "  kubectl caretaker status shop -n web\n  kubectl caretaker status shop -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeCluster,
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "" && output != "json" && output != "yaml" {
				return fmt.Errorf("unknown output %q: json, yaml, or none for text", output)
			}

			kube, key, err := c.open(args[0])
			if err != nil {
				return err
			}

			view, err := plugin.Gather(cmd.Context(), kube, key, clock.RealClock{})
			if err != nil {
				return err
			}

			return write(cmd.OutOrStdout(), view, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml in place of text")

	return cmd
}

func write(out io.Writer, view plugin.View, format string) error {
	if format == "" {
		return plugin.WriteText(out, view, clock.RealClock{}.Now())
	}

	content, err := json.MarshalIndent(view, "", "  ")
	if err == nil && format == "yaml" {
		content, err = yaml.JSONToYAML(content)
	}

	if err != nil {
		return fmt.Errorf("encode the status: %w", err)
	}

	if format == "json" {
		content = append(content, '\n')
	}

	_, err = out.Write(content)

	return err //nolint:wrapcheck // standard output is closed; there is nothing to add
}
