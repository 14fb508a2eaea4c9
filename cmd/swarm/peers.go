package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
)

func newPeersCommand(e *env) *cobra.Command {
	var (
		r   reach
		try time.Duration
	)
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "Show the machines this controller knows, and how it stands with them",
		Long: `Show the machines this controller knows, by the names you gave them, and how the controller that
serves here ("swarm controller serve") is connected with each: the state and since when, the path (LAN,
direct or by a relay), the round trip and the version. If none serves, the address book is shown; with
--try the machines are dialled first.

The name that a machine claims is shown in quotes; only your names choose targets.`,
		Example: `  swarm peers
  swarm peers --try 3s
  swarm peers add /ip4/192.0.2.7/tcp/4747/p2p/12D3KooW… --name rig-01 --label gpu=3080
  swarm peers remove rig-01`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return peers(cmd.Context(), e, r, try) },
	}
	r.flags(cmd.Flags())
	cmd.Flags().DurationVar(&try, "try", 0, "dial each machine from here, for this long at most")
	cmd.AddCommand(newPeersAddCommand(e), newPeersRemoveCommand(e))
	return cmd
}

// peers shows the machines as the long-lived controller sees them, as a try of our own shows, or as
// they are saved.
func peers(ctx context.Context, e *env, r reach, try time.Duration) (err error) {
	if try > 0 || len(r.bootstrap) > 0 {
		c, err := r.controller(e)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		lines, err := c.Peers(ctx, max(try, time.Second))
		if err != nil {
			return err
		}
		return listPeers(e, lines)
	}
	if remote, ok := e.serving(ctx); ok {
		defer remote.Close()
		lines, err := remote.Peers(ctx, 0)
		if err != nil {
			return err
		}
		return listPeers(e, lines)
	}
	return withBook(e, func(b *book.Book) error {
		return listPeers(e, agent.SavedPeers(b))
	})
}

// withBook opens the controller's address book.
func withBook(e *env, do func(*book.Book) error) error {
	dir, err := e.stateDir(agent.RoleController)
	if err != nil {
		return err
	}
	book, err := book.Open(book.Dir(dir), e.log)
	if err != nil {
		return err
	}
	return do(book)
}

func listPeers(e *env, lines []agent.PeerLine) error {
	if e.JSON {
		for _, l := range lines {
			if err := e.PrintJSON(l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(lines) == 0 {
		e.Stderr.Println("No machine is saved yet. Let one in: swarm invite NAME; or save one: swarm peers add MADDR " +
			"--name NAME")
		return nil
	}
	t := e.Stdout.Table("NAME", "CALLS ITSELF", "ROLE", "PEER", "LABELS", "STATE", "SINCE", "PATH", "RTT", "VERSION", "LAST SEEN", "ADDRESS")
	looked := false
	for _, l := range lines {
		looked = looked || l.State != ""
		addr := l.Addr
		if addr == "" && l.HasAddr() {
			addr = slices.Concat(l.Addrs, l.Announced)[0]
		}
		rtt := output.Unknown
		if l.RTTMs != nil {
			rtt = fmt.Sprintf("%.1f ms", *l.RTTMs)
		}
		t.Row(output.OrDash(l.Name), output.Quoted(l.ClaimedName), output.OrDash(l.Role), l.Peer, output.OrDash(output.Labels(l.Labels)),
			stateText(l), output.Since(l.Since), output.OrDash(pathText(l.Path, l.Relay)), rtt, output.OrDash(l.Version), lastSeen(l.LastSeen), output.OrDash(addr))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range lines {
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

// stateText is a machine's state, and that there are two of it.
func stateText(l agent.PeerLine) string {
	if l.Twin != "" {
		return output.OrDash(string(l.State)) + ", TWO"
	}
	return output.OrDash(string(l.State))
}

// pathText is a path in a word or two.
func pathText(p route.Path, relay string) string {
	if relay != "" {
		return "relay " + relay
	}
	return string(p)
}

func lastSeen(ms int64) string {
	if ms == 0 {
		return "never"
	}
	return output.Seconds(time.Since(time.UnixMilli(ms)).Seconds()) + " ago"
}
