package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/archive/wal"
	"github.com/caretaker-dev/caretaker/internal/instance/logging"
)

// newArchiverCommand moves WAL between PostgreSQL and an archive for as long as it runs; caretaker-wal talks to it.
func newArchiverCommand() *cobra.Command {
	file := ""
	cmd := &cobra.Command{
		Use:   "archiver",
		Short: "Archive WAL, and fetch it, for the PostgreSQL that runs on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := wal.ReadConfig(file)
			if err != nil {
				return err
			}

			log := logging.New(os.Stdout, slog.LevelInfo, logging.Identity{})

			archiver, err := wal.New(cmd.Context(), config, realClock(), log)
			if err != nil {
				return err
			}

			return archiver.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "a JSON `file` with the archiver's settings (required)")
	// The flag was just defined.
	_ = cmd.MarkFlagRequired("config")

	return cmd
}
