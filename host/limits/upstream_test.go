package limits

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
)

// TestLibraryTakesAnyNumberOfProposals fails when the library bounds what a peer may propose on one
// stream: then a part of incoming.go may go. See docs/upstream.md.
func TestLibraryTakesAnyNumberOfProposals(t *testing.T) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	other, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Connect(t.Context(), peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}); err != nil {
		t.Fatal(err)
	}
	s, err := other.Network().ConnsToPeer(h.ID())[0].NewStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	var unknown []protocol.ID
	for i := range 100 * proposals {
		unknown = append(unknown, protocol.ID(fmt.Sprint("/unknown/", i)))
	}
	_, err = multistream.SelectOneOf(append(unknown, "/ipfs/ping/1.0.0"), s)
	if err != nil {
		t.Errorf("the library refuses the last of %d proposals: %v", len(unknown)+1, err)
	}
}
