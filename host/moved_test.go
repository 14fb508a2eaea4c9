package host

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/reach"
)

// TestMoved: a host that learns that its machine is in another network announces at once where it
// is now.
func TestMoved(t *testing.T) {
	home, cafe := netip.MustParseAddr("192.168.253.7"), netip.MustParseAddr("10.253.0.9")
	looks := 0
	machine := func() ([]netip.Addr, error) {
		if looks++; looks < 3 {
			return []netip.Addr{home}, nil
		}
		return []netip.Addr{cafe}, nil
	}
	h, err := New(Config{
		StateDir: t.TempDir(), DHT: DHTOff, machine: machine,
		Listen: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/0.0.0.0/tcp/0")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	heard, err := h.EventBus().Subscribe(new(reach.NetworkChanged))
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()
	if e := (<-heard.Out()).(reach.NetworkChanged); !slices.Equal(e.Lost, []netip.Addr{home}) || !slices.Equal(e.Got, []netip.Addr{cafe}) {
		t.Errorf("heard of %v", e)
	}
	if !slices.ContainsFunc(h.Addrs(), func(a multiaddr.Multiaddr) bool { return strings.HasPrefix(a.String(), "/ip4/10.253.0.9/") }) {
		t.Errorf("announces %v", h.Addrs())
	}
}
