package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/lines"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/internal/span"
)

func newPeersCommand(e *env) *cobra.Command {
	var (
		r    connect.Reach
		try  time.Duration
		on   string
		wide bool
	)
	cmd := &cobra.Command{
		Use:        "peers",
		SuggestFor: []string{"ls", "list", "ps", "nodes"},
		Short:      "Show the machines, and how it stands with them",
		Long: `Show the machines this controller knows, by the names you gave them, and how the controller that
serves here ("swarm controller serve") is connected with each: the state and since when, the path (LAN,
direct or by a relay) and the round trip; further columns where the terminal has room, or with --wide. If
none serves, the address book is shown; with --try the machines are dialled first.

The name that a machine claims is shown in quotes; only your names choose targets.`,
		Example: `  swarm peers
  swarm peers --try 3s
  swarm peers --on gpu
  swarm peers add /ip4/192.0.2.7/tcp/4747/p2p/12D3KooW… --name rig-01 --label gpu=3080
  swarm peers remove rig-01`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return peers(cmd.Context(), e, r, try, listing{on, wide}) },
	}
	connect.OnFlag(cmd.Flags(), &on)
	r.Flags(cmd.Flags())
	span.Var(cmd.Flags(), &try, "try", 0, "dial each machine from here, for this long at most")
	cmd.Flags().BoolVar(&wide, "wide", false, "all columns, however narrow the terminal is")
	cmd.AddCommand(newPeersAddCommand(e), newPeersRemoveCommand(e))
	return cmd
}

// peers shows the machines as the long-lived controller sees them, as a try of our own shows, or as
// they are saved.
func peers(ctx context.Context, e *env, r connect.Reach, try time.Duration, show listing) (err error) {
	if try > 0 || len(r.Bootstrap) > 0 {
		c, err := r.Controller(e)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		lines, err := c.Peers(ctx, max(try, time.Second))
		if err != nil {
			return err
		}
		return show.peers(e, lines)
	}
	if remote, ok := e.Serving(ctx); ok {
		defer remote.Close()
		lines, err := remote.Peers(ctx, 0)
		if err != nil {
			return err
		}
		return show.peers(e, lines)
	}
	return withBook(e, func(b *book.Book) error {
		return show.peers(e, agent.SavedPeers(b))
	})
}

// withBook opens the controller's address book.
func withBook(e *env, do func(*book.Book) error) error {
	dir, err := e.StateDir(agent.RoleController)
	if err != nil {
		return err
	}
	book, err := book.Open(book.Dir(dir), e.Log)
	if err != nil {
		return err
	}
	return do(book)
}

// listing is which machines are shown, and with which columns.
type listing struct {
	on   string
	wide bool
}

func (l listing) peers(e *env, lines []agent.PeerLine) error {
	lines, err := connect.Fitting(l.on, lines, func(p agent.PeerLine) map[string]string { return p.Labels })
	if err != nil {
		return err
	}
	return listPeers(e, lines, l.wide)
}

func listPeers(e *env, peers []agent.PeerLine, wide bool) error {
	if e.JSON {
		for _, l := range peers {
			if err := e.PrintJSON(lines.NewPeer(l)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(peers) == 0 {
		e.Stderr.Println("No machine is saved yet. Let one in: swarm invite NAME; or save one: swarm peers add MADDR " +
			"--name NAME")
		return nil
	}
	if err := results.Peers(e.Stdout, wide, peers); err != nil {
		return err
	}
	looked := slices.ContainsFunc(peers, func(l agent.PeerLine) bool { return l.State != "" })
	for _, l := range peers {
		if l.Twin != "" {
			if _, err := e.Stderr.Printf("WARNING: %s: %s\n",
				output.OrDash(cmp.Or(l.Name, l.Peer.String())), l.Twin); err != nil {
				return err
			}
		}
	}
	if looked {
		return nil
	}
	_, err := e.Stderr.Println("Nobody looks after them now. For their state: swarm controller serve, or swarm " +
		"peers --try 3s")
	return err
}
