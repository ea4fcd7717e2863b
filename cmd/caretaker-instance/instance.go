package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance"
	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
	"github.com/caretaker-dev/caretaker/internal/instance/install"
	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/logging"
	"github.com/caretaker-dev/caretaker/internal/instance/term"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgres"
	"github.com/caretaker-dev/caretaker/internal/version"
)

// watchdogCommand is the subcommand of PID 1's watchdog.
const watchdogCommand = "watchdog"

const (
	// memoryLimit is soft: the collector works harder near it. PID 1 shares the container's memory with PostgreSQL.
	memoryLimit = 24 << 20
	// gcPercent trades a little CPU for a small heap.
	gcPercent = 50
)

func newInstanceCommand() *cobra.Command {
	var isVerbose bool

	cmd := &cobra.Command{
		Use:   "instance",
		Short: "Be PID 1 of a database pod",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			debug.SetMemoryLimit(memoryLimit)
			debug.SetGCPercent(gcPercent)

			level := slog.LevelInfo
			if isVerbose {
				level = slog.LevelDebug
			}

			return runInstance(cmd.Context(), level)
		},
	}
	cmd.Flags().BoolVar(&isVerbose, "verbose", false, "log at debug level too")

	return cmd
}

func runInstance(ctx context.Context, level slog.Level) error {
	id, err := identity()
	if err != nil {
		return err
	}

	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("find the Kubernetes API: %w (the pod needs its service account's token mounted)", err)
	}

	kube, err := term.NewKube(config, id.Namespace, id.Cluster, id.Instance)
	if err != nil {
		return err
	}

	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own binary: %w", err)
	}

	output := logging.NewAsync(os.Stdout)
	defer output.Close()

	return instance.Run(ctx, instance.Options{
		Cluster: id.Cluster, Instance: id.Instance, PodUID: os.Getenv(instanceapi.EnvPodUID),
		BinaryVersion: version.String(), OSUser: osUser(),
		Path: os.Getenv("PATH"), Env: os.Environ(),
		Snapshot: os.Getenv(instanceapi.EnvSnapshot), Layout: layout.Default(), Clock: clock.RealClock{},
		Log: logging.New(output, level, id), ServerLog: logging.New(os.Stdout, level, id),
		Term: kube, Labels: kube, Terminations: kube, TerminationLog: corev1.TerminationMessagePathDefault,
		Peer: func(name string) (string, int) {
			return naming.InstanceHost(id.Cluster, name, id.Namespace), naming.PortPostgreSQL
		},
		PeerStatus: func(name string) string {
			return net.JoinHostPort(naming.InstanceHost(id.Cluster, name, id.Namespace), strconv.Itoa(naming.PortStatus))
		},
		Address:  ownAddress(os.Getenv(instanceapi.EnvPodIP)),
		Boottime: harunner.Boottime,
		Watchdog: []string{self, watchdogCommand},

		ArchiveProgram: filepath.Join(filepath.Dir(self), install.Archive),
		WALHelper:      filepath.Join(filepath.Dir(self), install.WALHelper),
	})
}

// ownAddress is where peers reach us without a name service; empty if it is not known.
func ownAddress(ip string) string {
	if ip == "" {
		return ""
	}

	return net.JoinHostPort(ip, strconv.Itoa(naming.PortStatus))
}

func identity() (logging.Identity, error) {
	id := logging.Identity{
		Cluster: os.Getenv(instanceapi.EnvCluster), Namespace: os.Getenv(instanceapi.EnvNamespace),
		Instance: os.Getenv(instanceapi.EnvPodName),
	}

	for name, value := range map[string]string{
		instanceapi.EnvCluster: id.Cluster, instanceapi.EnvNamespace: id.Namespace, instanceapi.EnvPodName: id.Instance,
		instanceapi.EnvPodUID: os.Getenv(instanceapi.EnvPodUID),
	} {
		if value == "" {
			return id, fmt.Errorf("the environment has no %s: this program is started by the operator's pods", name)
		}
	}

	return id, nil
}

// osUser is the name of our uid in /etc/passwd, which PostgreSQL's peer authentication goes by.
func osUser() string {
	current, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		return postgres.Superuser
	}

	return current.Username
}
