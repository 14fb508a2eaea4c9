// Package transport has TCP and WebSocket as the library's transports do not have them: dialled
// through a proxy, and WebSocket in TLS whose certificate nobody has to have signed.
package transport

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	coretransport "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	"github.com/multiformats/go-multiaddr"
	mafmt "github.com/multiformats/go-multiaddr-fmt"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Config says how addresses are dialled.
type Config struct {
	// Dial opens TCP connections; nil means that a net.Dialer does.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Proxy is what addresses outside of the local network are dialled through; nil means none.
	Proxy *Proxy
	// OwnNames has this machine resolve names also where the proxy could: it has to know the
	// addresses, because some are forbidden.
	OwnNames bool
}

// openTime is for all that comes before Noise: TCP, a proxy, TLS, HTTP.
const openTime = 10 * time.Second

// opener opens streams of bytes to addresses.
type opener struct{ Config }

func newOpener(cfg Config) opener {
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	return opener{cfg}
}

// named reports whether an address keeps its name, which the proxy resolves. Nobody else needs to:
// where there is a proxy there often are no names of the Internet.
func (o opener) named(a multiaddr.Multiaddr) bool {
	return !o.OwnNames && mafmt.DNS.Matches(a[:1]) && o.Proxy.For(a)
}

// open dials the IP address or the name, and the port, of an address.
func (o opener) open(ctx context.Context, a multiaddr.Multiaddr) (net.Conn, error) {
	kind, at, err := manet.DialArgs(a)
	if err != nil {
		return nil, err
	}
	if o.Proxy.For(a) {
		return o.Proxy.dial(ctx, at, o.Dial)
	}
	return o.Dial(ctx, kind, at)
}

// placed is a connection that goes by the address that was dialled, whatever is in between.
type placed struct {
	net.Conn
	local, remote multiaddr.Multiaddr
}

func place(c net.Conn, remote multiaddr.Multiaddr) (placed, error) {
	local, err := manet.FromNetAddr(c.LocalAddr())
	if err != nil {
		return placed{}, fmt.Errorf("the own end of a connection: %w", err)
	}
	return placed{c, local, remote}, nil
}

// LocalMultiaddr is part of manet.Conn.
func (p placed) LocalMultiaddr() multiaddr.Multiaddr { return p.local }

// RemoteMultiaddr is part of manet.Conn.
func (p placed) RemoteMultiaddr() multiaddr.Multiaddr { return p.remote }

// TCP is the library's transport, and dials through a proxy where there is one.
type TCP struct {
	*tcp.TcpTransport
	upgrade
	open opener
}

// NewTCP returns the constructor of a TCP for libp2p.Transport; options are for the library's.
func NewTCP(cfg Config, options ...tcp.Option) any {
	return func(u coretransport.Upgrader, r network.ResourceManager, shared *tcpreuse.ConnMgr) (*TCP, error) {
		t, err := tcp.NewTCPTransport(u, r, shared, options...)
		if err != nil {
			return nil, err
		}
		return &TCP{t, upgrade{u, r}, newOpener(cfg)}, nil
	}
}

var namedTCP = mafmt.And(mafmt.DNS, mafmt.Base(multiaddr.P_TCP))

// CanDial reports whether an address is one of TCP; names are where the proxy resolves them.
func (t *TCP) CanDial(a multiaddr.Multiaddr) bool {
	return t.TcpTransport.CanDial(a) || namedTCP.Matches(a) && t.open.named(a)
}

// SkipResolve reports whether the proxy resolves the name in an address.
func (t *TCP) SkipResolve(_ context.Context, a multiaddr.Multiaddr) bool { return t.open.named(a) }

// Dial connects with a peer.
func (t *TCP) Dial(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) (coretransport.CapableConn, error) {
	return t.DialWithUpdates(ctx, a, p, nil)
}

// DialWithUpdates is Dial, and says what comes of it meanwhile.
func (t *TCP) DialWithUpdates(
	ctx context.Context, a multiaddr.Multiaddr, p peer.ID, updates chan<- coretransport.DialUpdate,
) (coretransport.CapableConn, error) {
	if !t.open.Proxy.For(a) {
		return t.TcpTransport.DialWithUpdates(ctx, a, p, updates)
	}
	return t.connect(ctx, t, a, p, func(ctx context.Context) (manet.Conn, error) {
		c, err := t.open.open(ctx, a)
		if err != nil {
			return nil, err
		}
		return place(c, a)
	})
}

// upgrade makes connections of streams of bytes, and accounts for them, as the library's transports
// do.
type upgrade struct {
	upgrader coretransport.Upgrader
	rcmgr    network.ResourceManager
}

func (u upgrade) connect(
	ctx context.Context, t coretransport.Transport, a multiaddr.Multiaddr, p peer.ID,
	open func(context.Context) (manet.Conn, error),
) (coretransport.CapableConn, error) {
	scope, err := u.rcmgr.OpenConnection(network.DirOutbound, true, a)
	if err != nil {
		return nil, err
	}
	if err := scope.SetPeer(p); err != nil {
		scope.Done()
		return nil, err
	}
	opening, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	raw, err := open(opening)
	if err != nil {
		scope.Done()
		return nil, err
	}
	return u.upgrader.Upgrade(ctx, t, raw, network.DirOutbound, p, scope) // it frees scope where it fails
}
