package agent

import (
	"testing"

	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	overQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
	overTCP  = "/ip4/127.0.0.1/tcp/0"
)

// What is large goes to a relay by TCP, over a connection that is closed with its last user.
func TestBulkOverTCP(t *testing.T) {
	c, w := byRelay(t, overQUIC, overTCP)
	p := w.Node.ID()
	if best := c.Node.BestConn(p); !route.IsQUIC(best.RemoteMultiaddr()) {
		t.Fatalf("the test does not test: connected by %s", best.RemoteMultiaddr())
	}
	if n, _ := c.bulk.to(t.Context(), c.Node, p, bulkFrom-1); n != nil {
		t.Error("a connection for what is small")
	}
	n, release := c.bulk.to(t.Context(), c.Node, p, bulkFrom)
	if n == nil {
		t.Fatal("no connection")
	}
	if c := n.BestConn(p); c == nil || route.Of(c) != route.Relay || route.IsQUIC(c.RemoteMultiaddr()) {
		t.Errorf("got %v, want one by the relay, over TCP", c)
	}
	same, releaseSame := c.bulk.to(t.Context(), c.Node, p, bulkFrom)
	if same != n {
		t.Error("another node for the second user")
	}
	release()
	if n.BestConn(p) == nil {
		t.Error("closed before its last user has left")
	}
	releaseSame()
	if c.bulk.node != nil || n.BestConn(p) != nil {
		t.Error("not closed with its last user")
	}
}

// Where there is nothing better, there is nothing.
func TestBulkWithoutTCP(t *testing.T) {
	for name, at := range map[string]string{"QUIC alone": overQUIC, "TCP already": overTCP} {
		t.Run(name, func(t *testing.T) {
			c, w := byRelay(t, at)
			if n, _ := c.bulk.to(t.Context(), c.Node, w.Node.ID(), bulkFrom); n != nil || c.bulk.node != nil {
				t.Errorf("got %v", n.BestConn(w.Node.ID()))
			}
		})
	}
}
