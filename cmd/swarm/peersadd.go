package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

func newPeersAddCommand(e *env) *cobra.Command {
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
			return withBook(e, func(b *book.Book) error { return addPeer(e, b, args[0], name, given) })
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the `NAME` you choose targets by")
	cmd.Flags().StringSliceVar(&words, "label", nil, "`KEY=VALUE` to choose targets by; may be repeated")
	return cmd
}

// addPeer saves a peer under an address, or changes one that is saved.
func addPeer(e *env, b *book.Book, word, name string, labels map[string]string) error {
	m, err := memberOf(b, word)
	if err != nil {
		return err
	}
	if other, err := b.Find(name); name != "" && err == nil && other.Peer != m.Peer && other.Name == name {
		return fmt.Errorf("the name %q is taken by %s; remove that first: swarm peers remove %s", name, other.Peer, name)
	}
	saved, err := b.Update(m.Peer, func(saved *book.Entry) {
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
	if err != nil {
		return err
	}
	return printChange(e, "saved", saved)
}

// printChange says what became of a saved machine.
func printChange(e *env, event string, m book.Entry) error {
	return e.Print(signing.Change{Event: event, Peer: m.Peer, Name: m.Name}, func() error {
		_, err := e.Stdout.Printf("%s: %s (%s)\n", event, output.OrDash(m.Name), m.Peer)
		return err
	})
}

func memberOf(b *book.Book, word string) (book.Entry, error) {
	if !strings.HasPrefix(word, "/") {
		return b.Find(word)
	}
	infos, err := host.ParsePeers(word)
	if err != nil {
		return book.Entry{}, err
	}
	m := book.Entry{Peer: infos[0].ID}
	for _, addr := range infos[0].Addrs {
		m.Addrs = append(m.Addrs, addr.String())
	}
	return m, nil
}
