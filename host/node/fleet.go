package node

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/trust"
)

const (
	admitTimeout  = 15 * time.Second // for a peer to show who it is; a handshake may take 10 s
	paperTimeout  = 10 * time.Second // for comparing statements and handing them over
	compareWithin = 4 * time.Second  // before the first request; the rest is compared at the next contact
	paperFanOut   = 16               // peers at a time
	cutTimeout    = time.Second      // for the last words to one who is thrown out
)

// credentials puts this node's grant into a greeting.
func (n *Node) credentials(h *greet.Hello) {
	f := n.cfg.Fleet
	if f == nil {
		return
	}
	h.Grant = f.Chain().JSON()
	own := f.Self()
	h.Role, h.Name, h.Labels = string(own.Grant.Role), own.Grant.Name, own.Grant.Labels
}

// admitHello judges what a peer shows in its greeting. Without a fleet, and for
// a peer that shows nothing, nothing is judged.
func (n *Node) admitHello(p peer.ID, h greet.Hello) (*trust.Grant, error) {
	f := n.cfg.Fleet
	if f == nil {
		return nil, nil
	}
	if len(h.Grant) > 0 { // what it shows may stand in spite of what is known
		c, err := trust.ParseChain(h.Grant)
		if err == nil {
			return f.Admit(p, c)
		}
		if !f.Revoked(p) {
			return nil, err
		}
	}
	if f.Revoked(p) {
		return nil, f.May(p, "")
	}
	return nil, nil
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

// met does what two members owe each other once they know who is there. The one who dialled has
// compared statements already, because a command's process does not take requests; an issuer's
// machine, on either side, signs what is due.
func (n *Node) met(c network.Conn, info PeerInfo) {
	if n.cfg.Fleet == nil || !info.shown || n.life.Err() != nil {
		return
	}
	dialled := c.Stat().Direction == network.DirOutbound
	n.running.Go(func() {
		ctx, cancel := context.WithTimeout(n.life, paperTimeout)
		defer cancel()
		if _, err := n.cfg.Fleet.Learn(); err != nil { // what could not be saved before
			n.log.Error("a statement of the fleet counts, and is not on the disk", "err", err)
		}
		if dialled || n.cfg.Fleet.Self().Grant.MayIssue != nil {
			if err := n.attend(ctx, party{peer: info.ID}); err != nil && ctx.Err() == nil {
				n.log.Debug("a grant could not be handed over", "peer", info.ID, "err", err)
			}
		}
	})
}

// compare brings this node and a member that it dialled to the same statements, before anything
// else is asked of it: what either has heard counts for the first command.
func (n *Node) compare(c network.Conn, info *PeerInfo) {
	if n.cfg.Fleet == nil || !info.shown {
		return
	}
	ctx, cancel := context.WithTimeout(n.life, compareWithin)
	defer cancel()
	if err := n.sync(ctx, party{info.ID, c}, info.digest); err != nil && ctx.Err() == nil {
		n.log.Debug("statements could not be compared", "peer", info.ID, "err", err)
	}
	if m, ok := n.cfg.Fleet.Known(info.ID); ok && m.Err != nil {
		if err := n.attend(ctx, party{info.ID, c}); err != nil && ctx.Err() == nil {
			n.log.Debug("a grant could not be handed over", "peer", info.ID, "err", err)
		}
	}
}

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
		if r := n.cfg.Fleet.Revocation(p); r != nil { // so that the peer can tell its owner by whom and when
			if _, _, err := PutStatements.DoOn(ctx, n.Client, conns[0], Statements{[][]byte{r.Data}}); err != nil {
				n.log.Debug("a revoked peer was not told by whom", "peer", p, "err", err)
			}
		}
		if err := n.disconnect(ctx, p, conns, greet.DisconnectRevoked, "revoked"); err != nil {
			n.log.Debug("a revoked peer was not told", "peer", p, "err", err)
		}
	})
}

// tellMembers greets all connected members again: it shows them our own grant,
// and compares statements with them.
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

// takesRequests reports whether the peer may be asked: a controller that dialled us
// may be a command that is gone in a moment.
func (n *Node) takesRequests(c network.Conn) bool {
	m, ok := n.cfg.Fleet.Known(c.RemotePeer())
	return c.Stat().Direction == network.DirOutbound || !ok || m.Grant.Role == trust.RoleWorker || m.Grant.Role == trust.RoleRelay
}

func (n *Node) greetAgain(c network.Conn) {
	ctx, cancel := context.WithTimeout(n.life, paperTimeout)
	defer cancel()
	h, _, err := greet.Handshake.DoOn(ctx, n.Client, c, n.hello(true))
	if err == nil {
		_, err = n.admitHello(c.RemotePeer(), h)
	}
	if err == nil {
		err = n.sync(ctx, party{c.RemotePeer(), c}, h.Statements)
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
		Compare.Handle(n.Mux, n.answerCompare),
		GetStatements.Handle(n.Mux, n.answerStatements),
		PutStatements.Handle(n.Mux, n.takeStatements),
		PutTicket.Handle(n.Mux, n.takeTicket),
		GetAddr.Handle(n.Mux, n.answerAddr),
	)
}
