package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance"
	"github.com/caretaker-dev/caretaker/internal/instance/install"
	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/logging"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/version"
)

// newDrillCommand is what a throw-away instance runs.
func newDrillCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "drill",
		Short:  "Restore a backup on a throw-away volume, and check what comes out",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var in instanceapi.Drill
			if err := json.Unmarshal([]byte(os.Getenv(instanceapi.EnvDrill)), &in); err != nil {
				return fmt.Errorf("read %s: %w: this command is started by the operator's pods", instanceapi.EnvDrill, err)
			}

			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find our own binary: %w", err)
			}

			log := logging.New(os.Stdout, slog.LevelInfo, logging.Identity{Cluster: in.Recovery.Archive.Server})

			return instance.Drill(cmd.Context(), instance.Options{
				BinaryVersion: version.String(), OSUser: osUser(), Path: os.Getenv("PATH"), Env: os.Environ(),
				Layout: layout.Default(), Clock: clock.RealClock{}, Log: log, ServerLog: log,
				TerminationLog: corev1.TerminationMessagePathDefault,
				ArchiveProgram: filepath.Join(filepath.Dir(self), install.Archive),
				WALHelper:      filepath.Join(filepath.Dir(self), install.WALHelper),
			}, in)
		},
	}
}
