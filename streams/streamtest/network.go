package streamtest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/multiformats/go-multiaddr"
)

// errNoAddress is returned by what needs an address.
var errNoAddress = errors.New("a network in memory has no addresses: use streamtest.Connect")

// memoryNetwork is the network.Network of a Host.
type memoryNetwork struct {
	host  *Host
	peers peerstore.Peerstore

	mu        sync.Mutex // guards what follows
	handler   network.StreamHandler
	notifiees []network.Notifiee
}

var _ network.Network = (*memoryNetwork)(nil)

func newNetwork(h *Host) *memoryNetwork {
	peers, err := pstoremem.NewPeerstore()
	if err != nil {
		panic(err) // only an option can fail, and there is none
	}
	return &memoryNetwork{host: h, peers: peers, handler: h.negotiate}
}

func (n *memoryNetwork) handlerOf() network.StreamHandler {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.handler
}

// SetStreamHandler replaces the negotiation of inbound streams by h.
func (n *memoryNetwork) SetStreamHandler(h network.StreamHandler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handler = h
}

func (n *memoryNetwork) NewStream(ctx context.Context, p peer.ID) (network.Stream, error) {
	c := n.host.best(ctx, p)
	if c == nil {
		return nil, network.ErrNoConn
	}
	return c.NewStream(ctx)
}

// DialPeer returns the connection there is.
func (n *memoryNetwork) DialPeer(ctx context.Context, p peer.ID) (network.Conn, error) {
	if c := n.host.best(ctx, p); c != nil {
		return c, nil
	}
	return nil, errNoAddress
}

func (n *memoryNetwork) ClosePeer(p peer.ID) error {
	for _, c := range n.host.conns.to(p) {
		c.Close()
	}
	return nil
}

func (n *memoryNetwork) Connectedness(p peer.ID) network.Connectedness {
	state := network.NotConnected
	for _, c := range n.host.conns.to(p) {
		if !c.Stat().Limited {
			return network.Connected
		}
		state = network.Limited
	}
	return state
}

func (n *memoryNetwork) Peers() (out []peer.ID) {
	for _, c := range n.Conns() {
		if !slices.Contains(out, c.RemotePeer()) {
			out = append(out, c.RemotePeer())
		}
	}
	return out
}

func (n *memoryNetwork) Conns() []network.Conn                     { return n.host.conns.to("") }
func (n *memoryNetwork) ConnsToPeer(p peer.ID) []network.Conn      { return n.host.conns.to(p) }
func (n *memoryNetwork) Peerstore() peerstore.Peerstore            { return n.peers }
func (n *memoryNetwork) LocalPeer() peer.ID                        { return n.host.id }
func (n *memoryNetwork) Close() error                              { return n.host.Close() }
func (n *memoryNetwork) CanDial(peer.ID, multiaddr.Multiaddr) bool { return false }
func (n *memoryNetwork) Listen(...multiaddr.Multiaddr) error       { return errNoAddress }
func (n *memoryNetwork) ListenAddresses() []multiaddr.Multiaddr    { return nil }
func (n *memoryNetwork) InterfaceListenAddresses() ([]multiaddr.Multiaddr, error) {
	return nil, nil
}
func (n *memoryNetwork) ResourceManager() network.ResourceManager {
	return &network.NullResourceManager{}
}

func (n *memoryNetwork) Notify(f network.Notifiee) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notifiees = append(n.notifiees, f)
}

func (n *memoryNetwork) StopNotify(f network.Notifiee) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notifiees = slices.DeleteFunc(n.notifiees, func(o network.Notifiee) bool { return o == f })
}

func (n *memoryNetwork) notify(f func(network.Notifiee)) {
	n.mu.Lock()
	all := slices.Clone(n.notifiees)
	n.mu.Unlock()
	for _, one := range all {
		f(one)
	}
}
