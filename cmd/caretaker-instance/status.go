package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/tlsfiles"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// newStatusCommand is what `kubectl caretaker status` runs in the pod: who may exec there may see it, and needs no
// certificate of their own.
func newStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Print what PID 1 says of this instance, as JSON",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printStatus(cmd.Context(), cmd.OutOrStdout(), layout.Default())
		},
	}
}

func printStatus(ctx context.Context, out io.Writer, l layout.Layout) error {
	paths := tlsfiles.New(l).Paths()
	ca, errCA := os.ReadFile(paths.ServerCA)
	cert, errCert := os.ReadFile(paths.ReplicaCert)
	key, errKey := os.ReadFile(paths.ReplicaKey)

	if err := errors.Join(errCA, errCert, errKey); err != nil {
		return fmt.Errorf("read the instance's certificates: %w", err)
	}

	status, err := instanceclient.New(clock.RealClock{}).Status(ctx, instanceclient.Target{
		Name: os.Getenv(instanceapi.EnvPodName), Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(naming.PortStatus)),
		ServerCA: ca, ClientCert: cert, ClientKey: key,
	})
	if err != nil {
		return fmt.Errorf("ask PID 1: %w", err)
	}

	if err := json.NewEncoder(out).Encode(status); err != nil {
		return fmt.Errorf("print the status: %w", err)
	}

	return nil
}
