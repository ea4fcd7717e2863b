package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/caretaker-dev/caretaker/internal/operator"
)

func newCheckCommand() *cobra.Command {
	var (
		url     string
		timeout time.Duration
	)

	command := &cobra.Command{
		Use:   "check",
		Short: "Check an installation: the kinds are served, the operator is ready",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(command.Context(), timeout)
			defer cancel()

			if err := checkKinds(ctx); err != nil {
				return fmt.Errorf("check: %w", err)
			}

			command.Println("the API server serves Caretaker's kinds")

			if err := checkReady(ctx, url); err != nil {
				return fmt.Errorf("check: %w", err)
			}

			command.Println("the operator is ready")

			return nil
		},
	}
	command.Flags().StringVar(&url, "url", "http://localhost:8081/readyz", "the operator's readiness")
	command.Flags().DurationVar(&timeout, "timeout", 20*time.Second, "how long all of it may take")

	return command
}

func checkKinds(ctx context.Context) error {
	connection, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find a cluster to connect to (run in one, or set KUBECONFIG): %w", err)
	}

	kinds, err := operator.NewKinds(connection)
	if err != nil {
		return err
	}

	return kinds.Served(ctx)
}

func checkReady(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("no operator answers; look at its pods: %w", err)
	}
	defer func() { _ = response.Body.Close() }()

	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}

	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the operator is not ready (%s): %s", response.Status, strings.TrimSpace(string(body)))
	}

	return nil
}
