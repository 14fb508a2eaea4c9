package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	admitTimeout = 5 * time.Second  // for a peer to show who it is
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

// syncRecords fetches what a peer knows and we do not, and hands over the rest.
func (n *Node) syncRecords(ctx context.Context, p peer.ID, theirs jsontext.Value) error {
	f := n.cfg.Fleet
	digests, err := parseDigests(theirs)
	if err != nil {
		return err
	}
	for more := f.Records().Behind(digests); more; {
		got, err := GetRecords.Do(ctx, n.Client, p, RecordsRequest{digestsJSON(f)})
		if err != nil {
			return err
		}
		news, err := f.Merge(got.Records...)
		if err != nil {
			n.log.Warn("a record of the fleet was refused", "peer", p, "err", err)
		}
		more = got.More && news
	}
	return n.giveRecords(ctx, p, f.Records().Missing(digests))
}

func (n *Node) giveRecords(ctx context.Context, p peer.ID, records [][]byte) error {
	for len(records) > 0 {
		some, _ := cutRecords(records)
		if _, err := PutRecords.Do(ctx, n.Client, p, Records{Records: some}); err != nil {
			return err
		}
		records = records[len(some):]
	}
	return nil
}

// cutRecords returns as many as fit into one message.
func cutRecords(records [][]byte) (some [][]byte, more bool) {
	size := 0
	for i, r := range records {
		if size += len(r); i > 0 && (size > recordsBytes || i >= maxRecords) {
			return records[:i], true
		}
	}
	return records, false
}

// bringGrant hands a member a newer grant of its own: one that is known here, or
// a renewed one when it is time and this node may issue.
func (n *Node) bringGrant(ctx context.Context, info PeerInfo) error {
	f, p := n.cfg.Fleet, info.ID
	m, ok := f.Known(p)
	if !ok {
		return nil
	}
	if m.Err == nil && !m.Grant.NoRenew && !f.Now().Before(m.Grant.RenewAt()) {
		if err := n.renew(&m); err != nil {
			n.log.Debug("a grant could not be renewed", "name", m.Grant.Name, "err", err)
		}
	}
	if shown, err := trust.ParseChain(info.shown); err == nil && shown.Equal(m.Chain) {
		return nil
	}
	ack, err := PutGrant.Do(ctx, n.Client, p, GrantRequest{Grant: m.Chain.JSON()})
	if err == nil && ack.New {
		n.log.Info("handed over a new grant", "name", m.Grant.Name, "peer", p, "until", m.Grant.ExpiresAt().UTC().Format(time.DateOnly))
	}
	return err
}

// renew signs the same grant for a further life, if this node may.
func (n *Node) renew(m *trust.Member) error {
	f := n.cfg.Fleet
	if f.Self().Grant.MayIssue == nil {
		return nil
	}
	s, err := f.Signer(n.Peerstore().PrivKey(n.ID()))
	if err != nil {
		return err
	}
	c, err := s.Renew(m.Grant, f.Now())
	if err != nil {
		return err
	}
	if _, err := f.Admit(m.Peer, c); err != nil {
		return err
	}
	m.Chain = c
	return nil
}

// fleetChanged acts on what is newly revoked, and passes it on.
func (n *Node) fleetChanged() {
	if n.life.Err() != nil {
		return
	}
	n.running.Go(func() {
		f := n.cfg.Fleet
		for _, p := range n.Network().Peers() {
			if f.Revoked(p) {
				n.cut(p)
			}
		}
		n.tellMembers()
	})
}

