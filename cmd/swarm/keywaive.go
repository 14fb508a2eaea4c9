package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

func newKeyWaiveCommand(e *env) *cobra.Command {
	s := signing.New(e)
	cmd := &cobra.Command{
		Use:   "waive NAME|PEER",
		Short: "Let a machine obey again whose memory of revocations was damaged",
		Long: `Let a machine obey again after its memory of revocations was damaged. Such a machine obeys nobody
until the statements that it lost are back; any member that has them brings them at the next contact.
This command is for statements that nobody has any more: a revocation that was known only there no
longer counts on that machine.`,
		Example: "  swarm key waive rig-03",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.UseRoot = true
			adm, err := s.Admin()
			if err != nil {
				return err
			}
			return waive(cmd.Context(), &s, adm, args[0])
		},
	}
	s.Flags(cmd.Flags())
	return cmd
}

func waive(ctx context.Context, s *signing.Signer, adm *admin.Admin, word string) (err error) {
	m, err := adm.Find(word)
	if err != nil {
		return err
	}
	c, err := s.Reach.Controller(s.Env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := c.Node.BringUpToDate(ctx, m.Peer); err != nil {
		return &console.Exit{Code: console.ExitUnreachable, Err: fmt.Errorf("%s has to be reached to tell what it has lost: %w",
			m.Grant.Name, err)}
	}
	missing, err := c.Node.Missing(ctx, m.Peer)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if err := adm.Waive(m.Peer, missing); err != nil {
			return err
		}
		news := agent.News{To: []peer.ID{m.Peer}, TimeoutMs: s.Timeout.Milliseconds()}
		if err := c.Deliver(ctx, news, func(agent.Delivery) {}); err != nil {
			return err
		}
		if left, err := c.Node.Missing(ctx, m.Peer); err != nil || len(left) > 0 {
			return errors.Join(err, fmt.Errorf("%s lacks %d statements all the same", m.Grant.Name, len(left)))
		}
	}
	return s.Print(signing.Change{Event: "waived", Peer: m.Peer, Name: m.Grant.Name}, func() error {
		_, err := s.Stdout.Printf("%s lacks nothing any more (%d statements were waived).\n", m.Grant.Name, len(missing))
		return err
	})
}
