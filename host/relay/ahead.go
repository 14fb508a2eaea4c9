package relay

// A repair of github.com/libp2p/go-libp2p v0.51.0: a circuit takes four round trips where one is
// enough, as each of its handshakes waits for the end of the one before. Upstream:
// https://github.com/libp2p/go-libp2p-circuit/issues/16. The file may go when the library's client
// begins the handshake with the peer before the relay has answered.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	"github.com/multiformats/go-multistream"

	"github.com/seed-b490fa12/swarm/host/route"
)

// AddTransport adds circuits to the transports of h. By relays that are trusted they take one round
// trip: what goes to the peer at the other end, the first message of its handshake, is sent right behind
// the request to the relay, which passes on what follows the request once the circuit is open. The
// choice of protocol goes with it, and the relay need not be identified. trusted is for relays that
// set no limits.
func AddTransport(h corehost.Host, u transport.Upgrader, trusted func(peer.ID) bool) error {
	return client.AddTransport(&aheadHost{h, trusted}, u)
}

// ErrNoCircuit means that a relay opens no circuit. Its text begins as that of the library's error.
var ErrNoCircuit = errors.New("error opening relay circuit")

// aheadHost is what the library's client of circuits opens its streams on.
type aheadHost struct {
	corehost.Host
	trusted func(peer.ID) bool
}

// NewStream opens a stream to a relay.
func (h *aheadHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	c := route.Best(h.Network(), p)
	if c == nil || route.Of(c) == route.Relay || !slices.Equal(ids, []protocol.ID{proto.ProtoIDv2Hop}) || !h.trusted(p) {
		return h.Host.NewStream(ctx, p, ids...)
	}
	var answer bytes.Buffer
	err := util.NewDelimitedWriter(&answer).WriteMsg(
		&pb.HopMessage{Type: pb.HopMessage_STATUS.Enum(), Status: pb.Status_OK.Enum()})
	if err != nil {
		return nil, err
	}
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.SetProtocol(ids[0]); err != nil {
		s.Reset()
		return nil, err
	}
	return &aheadStream{Stream: s, chosen: multistream.NewMSSelect(s, ids[0]), answer: answer.Bytes()}, nil
}

// aheadStream answers the library's request for a circuit by itself. The request leaves with what is
// written next, and the relay's answer comes before what is read next.
type aheadStream struct {
	network.Stream
	chosen  multistream.LazyConn
	answer  []byte // to be read by the library
	request []byte // until it leaves
	opened  bool   // the relay has answered
}

// Read is part of network.Stream.
func (s *aheadStream) Read(b []byte) (int, error) {
	if len(s.answer) > 0 {
		n := copy(b, s.answer)
		s.answer = s.answer[n:]
		return n, nil
	}
	if !s.opened {
		if err := s.accepted(); err != nil {
			return 0, err
		}
		s.opened = true
	}
	return s.chosen.Read(b)
}

// accepted reads the relay's answer, and returns why there is no circuit.
func (s *aheadStream) accepted() error {
	r := util.NewDelimitedReader(s.chosen, maxReservation)
	defer r.Close()
	var msg pb.HopMessage
	switch err := r.ReadMsg(&msg); {
	case err != nil:
		return err
	case msg.GetType() != pb.HopMessage_STATUS:
		return fmt.Errorf("%w: UNEXPECTED_MESSAGE", ErrNoCircuit)
	case msg.GetStatus() != pb.Status_OK:
		return fmt.Errorf("%w: %s", ErrNoCircuit, msg.GetStatus())
	case msg.GetLimit() != nil: // nobody would know
		return fmt.Errorf("%w: it sets limits", ErrNoCircuit)
	}
	return nil
}

// Write is part of network.Stream.
func (s *aheadStream) Write(b []byte) (int, error) {
	if len(s.answer) > 0 { // the library has not read it so far: this is the request
		s.request = append(s.request, b...)
		return len(b), nil
	}
	if len(s.request) == 0 {
		return s.chosen.Write(b)
	}
	n := len(s.request)
	sent, err := s.chosen.Write(append(s.request, b...))
	s.request = nil
	return max(sent-n, 0), err
}
