// Command version is for people who come from a network of version, verack, inv and getdata: what two
// nodes speak is agreed on for each family of messages, so that old and new nodes get on.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

type (
	inv struct {
		Height int `json:"height"`
	}
	block struct {
		Height int    `json:"height"`
		Spoken string `json:"spoken"` // the version that the two agreed on
	}
)

// chain are the messages of a node that speaks these versions of them, the preferred one first. There
// is no version message to write, and no verack to wait for: a request goes out in the highest major
// version that both speak, and the handshake below it was done with the connection.
type chain struct {
	inv     streams.Notice[inv] // one message, no reply
	getData streams.Call[inv, block]
}

func newChain(versions ...string) chain {
	f := streams.Family{Name: "chain", Versions: versions}
	return chain{
		inv:     streams.Notice[inv]{Family: f, Type: "inv", Verb: "chain.write"},
		getData: streams.Call[inv, block]{Family: f, Request: "get_data", Reply: "block", Verb: "chain.read"},
	}
}

// miner is a node of the network.
type miner struct {
	*node.Node
	chain
	heard chan block
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run has nodes of three ages announce a block to the newest one; in life each is a program.
func run(ctx context.Context, out io.Writer) error {
	judge := trust.NewOpen() // deny first: all of them are let in below, by their keys
	newest, err := start(ctx, judge, "2.1.0", "1.0.0")
	if err != nil {
		return err
	}
	defer newest.Close()
	for _, versions := range [][]string{{"2.0.0", "1.0.0"}, {"1.0.0"}, {"3.0.0"}} {
		other, err := start(ctx, judge, versions...)
		if err != nil {
			return err
		}
		defer other.Close()
		if err := other.Connect(ctx, peer.AddrInfo{ID: newest.ID(), Addrs: newest.Addrs()}); err != nil {
			return err
		}
		info, err := other.Greeting(ctx, newest.ID()) // what a version message would say
		if err != nil {
			return err
		}
		for _, f := range info.Hello.Families {
			if f.Name == "chain" {
				fmt.Fprintf(out, "a node with %v meets one with %v\n", versions, f.Versions)
			}
		}
		if err := other.inv.Send(ctx, other.Client, newest.ID(), inv{7}); err != nil {
			fmt.Fprintln(out, "  ", streams.CodeOf(err), "nothing in common")
			continue
		}
		b := <-newest.heard
		fmt.Fprintf(out, "   block %d came in version %s\n", b.Height, b.Spoken)
	}
	return nil
}

// start runs a node that fetches each block that it hears of.
func start(ctx context.Context, judge *trust.Open, versions ...string) (*miner, error) {
	key, err := identity.New() // or host.Config.StateDir, which keeps it
	if err != nil {
		return nil, err
	}
	local := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/0")}
	n, err := node.New(node.Config{Host: host.Config{Identity: key, Listen: local}, Judge: judge})
	if err != nil {
		return nil, err
	}
	judge.Allow(n.ID())
	m := &miner{n, newChain(versions...), make(chan block, 1)}
	if err := errors.Join(m.inv.Handle(n.Mux, m.fetch), m.getData.Handle(n.Mux, m.give), n.Listen()); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	go n.Run(ctx)
	return m, nil
}

// fetch asks the sender of an inv for its block.
func (m *miner) fetch(ctx context.Context, from streams.Peer, i inv) error {
	b, err := m.getData.Do(ctx, m.Client, from.ID, i)
	if err == nil {
		m.heard <- b
	}
	return err
}

func (m *miner) give(_ context.Context, to streams.Peer, i inv) (block, error) {
	if i.Height < 0 {
		return block{}, streams.Errorf(streams.CodeNotFound, "there is no block %d", i.Height)
	}
	return block{i.Height, to.Version}, nil
}
