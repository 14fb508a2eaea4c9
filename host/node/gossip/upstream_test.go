package gossip

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
)

// The tests in this file show the faults of the library that repair.go makes good. When one fails,
// the library has mended that fault: take the repair out, and its line in docs/upstream.md.

const faultTopic = "/fault"

// plain are two connected hosts with the library's own pubsub; the second one has subscribed.
func plain(t *testing.T, wrap func(corehost.Host) corehost.Host) (hosts [2]corehost.Host, pusher *pubsub.PubSub) {
	t.Helper()
	wire := &simnet.Simnet{LatencyFunc: simnet.StaticLatency(10 * time.Millisecond)}
	wire.Start()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		for _, h := range hosts {
			h.Close()
		}
		wire.Close()
	})
	speed := simnet.LinkSettings{BitsPerSecond: 20 * simlibp2p.OneMbps}
	for i := range hosts {
		h, err := libp2p.New(
			libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/1.0.0.%d/udp/4747/quic-v1", i+1)),
			simlibp2p.QUICSimnet(wire, simnet.NodeBiDiLinkSettings{Downlink: speed, Uplink: speed}),
			libp2p.DisableIdentifyAddressDiscovery(), libp2p.DisableMetrics(),
			libp2p.ResourceManager(&network.NullResourceManager{}),
		)
		if err != nil {
			t.Fatal(err)
		}
		hosts[i] = h
	}
	pusher, err := pubsub.NewGossipSub(ctx, wrap(hosts[0]))
	if err != nil {
		t.Fatal(err)
	}
	other, err := pubsub.NewGossipSub(ctx, hosts[1])
	if err != nil {
		t.Fatal(err)
	}
	topic, err := other.Join(faultTopic)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topic.Subscribe(); err != nil {
		t.Fatal(err)
	}
	if err := hosts[0].Connect(ctx, peer.AddrInfo{ID: hosts[1].ID(), Addrs: hosts[1].Addrs()}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	return hosts, pusher
}

func unchanged(h corehost.Host) corehost.Host { return h }

// pushing is the stream on which a host sends to the other, or nil.
func pushing(hosts [2]corehost.Host) network.Stream {
	for _, c := range hosts[0].Network().ConnsToPeer(hosts[1].ID()) {
		for _, s := range c.GetStreams() {
			if strings.HasPrefix(string(s.Protocol()), "/meshsub/") && s.Stat().Direction == network.DirOutbound {
				return s
			}
		}
	}
	return nil
}

// When the stream to a peer ends, pubsub forgets what the peer has subscribed to; the peer does not
// say it again.
func TestLibraryForgetsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts, pusher := plain(t, unchanged)
		knows := func() bool { return slices.Contains(pusher.ListPeers(faultTopic), hosts[1].ID()) }
		if !knows() {
			t.Fatal("the subscription did not arrive")
		}
		pushing(hosts).Reset()
		time.Sleep(time.Minute)
		if pushing(hosts) == nil {
			t.Fatal("the library did not open another stream")
		}
		if knows() {
			t.Error("the library has mended it: a subscription outlives a stream")
		}
	})
}

// When streams to a peer have ended several times within ten minutes, pubsub opens none any more.
func TestLibraryGivesPeersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts, _ := plain(t, unchanged)
		for range 12 {
			if s := pushing(hosts); s != nil {
				s.Reset()
			}
			time.Sleep(32 * time.Second)
		}
		time.Sleep(30 * time.Minute)
		if pushing(hosts) != nil {
			t.Error("the library has mended it: a peer is not given up")
		}
	})
}

// refusing is a host whose first stream cannot be opened.
type refusing struct {
	corehost.Host
	tries *atomic.Int32
}

func (r refusing) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	if r.tries.Add(1) == 1 {
		return nil, errors.New("not now")
	}
	return r.Host.NewStream(ctx, p, ids...)
}

// When the stream to a peer cannot be opened once, pubsub never tries again.
func TestLibraryTriesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		plain(t, func(h corehost.Host) corehost.Host { return refusing{h, &tries} })
		time.Sleep(30 * time.Minute)
		if n := tries.Load(); n != 1 {
			t.Errorf("the library has mended it: it tried %d times", n)
		}
	})
}
