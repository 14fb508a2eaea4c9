package node_test

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
)

// BenchmarkHandshake is a new connection over loopback, from the dial to the answer to the
// greeting: TCP, Noise, yamux, identify, hello.
func BenchmarkHandshake(b *testing.B) {
	start := func(listen string, judge trust.Judge) *node.Node {
		cfg := node.Config{Host: host.Config{StateDir: b.TempDir(), DHT: host.DHTOff}, Judge: judge}
		if listen == "" {
			cfg.Host.NoListen = true
		} else {
			cfg.Host.Listen = []multiaddr.Multiaddr{multiaddr.StringCast(listen)}
		}
		n, err := node.New(cfg)
		if err == nil {
			err = n.Listen()
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { n.Close() })
		return n
	}
	caller := start("", nil)
	server := start("/ip4/127.0.0.1/tcp/0", trust.NewOpen(caller.ID()))
	to := peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}
	b.ReportAllocs()
	for b.Loop() {
		if err := caller.Connect(b.Context(), to); err != nil {
			b.Fatal(err)
		}
		if _, err := caller.Greeting(b.Context(), to.ID); err != nil {
			b.Fatal(err)
		}
		if err := caller.Network().ClosePeer(to.ID); err != nil {
			b.Fatal(err)
		}
	}
}
