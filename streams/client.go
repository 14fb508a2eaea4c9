package streams

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"

	"github.com/seed-b490fa12/swarm/streams/arrivals"
	"github.com/seed-b490fa12/swarm/streams/bulk"
)

// Client sends requests. It keeps the streams it opened and uses them again, one request at a time
// on each. Its methods may be called concurrently.
type Client struct {
	host Host
	cfg  Config
	self sender
	kept pools

	bulks    bulk.Links
	readings readings
	arrivals arrivals.Arrivals
}

// NewClient returns a client that opens its streams on h.
func NewClient(h Host, cfg Config) *Client {
	cfg = cfg.withDefaults()
	c := &Client{host: h, cfg: cfg, self: newSender(h.ID()), bulks: bulk.Links{Line: cfg.Line, Open: openOne}}
	c.kept.conns = h.Network().ConnsToPeer
	c.kept.notifiee = &network.NotifyBundle{
		ConnectedF:    func(_ network.Network, conn network.Conn) { c.connected(conn) },
		DisconnectedF: func(_ network.Network, conn network.Conn) { c.kept.disconnected(conn) },
	}
	h.Network().Notify(c.kept.notifiee)
	return c
}

func (c *Client) connected(conn network.Conn) {
	c.kept.connected(conn)
	c.arrivals.Connected(conn.RemotePeer())
}

// Close closes the kept streams. Calls under way are not touched; they end with their contexts.
func (c *Client) Close() error {
	c.host.Network().StopNotify(c.kept.notifiee)
	c.kept.close()
	return nil
}

// call does one exchange.
func (c *Client) call(ctx context.Context, p peer.ID, s Spec, req, res any) (err error) {
	r := c.newRequest(p, s)
	defer func() { err = r.done(ctx, err) }()
	release, err := c.kept.slot(ctx, r.key())
	if err != nil {
		return err
	}
	defer release()
	if err := r.begin(ctx, func() error { return r.roundTrip(req, res) }); err != nil {
		return err
	}
	r.release(nil)
	return nil
}

// callOn does one exchange on a stream of its own, over conn.
func (c *Client) callOn(ctx context.Context, conn network.Conn, s Spec, req, res any) (t Timing, err error) {
	r := c.newRequest(conn.RemotePeer(), s)
	defer func() { err = r.done(ctx, err) }()
	stream, err := openOn(ctx, conn, s.Family.proposals())
	if err != nil {
		return t, err
	}
	r.use(ctx, &clientStream{Stream: stream, key: r.key(), remote: newSender(r.to), br: getReader(stream)})
	t.Sent = time.Now()
	err = r.roundTrip(req, res)
	t.Received, t.Answered = time.Now(), r.reply.Timestamp
	r.discard(err)
	return t, err
}

func (c *Client) newStream(ctx context.Context, p peer.ID, f Family) (*clientStream, error) {
	// Our own relays carry control messages without a limit.
	ctx = network.WithAllowLimitedConn(ctx, f.Name)
	ids := c.propose(p, f)
	s, err := c.host.NewStream(ctx, p, ids...)
	if err == nil && len(ids) > 1 {
		// By now the peer has announced what it speaks, which it may not have when we proposed.
		if best := c.propose(p, f); len(best) == 1 && best[0] != s.Protocol() {
			s.Reset()
			s, err = c.host.NewStream(ctx, p, best...)
		}
	}
	if err != nil {
		return nil, openError{err}
	}
	if f.Greeting == "" {
		if err := c.cfg.Ready(ctx, s.Conn()); err != nil {
			s.Reset()
			return nil, err
		}
	}
	return &clientStream{
		Stream: s, key: poolKey{p, f.Name}, versions: f.Versions, remote: newSender(p), relayed: relayed(s.Conn()),
		br: getReader(s),
	}, nil
}

// propose returns the protocol IDs to open a stream to p with, the highest version first. libp2p
// prefers an ID that p announced letter by letter to a higher one that p accepts, so where p
// announced what it speaks, the choice is made here.
func (c *Client) propose(p peer.ID, f Family) []protocol.ID {
	ids := f.proposals()
	if len(ids) < 2 {
		return ids
	}
	announced, err := c.host.Network().Peerstore().GetProtocols(p)
	if err != nil {
		return ids // negotiation finds out
	}
	for i, id := range ids {
		if slices.ContainsFunc(announced, func(theirs protocol.ID) bool { return f.matches(id, theirs) }) {
			return ids[i : i+1]
		}
	}
	return ids
}

// openOn opens a stream over this connection and no other. A single protocol goes ahead with what is
// sent, which saves a round trip; that the peer does not speak it shows at the first read.
func openOn(ctx context.Context, conn network.Conn, ids []protocol.ID) (network.Stream, error) {
	s, err := conn.NewStream(network.WithAllowLimitedConn(ctx, "swarm"))
	if err != nil {
		return nil, err
	}
	if len(ids) == 1 {
		if err := s.SetProtocol(ids[0]); err != nil {
			s.Reset()
			return nil, err
		}
		return &aheadStream{s, msmux.NewMSSelect(s, ids[0])}, nil
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	id, err := msmux.SelectOneOf(ids, s)
	if !stop() {
		return nil, ctx.Err()
	}
	if err == nil {
		err = s.SetProtocol(id)
	}
	if err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

// openOne opens a stream of one protocol.
func openOne(ctx context.Context, conn network.Conn, id protocol.ID) (network.Stream, error) {
	return openOn(ctx, conn, []protocol.ID{id})
}

// aheadStream is one whose protocol is proposed with the first bytes that are written.
type aheadStream struct {
	network.Stream
	chosen msmux.LazyConn
}

// Read is part of network.Stream.
func (s *aheadStream) Read(b []byte) (int, error) { return s.chosen.Read(b) }

// Write is part of network.Stream.
func (s *aheadStream) Write(b []byte) (int, error) { return s.chosen.Write(b) }

// CloseWrite is part of network.Stream.
func (s *aheadStream) CloseWrite() error {
	return errors.Join(s.chosen.Flush(), s.Stream.CloseWrite())
}
