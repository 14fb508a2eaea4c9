package limits

import (
	"errors"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

var errNotForStrangers = errors.New("this protocol is for members")

// memberProtocols are those that the library registers by itself and that a Guard cannot stand in
// front of. Not among them are the answer to a dial-back, which comes from an identity made for it,
// and hole punching, which the library takes only from peers that this node has dialled over a
// relay.
var memberProtocols = map[protocol.ID]bool{proto.ProtoIDv2Stop: true, autonatv2.DialProtocol: true, ping.ID: true}

// guardedResources resets streams of strangers to the library's own protocols, as soon as the
// protocol is known and before the handler runs. Nor is a stranger asked whether this node can be
// reached: it may say what it likes.
type guardedResources struct {
	network.ResourceManager
	member func(peer.ID) bool
}

func (g *guardedResources) OpenStream(p peer.ID, d network.Direction) (network.StreamManagementScope, error) {
	s, err := g.ResourceManager.OpenStream(p, d)
	if err != nil {
		return s, err
	}
	return &guardedStream{s, p, d, g.member}, nil
}

type guardedStream struct {
	network.StreamManagementScope
	peer      peer.ID
	direction network.Direction
	member    func(peer.ID) bool
}

func (s *guardedStream) SetProtocol(id protocol.ID) error {
	guarded := memberProtocols[id] && (s.direction == network.DirInbound || id == autonatv2.DialProtocol)
	if guarded && !s.member(s.peer) {
		return errNotForStrangers
	}
	return s.StreamManagementScope.SetProtocol(id)
}
