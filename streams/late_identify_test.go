package streams

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// lateIdentify is a host that learns what a peer speaks only while it opens a stream to it.
type lateIdentify struct {
	host.Host
	speaks []protocol.ID
}

func (h lateIdentify) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	if err := h.Peerstore().SetProtocols(p, h.speaks...); err != nil {
		return nil, err
	}
	return h.Host.NewStream(ctx, p, ids...)
}

// A node that answers a request with one of its own often does so before the peer was identified.
// libp2p then took the version that was announced letter by letter, which was the old one.
func TestHighestVersionOfAPeerThatIsIdentifiedLate(t *testing.T) {
	p := newPair(t, allowAll)
	versioned := func(versions ...string) Call[greeting, greeting] {
		return Call[greeting, greeting]{Family{Name: "versioned", Versions: versions}, "v", "v_ack", VerbStatsRead}
	}
	must(t, versioned("2.0.0", "1.0.0").Handle(p.mux, func(_ context.Context, from Peer, _ greeting) (greeting, error) {
		return greeting{Text: from.Version}, nil
	}))
	must(t, p.caller.Connect(t.Context(), peer.AddrInfo{ID: p.server.ID(), Addrs: p.server.Addrs()}))
	must(t, p.caller.Peerstore().SetProtocols(p.server.ID()))
	c := NewClient(lateIdentify{p.caller, []protocol.ID{"/swarm/versioned/2.0.0", "/swarm/versioned/1.0.0"}}, Config{})
	defer c.Close()
	got, err := versioned("2.1.0", "1.0.0").Do(t.Context(), c, p.server.ID(), greeting{Text: "?"})
	if err != nil || got.Text != "2.1.0" {
		t.Errorf("got %q, %v, want 2.1.0", got.Text, err)
	}
}
