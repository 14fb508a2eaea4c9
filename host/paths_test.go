package host_test

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/seed-b490fa12/swarm/host"
)

// TestElsewhere: a peer is found where it is, by a connection that is made and closed again, and not
// once it is gone.
func TestElsewhere(t *testing.T) {
	there := newHost(t, host.Config{DHT: host.DHTOff, Listen: listenLoopback})
	h := newHost(t, host.Config{DHT: host.DHTOff, NoListen: true})
	if err := h.Connect(t.Context(), addrInfo(there)); err != nil {
		t.Fatal(err)
	}
	c := h.BestConn(there.ID())
	if !h.Paths().Elsewhere(t.Context(), c) {
		t.Error("it was not found")
	}
	if n := len(h.Network().ConnsToPeer(there.ID())); n != 1 {
		t.Errorf("%d connections", n)
	}
	h.Paths().FoundDead(c, network.ConnNoError)
	if !c.IsClosed() {
		t.Error("the connection is open")
	}
	if err := there.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if h.Paths().Elsewhere(ctx, c) {
		t.Error("it was found, though it is gone")
	}
}
