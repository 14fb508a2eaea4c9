package node_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newNode starts a node on loopback that ends with the test.
func newNode(t *testing.T, cfg node.Config) *node.Node {
	t.Helper()
	cfg.Host.StateDir = t.TempDir()
	cfg.Host.DHT = host.DHTOff
	cfg.Host.Listen = []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/0")}
	return runNode(t, cfg)
}

// runNode runs a node until the test ends.
func runNode(t *testing.T, cfg node.Config) *node.Node {
	t.Helper()
	n, err := node.New(cfg)
	must(t, err)
	must(t, n.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, host.ErrClosed) { // closed by the test
			must(t, err)
		}
		must(t, n.Close())
	})
	return n
}

func info(n *node.Node) peer.AddrInfo { return peer.AddrInfo{ID: n.ID(), Addrs: n.Addrs()} }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// waitFor waits until ok, for 10 s at most.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("not within 10 s: ", what)
		}
	}
}
