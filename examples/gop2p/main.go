// Command gop2p is for people who come from a go-p2p program, with message types, a switch over them
// and ValidateResponse: a controller asks workers for their stats, follows a log and starts something.
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

// The messages. The JSON tags are the names on the wire.
type (
	stats struct {
		Miner    string  `json:"miner"`
		HashRate float64 `json:"hashRate"`
	}
	logRequest struct {
		Lines int `json:"lines"`
	}
	logLine struct {
		Text string `json:"text"`
	}
	startRequest struct {
		Miner string `json:"miner"`
	}
)

// Validate is called before a handler sees a request, and before a caller sees a reply.
func (r startRequest) Validate() error {
	if r.Miner == "" {
		return errors.New("which miner?")
	}
	return nil
}

// A type of message is a value with its request, its reply and the right that it needs. It replaces
// the constants, the switch and the check of the response: Do returns the reply, decoded and checked.
var (
	rigs     = streams.Family{Name: "rigs", Versions: []string{"1.0.0"}}
	getStats = streams.Call[struct{}, stats]{Family: rigs, Request: "rig_stats", Reply: "rig_stats_ack", Verb: "stats.read"}
	getLog   = streams.Feed[logRequest, logLine]{Family: rigs, Request: "rig_log", Reply: "rig_log_line", Verb: "logs.read"}
	start    = streams.Call[startRequest, stats]{Family: rigs, Request: "rig_start", Reply: "rig_start_ack", Verb: "miner.control"}
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run is both sides in one process; in life they are two programs that share the values above.
func run(ctx context.Context, out io.Writer) error {
	controller, err := newNode(ctx)
	if err != nil {
		return err
	}
	defer controller.Close()
	worker, err := newNode(ctx, controller.ID())
	if err != nil {
		return err
	}
	defer worker.Close()
	if err := errors.Join(serve(worker), worker.Listen()); err != nil {
		return err
	}
	if err := controller.Connect(ctx, peer.AddrInfo{ID: worker.ID(), Addrs: worker.Addrs()}); err != nil {
		return err
	}
	return command(ctx, out, controller.Client, worker.ID())
}

// serve registers the handlers of a worker.
func serve(n *node.Node) error {
	now := stats{Miner: "none"}
	return errors.Join(
		getStats.Handle(n.Mux, func(context.Context, streams.Peer, struct{}) (stats, error) { return now, nil }),
		getLog.Handle(n.Mux, func(_ context.Context, _ streams.Peer, r logRequest, send func(logLine) error) (logLine, error) {
			for i := 1; i < r.Lines; i++ {
				if err := send(logLine{fmt.Sprint("line ", i)}); err != nil {
					return logLine{}, err
				}
			}
			return logLine{"the last line"}, nil
		}),
		start.Handle(n.Mux, func(_ context.Context, from streams.Peer, r startRequest) (stats, error) {
			if r.Miner != "xmrig" {
				return stats{}, streams.Errorf(streams.CodeNotFound, "there is no miner %s", r.Miner) // the caller's fault
			}
			return stats{r.Miner, 1000}, nil
		}),
	)
}

// command is the controller.
func command(ctx context.Context, out io.Writer, c *streams.Client, worker peer.ID) error {
	s, err := getStats.Do(ctx, c, worker, struct{}{})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "miner:", s.Miner)
	for line, err := range getLog.Do(ctx, c, worker, logRequest{3}) {
		if err != nil {
			return err
		}
		fmt.Fprintln(out, line.Text)
	}
	for _, name := range []string{"", "xmr", "xmrig"} {
		s, err := start.Do(ctx, c, worker, startRequest{name})
		if err != nil {
			fmt.Fprintln(out, "refused:", err)
			continue
		}
		fmt.Fprintln(out, s.Miner, s.HashRate)
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
