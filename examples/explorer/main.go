// Command explorer is for people who come from a peer explorer over UDP multicast: nodes announce
// themselves in the local network, and one looks for them and says what they are.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"

	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/node"
)

func main() {
	announce := flag.Bool("announce", false, "be found, in place of looking")
	nic := flag.String("interface", "", "the only network interface to use; lo tries both sides on one machine")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	beacon := discovery.BeaconConfig{Interface: *nic} // group and port can be chosen, too
	var err error
	if *announce {
		err = announced(ctx, os.Stdout, beacon)
	} else {
		err = explore(ctx, os.Stdout, beacon, 0)
	}
	if err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// announced runs a node that is found until ctx ends.
func announced(ctx context.Context, out io.Writer, beacon discovery.BeaconConfig) error {
	anywhere := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/0.0.0.0/tcp/0")}
	n, err := newNode(host.Config{Listen: anywhere, Beacon: &beacon})
	if err != nil {
		return err
	}
	defer n.Close()
	if err := n.Listen(); err != nil {
		return err
	}
	fmt.Fprintln(out, n.ID(), "can be found")
	return n.Run(ctx)
}

// explore prints the peers that are found, until there were enough of them or ctx ends. What a
// datagram says is a hint; the greeting is from the peer itself, proven by its key.
func explore(ctx context.Context, out io.Writer, beacon discovery.BeaconConfig, enough int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	found := make(chan discovery.Found, 64)
	n, err := newNode(host.Config{
		NoListen: true, Beacon: &beacon,
		OnFound: func(f discovery.Found) {
			select {
			case found <- f:
			default: // it is announced again
			}
		},
	})
	if err != nil {
		return err
	}
	defer n.Close()
	go n.Run(ctx)
	seen := make(map[string]bool)
	for {
		select {
		case f := <-found:
			if seen[f.ID.String()] {
				continue
			}
			p, err := n.Greeting(ctx, f.ID)
			if err != nil {
				fmt.Fprintln(out, f.ID, "is announced, and does not answer:", err)
				continue
			}
			seen[f.ID.String()] = true
			var speaks []string
			for _, s := range p.Hello.Families {
				speaks = append(speaks, s.Name)
			}
			fmt.Fprintf(out, "%s at %s speaks %s\n", f.ID, p.Conn.RemoteMultiaddr(), strings.Join(speaks, ", "))
			if len(seen) == enough {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newNode(cfg host.Config) (*node.Node, error) {
	key, err := identity.New() // or host.Config.StateDir, which keeps it
	if err != nil {
		return nil, err
	}
	cfg.Identity, cfg.DHT = key, host.DHTOff
	return node.New(node.Config{Host: cfg})
}
