package main

import (
	"github.com/spf13/cobra"
)

func newKeyCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "key",
		Short:   "Back up the fleet's root key on paper, and restore it",
		Example: "  swarm key backup > sheet.txt\n  swarm key restore sheet.txt",
		Args:    noArgs,
		RunE:    help,
	}
	cmd.AddCommand(newKeyBackupCommand(e), newKeyRestoreCommand(e), newKeyWaiveCommand(e))
	return cmd
}
