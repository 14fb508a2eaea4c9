package limits

import (
	"context"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Admit returns an error where the peer at the other end of a connection may not take part in what
// is for members only. It may wait, while the peer still proves who it is, until ctx ends; on an
// inbound stream it answers at once, or waits for what this node has asked itself.
type Admit func(ctx context.Context, c network.Conn, inbound bool) error

// Guard returns h for the protocols of libraries, such as the DHT and pubsub: a stream of a peer
// that is not admitted is reset before anything is read from it, and none is opened to such a peer.
// A nil admit admits every peer.
func Guard(h corehost.Host, admit Admit) corehost.Host {
	if admit == nil {
		return h
	}
	return &guarded{h, admit}
}

// Serve handles streams of a protocol that is no message family, of admitted peers.
func Serve(h corehost.Host, admit Admit, id protocol.ID, handle network.StreamHandler) {
	Guard(h, admit).SetStreamHandler(id, handle)
}

type guarded struct {
	corehost.Host
	admit Admit
}

func (g *guarded) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	g.Host.SetStreamHandler(id, g.guard(handle))
}

func (g *guarded) SetStreamHandlerMatch(id protocol.ID, match func(protocol.ID) bool, handle network.StreamHandler) {
	g.Host.SetStreamHandlerMatch(id, match, g.guard(handle))
}

func (g *guarded) guard(handle network.StreamHandler) network.StreamHandler {
	return func(s network.Stream) {
		if g.admit(context.Background(), s.Conn(), true) != nil {
			s.ResetWithError(network.StreamProtocolViolation)
			return
		}
		handle(s)
	}
}

// NewStream connects if need be, and waits until the peer was admitted before it says anything.
func (g *guarded) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	if g.Network().Connectedness(p) != network.Connected {
		if no, _ := network.GetNoDial(ctx); no {
			return nil, network.ErrNoConn
		}
		if err := g.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
			return nil, err
		}
	}
	for _, c := range g.Network().ConnsToPeer(p) {
		if err := g.admit(ctx, c, false); err != nil {
			return nil, err
		}
	}
	return g.Host.NewStream(ctx, p, ids...)
}
