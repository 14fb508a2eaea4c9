package main

import (
	"errors"
	"fmt"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

func newKeyBackupCommand(e *env) *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Print a sheet from which the fleet can be restored on a new computer",
		Long: `Print a sheet from which the fleet can be restored on a new computer if this one is lost: the root
key, and the addresses of some machines. Anyone who reads the sheet owns the fleet: print it, keep it
like cash, and delete the file.`,
		Example: "  swarm key backup | lpr",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			adm, err := (&signing.Signer{Env: e, UseRoot: true, Root: root}).Admin()
			if errors.Is(err, trust.ErrNoFleet) {
				return fmt.Errorf("%w; the fleet of a root key that you have: swarm init --root FILE", err)
			}
			if err != nil {
				return err
			}
			sheet, err := adm.Sheet()
			if err != nil {
				return err
			}
			if err := adm.NoteSheet(sheet); err != nil {
				e.Log.Warn("that a sheet was printed could not be noted", "err", err)
			}
			text := struct {
				Event string `json:"event"`
				Sheet string `json:"sheet"`
			}{"backup", sheet.Text("swarm key restore FILE")}
			return e.Print(text, func() error {
				return e.Stdout.Block("", text.Sheet)
			})
		},
	}
	cmd.Flags().StringVar(&root, "root", "", "`FILE` of the root key (default: root.key in the state directory)")
	return cmd
}
