package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/logging"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/mysqld"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// newMySQLCommand is PID 1 of a MySQL pod.
func newMySQLCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "mysql",
		Short: "Be PID 1 of a MySQL pod",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			debug.SetMemoryLimit(memoryLimit)
			debug.SetGCPercent(gcPercent)

			return runMySQL(cmd.Context())
		},
	}
}

func runMySQL(ctx context.Context) error {
	id, err := identity()
	if err != nil {
		return err
	}

	ordinal, ok := naming.Ordinal(id.Cluster, id.Instance)
	if !ok {
		return fmt.Errorf("the pod %s is none of %s", id.Instance, id.Cluster)
	}

	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("find the Kubernetes API: %w (the pod needs its service account's token mounted)", err)
	}

	pods, err := mysqld.NewKube(config, id.Namespace, id.Instance)
	if err != nil {
		return err
	}

	// Not set where the container has no limit.
	memory, _ := strconv.ParseInt(os.Getenv(instanceapi.EnvMemoryLimit), 10, 64)
	host := func(name string) string { return naming.InstanceHost(id.Cluster, name, id.Namespace) }

	var peers []string
	for i := range naming.MaxMySQLMembers {
		peers = append(peers, naming.Instance(id.Cluster, i))
	}

	return mysqld.Run(ctx, mysqld.Options{
		Settings: mysqld.Settings{
			Instance: id.Instance, Ordinal: ordinal, Host: host(id.Instance),
			Group: os.Getenv(instanceapi.EnvMySQLGroup), MemoryLimit: memory,
		},
		Peers: peers, Host: host, Pods: pods, Clock: clock.RealClock{},
		Log:          logging.New(os.Stdout, slog.LevelInfo, id),
		ProbeAddress: fmt.Sprintf(":%d", naming.PortStatus),
	})
}
