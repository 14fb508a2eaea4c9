package main

import "github.com/spf13/cobra"

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
			adm, err := (&signing{env: e, useRoot: true, root: root}).admin()
			if err != nil {
				return err
			}
			sheet, err := adm.Sheet()
			if err != nil {
				return err
			}
			if err := adm.NoteSheet(sheet); err != nil {
				e.log.Warn("that a sheet was printed could not be noted", "err", err)
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
