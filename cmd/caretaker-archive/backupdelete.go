package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
)

// newBackupDeleteCommand deletes one backup, if nothing counts on it and it is not the last.
func newBackupDeleteCommand() *cobra.Command {
	f := &workFlags{}
	cmd := &cobra.Command{
		Use:   "delete BACKUP",
		Short: "Delete one backup, unless others are incremental to it, or it is the last one that is complete",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			archive, err := f.open(cmd.Context())
			if err != nil {
				return err
			}

			found, err := basebackup.List(cmd.Context(), archive.Store())
			if err != nil {
				return err
			}

			exists, err := mayDelete(found, args[0])
			if err != nil {
				return err
			}

			if exists {
				if err := basebackup.Delete(cmd.Context(), archive.Store(), args[0]); err != nil {
					return err
				}
			}

			return f.result(cmd.OutOrStdout(), map[string]string{"deleted": args[0]}, "deleted "+args[0])
		},
	}
	f.add(cmd)

	return cmd
}

func mayDelete(found []basebackup.Backup, id string) (exists bool, err error) {
	others := 0

	for _, b := range found {
		switch {
		case b.ID == id:
			exists = true
		case b.Manifest == nil:
		case b.Manifest.Parent == id:
			return false, fmt.Errorf("backup %s is incremental to %s; delete it first", b.ID, id)
		default:
			others++
		}
	}

	if exists && others == 0 {
		return false, fmt.Errorf("backup %s is the last one that is complete; take another before, or delete the archive's folder by hand", id)
	}

	return exists, nil
}
