package node

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	admitTimeout = 15 * time.Second // for a peer to show who it is; a handshake may take 10 s
	paperTimeout = 10 * time.Second // for handing over grants and records
	paperFanOut  = 16               // peers at a time
	cutTimeout   = time.Second      // for the last words to one who is thrown out
)

// credentials puts this node's grant, and which records it has, into a greeting.
func (n *Node) credentials(h *streams.Hello) {
	f := n.cfg.Fleet
	if f == nil {
		return
	}
	h.Grant, h.Records = f.Chain().JSON(), digestsJSON(f)
	own := f.Self()
	h.Role, h.Name, h.Labels = string(own.Grant.Role), own.Grant.Name, own.Grant.Labels
}

func digestsJSON(f *trust.Fleet) jsontext.Value {
	data, err := json.Marshal(f.Records().Digests())
	if err != nil { // they always have a JSON form
		return nil
	}
	return data
}

func parseDigests(v jsontext.Value) (out []trust.Digest, err error) {
	if len(v) == 0 {
		return nil, nil
	}
	err = json.Unmarshal(v, &out)
	return out, err
}

// admitHello judges what a peer shows in its greeting. Without a fleet, and for
// a peer that shows nothing, nothing is judged.
func (n *Node) admitHello(p peer.ID, h streams.Hello) (*trust.Grant, error) {
	f := n.cfg.Fleet
	if f == nil {
		return nil, nil
	}
	if f.Records().Revoked().Peer(p) {
		return nil, f.May(p, "")
	}
	if len(h.Grant) == 0 {
		return nil, nil
	}
	c, err := trust.ParseChain(h.Grant)
	if err != nil {
		return nil, err
	}
	return f.Admit(p, c)
}

func isRevoked(err error) bool {
	return errors.Is(err, trust.ErrRevokedPeer) || errors.Is(err, trust.ErrRevokedSerial) || errors.Is(err, trust.ErrRevokedIssuer)
}

// admitted is what the DHT and pubsub ask: see host.Guard. The one who dialled
// shows its grant first, so on an inbound connection a stream of a peer that is no
// member has no claim to wait.
func (n *Node) admitted(ctx context.Context, c network.Conn, inbound bool) error {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	if dialled := c.Stat().Direction == network.DirOutbound; dialled {
		if err := n.ready(ctx, c); err != nil {
			return err
		}
	} else if !inbound {
		gr := n.greetings.wait(c)
		select {
		case <-gr.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !n.cfg.Judge.Member(c.RemotePeer()) {
		return trust.ErrStranger
	}
	return nil
}

// met does what two members owe each other once they know who is there. Both
// sides of a connection call it; the one who dialled brings the records of both up
// to date, because a command's process does not take requests.
func (n *Node) met(c network.Conn, info PeerInfo) {
	if n.cfg.Fleet == nil || len(info.shown) == 0 || n.life.Err() != nil {
		return
	}
	dialled := c.Stat().Direction == network.DirOutbound
	n.running.Go(func() {
		ctx, cancel := context.WithTimeout(n.life, paperTimeout)
		defer cancel()
		if _, err := n.cfg.Fleet.Merge(); err != nil { // what could not be saved before
			n.log.Error("a record of the fleet counts, and is not on the disk", "err", err)
		}
		if dialled {
			if err := n.syncRecords(ctx, info.ID, info.digests); err != nil && ctx.Err() == nil {
				n.log.Debug("records could not be compared", "peer", info.ID, "err", err)
			}
		}
		if dialled || n.cfg.Role == roleController {
			if err := n.bringGrant(ctx, info); err != nil && ctx.Err() == nil {
				n.log.Debug("a grant could not be handed over", "peer", info.ID, "err", err)
			}
		}
	})
}

// roleController is the role whose processes may end at any moment.
const roleController = "controller"

// fleetChanged acts on what is newly revoked, and passes it on.
func (n *Node) fleetChanged() {
	if n.life.Err() != nil {
		return
	}
	n.running.Go(func() {
		// One who is already on probation again is told in its handshake.
		out := make(map[peer.ID][]network.Conn)
		for _, c := range n.Network().Conns() {
			if p := c.RemotePeer(); n.cfg.Fleet.Revoked(p) && !n.strangers.holds(c) {
				out[p] = append(out[p], c)
			}
		}
		for p, conns := range out {
			n.cut(p, conns)
		}
		n.tellMembers()
	})
}

// cut ends connections of a peer that was thrown out.
func (n *Node) cut(p peer.ID, conns []network.Conn) {
	n.log.Warn("cut off a peer that was revoked", "peer", p)
	n.running.Go(func() {
		ctx, cancel := context.WithTimeout(n.life, cutTimeout)
		defer cancel()
		if err := n.disconnect(ctx, p, conns, streams.DisconnectRevoked, "revoked"); err != nil {
			n.log.Debug("a revoked peer was not told", "peer", p, "err", err)
		}
	})
}

// tellMembers greets all connected members again: it shows them our own grant,
// and brings their records up to date.
func (n *Node) tellMembers() {
	slots := make(chan struct{}, paperFanOut)
	for _, p := range n.Network().Peers() {
		conns := n.Network().ConnsToPeer(p)
		if len(conns) == 0 || !n.cfg.Fleet.Member(p) || !n.takesRequests(conns[0]) {
			continue
		}
		slots <- struct{}{}
		n.running.Go(func() {
			defer func() { <-slots }()
			n.greetAgain(conns[0])
		})
	}
}

// takesRequests tells whether the peer may be asked: a controller that dialled us
// may be a command that is gone in a moment.
func (n *Node) takesRequests(c network.Conn) bool {
	m, ok := n.cfg.Fleet.Known(c.RemotePeer())
	return c.Stat().Direction == network.DirOutbound || !ok || m.Grant.Role == trust.RoleWorker || m.Grant.Role == trust.RoleRelay
}

func (n *Node) greetAgain(c network.Conn) {
	ctx, cancel := context.WithTimeout(n.life, paperTimeout)
	defer cancel()
	h, _, err := streams.Handshake.DoOn(ctx, n.Client, c, n.hello(true))
	if err == nil {
		_, err = n.admitHello(c.RemotePeer(), h)
	}
	if err == nil {
		err = n.syncRecords(ctx, c.RemotePeer(), h.Records)
	}
	if err != nil && ctx.Err() == nil {
		n.log.Debug("a member could not be told of a change", "peer", c.RemotePeer(), "err", err)
	}
}

func (n *Node) registerMembership() error {
	if n.cfg.Fleet == nil {
		if !n.cfg.Seed {
			return nil
		}
		return GetAddr.Handle(n.Mux, n.answerSeed)
	}
	return errors.Join(
		Join.Handle(n.Mux, n.redeem),
		GetRecords.Handle(n.Mux, n.answerRecords),
		PutRecords.Handle(n.Mux, n.takeRecords),
		PutGrant.Handle(n.Mux, n.takeGrant),
		PutTicket.Handle(n.Mux, n.takeTicket),
		GetAddr.Handle(n.Mux, n.answerAddr),
	)
}
