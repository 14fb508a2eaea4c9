// Command p2pserver is for people who come from a p2p.Server: one side says foo, the other one bar.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

var foo = streams.Call[string, string]{
	Family: streams.Family{Name: "myprotocol", Versions: []string{"1.0.0"}}, Request: "foo", Reply: "bar", Verb: "foo.read",
}

func main() {
	answer, err := run(context.Background())
	fmt.Println(answer)
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) (string, error) {
	client, err := start(ctx)
	if err != nil {
		return "", err
	}
	defer client.Close()
	server, err := start(ctx, client.ID())
	if err != nil {
		return "", err
	}
	defer server.Close()
	if err := client.Connect(ctx, peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}); err != nil {
		return "", err
	}
	return foo.Do(ctx, client.Client, server.ID(), "foo")
}

// start runs a node that answers these friends.
func start(ctx context.Context, friends ...peer.ID) (*node.Node, error) {
	key, err1 := identity.New() // or host.Config.StateDir, which keeps it
	local := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/0")}
	n, err2 := node.New(node.Config{Host: host.Config{Identity: key, Listen: local}, Judge: trust.NewOpen(friends...)})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	go n.Run(ctx) // until ctx ends, or Close
	return n, errors.Join(foo.Handle(n.Mux, bar), n.Listen())
}

func bar(_ context.Context, from streams.Peer, text string) (string, error) {
	return "bar, " + from.ID.ShortString(), nil
}
