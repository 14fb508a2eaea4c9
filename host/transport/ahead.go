package transport

// A repair of github.com/libp2p/go-libp2p v0.51.0: it agrees on the kind of security before it begins
// with it, also where there is only one, which costs a round trip. Upstream: a plan,
// https://github.com/libp2p/specs/pull/461. The file may go when TestProposeAhead passes without it.

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	coretransport "github.com/libp2p/go-libp2p/core/transport"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"
)

// ProposeAhead returns u with one round trip less in what is dialled. The library first agrees on the
// kind of security, and then begins it. Where there is one kind alone, it is proposed together with
// the first bytes of its handshake, and that the other side agrees is read with its answer. To the
// other side this is the usual order.
func ProposeAhead(u coretransport.Upgrader, kinds []sec.SecureTransport) coretransport.Upgrader {
	if len(kinds) != 1 {
		return u
	}
	return aheadUpgrader{u, string(kinds[0].ID())}
}

type aheadUpgrader struct {
	coretransport.Upgrader
	kind string
}

// Upgrade is part of Upgrader.
func (u aheadUpgrader) Upgrade(
	ctx context.Context, t coretransport.Transport, c manet.Conn, dir network.Direction, p peer.ID,
	scope network.ConnManagementScope,
) (coretransport.CapableConn, error) {
	socket, has := c.(syscall.Conn)
	if dir == network.DirOutbound {
		said := agreement(u.kind)
		c = &aheadConn{Conn: c, chosen: multistream.NewMSSelect(c, u.kind), proposal: said, answer: said}
	}
	up, err := u.Upgrader.Upgrade(ctx, t, c, dir, p, scope)
	if err != nil || !has {
		return up, err
	}
	return socketConn{up, socket}, nil
}

// agreement is what either side says where both agree on a protocol at once.
func agreement(id string) (said []byte) {
	for _, line := range []string{multistream.ProtocolID, id} {
		said = binary.AppendUvarint(said, uint64(len(line)+1))
		said = append(append(said, line...), '\n')
	}
	return said
}

// aheadConn answers the library's proposal by itself, and makes it to the other side with the bytes
// that are written next.
type aheadConn struct {
	manet.Conn
	chosen   multistream.LazyConn
	proposal []byte // to be written by the library; nil afterwards
	answer   []byte // to be read by the library
}

// Stat is part of network.ConnStat: of a circuit it says whether it has limits.
func (c *aheadConn) Stat() network.ConnStats {
	if inner, ok := c.Conn.(network.ConnStat); ok {
		return inner.Stat()
	}
	return network.ConnStats{}
}

// Read is part of net.Conn.
func (c *aheadConn) Read(b []byte) (int, error) {
	if len(c.answer) > 0 {
		n := copy(b, c.answer)
		c.answer = c.answer[n:]
		return n, nil
	}
	return c.chosen.Read(b)
}

// Write is part of net.Conn.
func (c *aheadConn) Write(b []byte) (int, error) {
	if c.proposal == nil {
		return c.chosen.Write(b)
	}
	if !bytes.Equal(b, c.proposal) {
		return 0, fmt.Errorf("the library proposes %q, and not %q", b, c.proposal)
	}
	c.proposal = nil
	return len(b), nil
}
