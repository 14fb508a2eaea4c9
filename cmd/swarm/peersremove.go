package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/book"
)

func newPeersRemoveCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME|PEER",
		Aliases: []string{"rm"},
		Short:   "Forget a saved machine",
		Example: "  swarm peers remove rig-01",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return withBook(e, func(b *book.Book) error {
				m, err := b.Find(args[0])
				if errors.Is(err, book.ErrUnknown) {
					return fmt.Errorf("%w; see: swarm peers", err)
				}
				if err != nil {
					return err
				}
				if err := b.Remove(m.Peer); err != nil {
					return err
				}
				return printChange(e, "removed", m)
			})
		},
	}
}
