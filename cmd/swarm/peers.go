package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

func (a *app) peersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "Show the address book: the machines this controller knows",
		Long: `Show the address book: the machines this controller knows, by the names you gave
them. What a machine calls itself is shown in quotes; only your names are used to
choose targets.`,
		Example: `  swarm peers
  swarm peers add /ip4/192.0.2.7/tcp/4747/p2p/12D3KooW… --name rig-01 --label gpu=3080
  swarm peers remove rig-01`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.withBook(func(b *host.Book) error { return a.listPeers(b) })
		},
	}
	cmd.AddCommand(a.peersAddCommand(), a.peersRemoveCommand())
	return cmd
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

func (a *app) listPeers(b *host.Book) error {
	members := slices.DeleteFunc(b.All(), func(m host.Member) bool { return m.Hint })
	if a.json {
		for _, m := range members {
			if err := a.printJSON(m); err != nil {
				return err
			}
		}
		return nil
	}
	if len(members) == 0 {
		fmt.Fprintln(a.stderr, "No machine is saved yet. Add one: swarm peers add MADDR --name NAME")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tCALLS ITSELF\tPEER\tLABELS\tLAST SEEN\tADDRESS")
	for _, m := range members {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", orDash(m.Name), quoted(m.ClaimedName), m.Peer, orDash(labels(m.Labels)), lastSeen(m.LastSeen),
			orDash(strings.Join(m.Addrs[:min(1, len(m.Addrs))], "")))
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return unknown
	}
	return oneLine(s)
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
