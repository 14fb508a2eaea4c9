// Command greeter says hello to those it lets in, and with an address it is the other side.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

type request struct {
	Name string `json:"name"`
}

type reply struct {
	Text string `json:"text"`
}

// hello is a type of message: both sides share this value.
var hello = streams.Call[request, reply]{
	Family: streams.Family{Name: "greet", Versions: []string{"1.0.0"}}, Request: "hello", Reply: "hello_ack", Verb: "greet.read",
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], "/") {
		err = ask(ctx, os.Stdout, os.Args[1])
	} else {
		err = greet(ctx, os.Stdout, os.Args[1:])
	}
	if err != nil {
		log.Fatal(err)
	}
}

// greet runs a node that answers its friends, whose peer IDs are given.
func greet(ctx context.Context, out io.Writer, friends []string) error {
	judge := trust.NewOpen() // lets nobody in yet
	for _, f := range friends {
		id, err := peer.Decode(f)
		if err != nil {
			return fmt.Errorf("%q is no peer ID: %w", f, err)
		}
		judge.Allow(id)
	}
	n, err := node.New(node.Config{Host: host.Config{StateDir: "greeter-state"}, Judge: judge})
	if err != nil {
		return err
	}
	defer n.Close()
	err = hello.Handle(n.Mux, func(_ context.Context, p streams.Peer, r request) (reply, error) {
		return reply{"hello, " + r.Name}, nil
	})
	if err := errors.Join(err, n.Listen()); err != nil {
		return err
	}
	for _, a := range n.Addrs() {
		fmt.Fprintf(out, "%s/p2p/%s\n", a, n.ID())
	}
	return n.Run(ctx)
}

// ask is the other side.
func ask(ctx context.Context, out io.Writer, address string) error {
	peers, err := host.ParsePeers(address)
	if err != nil {
		return err
	}
	n, err := node.New(node.Config{Host: host.Config{StateDir: "asker-state", NoListen: true}})
	if err != nil {
		return err
	}
	defer n.Close()
	fmt.Fprintln(out, "I am", n.ID()) // what the greeter is started with
	if err := n.Connect(ctx, peers[0]); err != nil {
		return err
	}
	answer, err := hello.Do(ctx, n.Client, peers[0].ID, request{"bob"})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, answer.Text)
	return nil
}
