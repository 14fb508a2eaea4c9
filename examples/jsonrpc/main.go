// Command jsonrpc is for people who come from JSON-RPC over a WebSocket: the services of net/rpc, or of
// any package that takes a net.Conn, are served to members over a listener of the node.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
)

// Miner is a service as net/rpc wants it.
type Miner struct{ caller string }

// Start is called as Miner.Start.
func (m Miner) Start(name string, answer *string) error {
	if name == "" {
		return errors.New("which miner?")
	}
	*answer = fmt.Sprintf("%s started for %s", name, m.caller)
	return nil
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run is both sides in one process; in life they are two programs.
func run(ctx context.Context, out io.Writer) error {
	desk, err := newNode(ctx)
	if err != nil {
		return err
	}
	defer desk.Close()
	rig, err := newNode(ctx, desk.ID())
	if err != nil {
		return err
	}
	defer rig.Close()
	ln, err := rig.Listener("rpc", "miner.control") // the right that callers need
	if err != nil {
		return err
	}
	go serve(rig, ln)
	if err := rig.Listen(); err != nil {
		return err
	}
	if err := desk.Connect(ctx, peer.AddrInfo{ID: rig.ID(), Addrs: rig.Addrs()}); err != nil {
		return err
	}
	return call(ctx, out, desk, rig.ID())
}

// serve gives each caller a service that knows who it is.
func serve(n *node.Node, ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return // the node has ended
		}
		who, err := n.WhoIs(conn)
		s := rpc.NewServer()
		if err := errors.Join(err, s.Register(Miner{who.Peer.ShortString()})); err != nil {
			conn.Close()
			continue
		}
		go s.ServeCodec(jsonrpc.NewServerCodec(conn))
	}
}

// call is the side that was a WebSocket client.
func call(ctx context.Context, out io.Writer, n *node.Node, rig peer.ID) error {
	conn, err := n.Dial(ctx, rig, "rpc")
	if err != nil {
		return err
	}
	c := jsonrpc.NewClient(conn)
	defer c.Close()
	for _, name := range []string{"xmrig", ""} {
		var answer string
		if err := c.Call("Miner.Start", name, &answer); err != nil {
			fmt.Fprintln(out, "error:", err)
			continue
		}
		fmt.Fprintln(out, answer)
	}
	return nil
}

// newNode runs a node that obeys these peers.
func newNode(ctx context.Context, friends ...peer.ID) (*node.Node, error) {
	key, err := identity.New() // or host.Config.StateDir, which keeps it
	if err != nil {
		return nil, err
	}
	local := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/0")}
	n, err := node.New(node.Config{Host: host.Config{Identity: key, Listen: local}, Judge: trust.NewOpen(friends...)})
	if err != nil {
		return nil, err
	}
	go n.Run(ctx)
	return n, nil
}
