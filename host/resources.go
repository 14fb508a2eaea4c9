package host

import (
	"errors"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
)

var errNotForStrangers = errors.New("this protocol is for members")

// memberProtocols are those that the library registers by itself and that a Guard cannot stand in front of. Not among them
// are the answer to a dial-back, which comes from an identity made for it, and hole punching, which the library takes only from
// peers that this node has dialled over a relay.
var memberProtocols = map[protocol.ID]bool{proto.ProtoIDv2Stop: true, autonatv2.DialProtocol: true}

// guardedResources resets streams of strangers to the library's own protocols, as soon as the protocol is known and before
// the handler runs.
type guardedResources struct {
	network.ResourceManager
	member func(peer.ID) bool
}

func (g *guardedResources) OpenStream(p peer.ID, d network.Direction) (network.StreamManagementScope, error) {
	s, err := g.ResourceManager.OpenStream(p, d)
	if err != nil || d == network.DirOutbound {
		return s, err
	}
	return &guardedStream{s, p, g.member}, nil
}

type guardedStream struct {
	network.StreamManagementScope
	peer   peer.ID
	member func(peer.ID) bool
}

func (s *guardedStream) SetProtocol(id protocol.ID) error {
	if memberProtocols[id] && !s.member(s.peer) {
		return errNotForStrangers
	}
	return s.StreamManagementScope.SetProtocol(id)
}
