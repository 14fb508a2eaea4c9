package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/control"
)

func (a *app) peersCommand() *cobra.Command {
	var (
		r   reach
		try time.Duration
	)
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "Show the machines this controller knows, and how it stands with them",
		Long: `Show the machines this controller knows, by the names you gave them, and how the
controller that serves here ("swarm controller serve") stands with each: its state and
since when, the path (LAN, direct, or by way of a relay), the round trip and the version.
Where none serves the address book is shown; with --try the machines are dialled first.

What a machine calls itself is shown in quotes; only your names are used to choose targets.`,
		Example: `  swarm peers
  swarm peers --try 3s
  swarm peers add /ip4/192.0.2.7/tcp/4747/p2p/12D3KooW… --name rig-01 --label gpu=3080
  swarm peers remove rig-01`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.peers(cmd.Context(), r, try) },
	}
	r.flags(cmd)
	cmd.Flags().DurationVar(&try, "try", 0, "dial each machine from here, for this long at most")
	cmd.AddCommand(a.peersAddCommand(), a.peersRemoveCommand())
	return cmd
}

// peers shows the machines as the long-lived controller sees them, as a try of our own shows, or as they are saved.
func (a *app) peers(ctx context.Context, r reach, try time.Duration) (err error) {
	dir, err := a.stateDir(agent.RoleController)
	if err != nil {
		return err
	}
	if try > 0 || len(r.bootstrap) > 0 {
		c, err := a.controller(r, false)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		lines, err := c.Peers(ctx, max(try, time.Second))
		if err != nil {
			return err
		}
		return a.listPeers(lines)
	}
	if remote, ok := control.Dial(ctx, dir); ok {
		defer remote.Close()
		lines, err := remote.Peers(ctx, 0)
		if err != nil {
			return err
		}
		return a.listPeers(lines)
	}
	return a.withBook(func(b *host.Book) error {
		return a.listPeers(agent.SavedPeers(b))
	})
}

// withBook opens the controller's address book.
func (a *app) withBook(do func(*host.Book) error) error {
	dir, err := a.stateDir(agent.RoleController)
	if err != nil {
		return err
	}
	book, err := host.OpenBook(host.BookDir(dir), a.log)
	if err != nil {
		return err
	}
	return do(book)
}

func (a *app) listPeers(lines []agent.PeerLine) error {
	if a.json {
		for _, l := range lines {
			if err := a.printJSON(l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(lines) == 0 {
		a.stderr.println("No machine is saved yet. Let one in: swarm invite NAME; or save one: swarm peers add MADDR --name NAME")
		return nil
	}
	t := a.stdout.table("NAME", "CALLS ITSELF", "ROLE", "PEER", "LABELS", "STATE", "SINCE", "PATH", "RTT", "VERSION", "LAST SEEN", "ADDRESS")
	looked := false
	for _, l := range lines {
		looked = looked || l.State != ""
		addr := l.Addr
		if addr == "" && l.HasAddr() {
			addr = slices.Concat(l.Addrs, l.Told)[0]
		}
		rtt := unknown
		if l.RTTMs != nil {
			rtt = fmt.Sprintf("%.1f ms", *l.RTTMs)
		}
		t.row(orDash(l.Name), quoted(l.ClaimedName), orDash(l.Role), l.Peer, orDash(labels(l.Labels)),
			stateText(l), since(l.Since), orDash(pathText(l.Path, l.Relay)), rtt, orDash(l.Version), lastSeen(l.LastSeen), orDash(addr))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, l := range lines {
		if l.Twin != "" {
			if _, err := a.stderr.printf("WARNING: %s: %s\n", orDash(cmp.Or(l.Name, l.Peer.String())), l.Twin); err != nil {
				return err
			}
		}
	}
	if looked {
		return nil
	}
	_, err := a.stderr.println("Nobody looks after them now. For their state: swarm controller serve, or swarm peers --try 3s")
	return err
}

// stateText is a machine's state, and that there are two of it.
func stateText(l agent.PeerLine) string {
	if l.Twin != "" {
		return orDash(string(l.State)) + ", TWO"
	}
	return orDash(string(l.State))
}

// pathText is a path in a word or two.
func pathText(p host.Path, relay string) string {
	if relay != "" {
		return "relay " + relay
	}
	return string(p)
}

// since is how long ago something began.
func since(ms int64) string {
	if ms <= 0 {
		return unknown
	}
	return seconds(time.Since(time.UnixMilli(ms)).Seconds())
}

func orDash(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

func quoted(s string) string {
	if s == "" {
		return unknown
	}
	return fmt.Sprintf("%q", s)
}

func labels(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

func lastSeen(ms int64) string {
	if ms == 0 {
		return "never"
	}
	return seconds(time.Since(time.UnixMilli(ms)).Seconds()) + " ago"
}

func (a *app) peersAddCommand() *cobra.Command {
	var (
		name  string
		words []string
	)
	cmd := &cobra.Command{
		Use:   "add MADDR|PEER",
		Short: "Save a machine, or give a saved one a name or labels",
		Example: `  swarm peers add /ip4/192.0.2.7/tcp/4747/p2p/12D3KooW… --name rig-01 --label gpu=3080
  swarm peers add 12D3KooWJRSr --name rig-01`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			given, err := agent.ParseLabels(words)
			if err != nil {
				return err
			}
			if name != "" {
				if err := trust.ValidateName(name); err != nil {
					return err
				}
			}
			return a.withBook(func(b *host.Book) error { return addPeer(b, args[0], name, given) })
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the `NAME` you choose targets by")
	cmd.Flags().StringSliceVar(&words, "label", nil, "`KEY=VALUE` to choose targets by; may be repeated")
	return cmd
}

// addPeer saves a peer under an address, or changes one that is saved.
func addPeer(b *host.Book, word, name string, labels map[string]string) error {
	m, err := memberOf(b, word)
	if err != nil {
		return err
	}
	if other, err := b.Find(name); name != "" && err == nil && other.Peer != m.Peer && other.Name == name {
		return fmt.Errorf("the name %q is taken by %s; remove that first: swarm peers remove %s", name, other.Peer, name)
	}
	_, err = b.Update(m.Peer, func(saved *host.Member) {
		saved.Hint = false
		for _, addr := range m.Addrs {
			if !slices.Contains(saved.Addrs, addr) {
				saved.Addrs = append([]string{addr}, saved.Addrs...)
			}
		}
		if name != "" {
			saved.Name = name
		}
		for k, v := range labels {
			if saved.Labels == nil {
				saved.Labels = make(map[string]string)
			}
			saved.Labels[k] = v
		}
	})
	return err
}

func memberOf(b *host.Book, word string) (host.Member, error) {
	if !strings.HasPrefix(word, "/") {
		return b.Find(word)
	}
	infos, err := host.ParsePeers(word)
	if err != nil {
		return host.Member{}, err
	}
	m := host.Member{Peer: infos[0].ID}
	for _, addr := range infos[0].Addrs {
		m.Addrs = append(m.Addrs, addr.String())
	}
	return m, nil
}

func (a *app) peersRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME|PEER",
		Aliases: []string{"rm"},
		Short:   "Forget a saved machine",
		Example: "  swarm peers remove rig-01",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withBook(func(b *host.Book) error {
				m, err := b.Find(args[0])
				if errors.Is(err, host.ErrUnknownPeer) {
					return fmt.Errorf("%w; see: swarm peers", err)
				}
				if err != nil {
					return err
				}
				return b.Remove(m.Peer)
			})
		},
	}
}
