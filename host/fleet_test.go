package host

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"
)

// TestFleetComesAtOnce lets 200 nodes connect to one at the same moment, over real sockets.
func TestFleetComesAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("starts 200 nodes")
	}
	const nodes = 200
	listen := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/0")}
	center, err := New(Config{StateDir: t.TempDir(), Listen: listen, DHT: DHTOff})
	if err != nil {
		t.Fatal(err)
	}
	defer center.Close()
	if err := center.Listen(); err != nil {
		t.Fatal(err)
	}
	to := center.Peerstore().PeerInfo(center.ID())
	to.Addrs = center.Addrs()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	start := time.Now()
	for range nodes {
		wg.Go(func() {
			h, err := New(Config{StateDir: t.TempDir(), NoListen: true, DHT: DHTOff})
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { h.Close() })
			err = h.Connect(ctx, to)
			for err != nil && ctx.Err() == nil { // on a busy machine a handshake may take longer than a dial may
				err = h.Connect(ctx, to)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(center.Network().Peers()); got != nodes {
		t.Errorf("%d of %d connected", got, nodes)
	}
	t.Logf("%d nodes made and connected in %v", nodes, time.Since(start))
}