// cut ends all connections of a peer that was thrown out.
func (n *Node) cut(p peer.ID) {
	n.log.Warn("cut off a peer that was revoked", "peer", p)
	n.running.Go(func() {
		ctx, cancel := context.WithTimeout(n.life, cutTimeout)
		defer cancel()
		if err := n.Disconnect(ctx, p, streams.DisconnectRevoked, "revoked"); err != nil {
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
		return nil
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

// knows lets through peers that have shown a grant of the fleet, also when its
// time is over.
func (n *Node) knows(p peer.ID) error {
	if _, ok := n.cfg.Fleet.Known(p); !ok || n.cfg.Fleet.Revoked(p) {
		return streams.Errorf(streams.CodeUnauthenticated, "not for strangers: show a grant in the handshake")
	}
	return nil
}

func (n *Node) answerRecords(_ context.Context, p streams.Peer, r RecordsRequest) (Records, error) {
	if err := n.knows(p.ID); err != nil {
		return Records{}, err
	}
	digests, err := parseDigests(r.Have)
	if err != nil {
		return Records{}, streams.Errorf(streams.CodeInvalid, "have: %v", err)
	}
	some, more := cutRecords(n.cfg.Fleet.Records().Missing(digests))
	return Records{slices.Clip(some), more}, nil
}

func (n *Node) takeRecords(_ context.Context, p streams.Peer, r Records) (RecordsAck, error) {
	if err := n.knows(p.ID); err != nil {
		return RecordsAck{}, err
	}
	news, err := n.cfg.Fleet.Merge(r.Records...)
	if err != nil {
		n.log.Warn("a record of the fleet was refused", "peer", p.ID, "err", err)
	}
	return RecordsAck{news}, nil
}

func (n *Node) takeGrant(_ context.Context, p streams.Peer, r GrantRequest) (GrantAck, error) {
	if err := n.knows(p.ID); err != nil {
		return GrantAck{}, err
	}
	c, err := trust.ParseChain(r.Grant)
	if err != nil {
		return GrantAck{}, streams.Errorf(streams.CodeInvalid, "%w", err)
	}
	if r.Peer != "" && r.Peer != n.ID() {
		_, err := n.cfg.Fleet.Admit(r.Peer, c)
		if err != nil {
			return GrantAck{}, streams.Errorf(streams.CodeForbidden, "the grant is refused here: %w", err)
		}
		return GrantAck{true}, nil
	}
	news, err := n.cfg.Fleet.Renewed(c)
	if errors.Is(err, trust.ErrOlder) {
		return GrantAck{}, streams.Errorf(streams.CodeConflict, "%w", err)
	}
	if err != nil {
		return GrantAck{}, streams.Errorf(streams.CodeForbidden, "the grant is refused here: %w", err)
	}
	if news {
		own := n.cfg.Fleet.Self()
		n.log.Info("took a new grant", "from", p.ID, "name", own.Grant.Name, "until", own.Grant.ExpiresAt().UTC().Format(time.DateOnly))
	}
	return GrantAck{news}, nil
}

// BringUpToDate connects with a member and hands over all that is newer here: the
// records of the fleet, its own grant, and the grants of others to keep for them.
func (n *Node) BringUpToDate(ctx context.Context, p peer.ID, others ...peer.ID) error {
	info, err := n.Greeting(ctx, p)
	if err != nil {
		return err
	}
	if err := n.syncRecords(ctx, p, info.digests); err != nil {
		return err
	}
	for _, other := range others {
		m, ok := n.cfg.Fleet.Known(other)
		if !ok || other == p {
			continue
		}
		if _, err := PutGrant.Do(ctx, n.Client, p, GrantRequest{other, m.Chain.JSON()}); err != nil {
			return err
		}
	}
	return n.bringGrant(ctx, info)
}

// renewed is the newer grant that is known here of a peer who showed another one,
// for the answer to its greeting.
func (n *Node) renewed(p peer.ID, shown jsontext.Value) jsontext.Value {
	if n.cfg.Fleet == nil || len(shown) == 0 {
		return nil
	}
	m, ok := n.cfg.Fleet.Known(p)
	if c, err := trust.ParseChain(shown); !ok || m.Err != nil || err != nil || c.Equal(m.Chain) {
		return nil
	}
	return m.Chain.JSON()
}

// takeRenewed keeps a newer grant of our own that the answer to our greeting has
// brought.
func (n *Node) takeRenewed(p peer.ID, grant jsontext.Value) {
	if n.cfg.Fleet == nil || len(grant) == 0 {
		return
	}
	c, err := trust.ParseChain(grant)
	if err == nil {
		_, err = n.cfg.Fleet.Renewed(c)
	}
	if err != nil {
		n.log.Debug("a grant that a member brought is not taken", "peer", p, "err", err)
	}
}

// LearnMembers asks a member for all the members it knows, and saves them. It
// returns how many there were.
func (n *Node) LearnMembers(ctx context.Context, p peer.ID) (int, error) {
	good, after := 0, peer.ID("")
	for {
		got, err := GetAddr.Do(ctx, n.Client, p, AddrRequest{after})
		if err != nil {
			return good, err
		}
		some, err := SaveMembers(n.Book(), n.cfg.Fleet, got.Members)
		if good += some; err != nil {
			return good, err
		}
		if !got.More || len(got.Members) == 0 || got.Members[len(got.Members)-1].Peer <= after {
			return good, nil
		}
		after = got.Members[len(got.Members)-1].Peer
	}
}
