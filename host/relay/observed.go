package relay

// A repair of github.com/libp2p/go-libp2p v0.51.0: a peer says once for each connection, when that
// begins, where it sees this node. A QUIC connection outlives a change of address, and what is offered
// for a hole to be punched is then where this node was before. Upstream: no issue is known, see
// docs/upstream.md. The file may go when the library follows the path of a QUIC connection.

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"
)

// ObservedProtocol is how a relay keeps a node told of where it sees that: it writes a multiaddr, in the
// binary form with its length in a byte before it, and again whenever that is another one, for as long
// as the stream is open.
const ObservedProtocol protocol.ID = "/swarm/observed/1.0.0"

const (
	observedEvery   = 250 * time.Millisecond // between two looks of the relay, which cost next to nothing
	observedTimeout = 5 * time.Second        // to open the stream, and to write
	maxObserved     = 64                     // bytes of an address
)

var (
	errNotQUIC  = errors.New("not a connection by QUIC")
	errObserved = errors.New("an address of this node that is too long")
)

// TellObserved handles streams of ObservedProtocol, until ctx ends.
func TellObserved(ctx context.Context) network.StreamHandler {
	return func(s network.Stream) {
		tellObserved(ctx, s)
		s.Reset()
	}
}

// tellObserved writes until the stream ends, or ctx.
func tellObserved(ctx context.Context, s network.Stream) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the stream, at the latest when it is reset
		defer cancel()
		_, _ = s.Read(make([]byte, 1)) // nothing is asked: it is the end
	}()
	tick := time.NewTicker(observedEvery)
	defer tick.Stop()
	var told netip.AddrPort
	for {
		at, err := remoteNow(s.Conn())
		if err == nil && at != told {
			told = at
			err = writeObserved(s, at)
		}
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// remoteNow is where the other end of a QUIC connection is now; RemoteMultiaddr is where it was when
// the connection began.
func remoteNow(c network.Conn) (netip.AddrPort, error) {
	var conn *quic.Conn
	if !c.As(&conn) {
		return netip.AddrPort{}, errNotQUIC
	}
	at, ok := conn.RemoteAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}, errNotQUIC
	}
	return at.AddrPort(), nil
}

func writeObserved(s network.Stream, at netip.AddrPort) error {
	a, err := quicreuse.ToQuicMultiaddr(net.UDPAddrFromAddrPort(at), quic.Version1)
	if err != nil {
		return err
	}
	if err := s.SetWriteDeadline(time.Now().Add(observedTimeout)); err != nil {
		return err
	}
	_, err = s.Write(append([]byte{byte(len(a.Bytes()))}, a.Bytes()...))
	return err
}

// followObserved tells seen where the relay at the other end of c sees this node, now and whenever that
// changes, until the connection or ctx ends. A relay need not speak the protocol.
func followObserved(ctx context.Context, c network.Conn, seen func(network.Conn, multiaddr.Multiaddr)) error {
	opening, cancel := context.WithTimeout(ctx, observedTimeout)
	s, err := openStream(opening, c, ObservedProtocol)
	cancel()
	if err != nil {
		return err
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if err := s.SetDeadline(time.Time{}); err != nil {
		return err
	}
	buf := make([]byte, maxObserved)
	for {
		if _, err := io.ReadFull(s, buf[:1]); err != nil {
			return err
		}
		n := int(buf[0])
		if n > maxObserved {
			return errObserved
		}
		if _, err := io.ReadFull(s, buf[:n]); err != nil {
			return err
		}
		at, err := multiaddr.NewMultiaddrBytes(buf[:n])
		if err != nil {
			return err
		}
		seen(c, at)
	}
}
