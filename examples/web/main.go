// Command web serves net/http to those it lets in, and with an address it is the other side.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], "/") {
		err = get(ctx, os.Stdout, os.Args[1])
	} else {
		err = serve(ctx, os.Stdout, os.Args[1:])
	}
	if err != nil {
		log.Fatal(err)
	}
}

// serve answers friends, whose peer IDs are given.
func serve(ctx context.Context, out io.Writer, friends []string) error {
	judge := trust.NewOpen() // lets nobody in yet
	for _, f := range friends {
		id, err := peer.Decode(f)
		if err != nil {
			return fmt.Errorf("%q is no peer ID: %w", f, err)
		}
		judge.Allow(id)
	}
	n, err := node.New(node.Config{Host: host.Config{StateDir: "web-state"}, Judge: judge})
	if err != nil {
		return err
	}
	defer n.Close()
	ln, err := n.Listener("web", "web.read")
	if err := errors.Join(err, n.Listen()); err != nil {
		return err
	}
	go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := n.WhoCalls(r.RemoteAddr)
		if err == nil && r.Method != http.MethodGet {
			err = who.May("web.write")
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "hello, %s, you may do %v\n", who.Peer, who.Rights)
	}))
	for _, a := range n.Addrs() {
		fmt.Fprintf(out, "%s/p2p/%s\n", a, n.ID())
	}
	return n.Run(ctx)
}

// get is the other side.
func get(ctx context.Context, out io.Writer, address string) error {
	peers, err := host.ParsePeers(address)
	if err != nil {
		return err
	}
	n, err := node.New(node.Config{Host: host.Config{StateDir: "client-state", NoListen: true}})
	if err != nil {
		return err
	}
	defer n.Close()
	fmt.Fprintln(out, "I am", n.ID()) // what the server is started with
	if err := n.Connect(ctx, peers[0]); err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.Dial(ctx, peers[0].ID, "web") },
	}}
	res, err := client.Get("http://web/") // the name does not matter
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(out, res.Body)
	return err
}
