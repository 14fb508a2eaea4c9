package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// inTurn repeats what a member answers with 429, until ctx ends: who has much to ask or
// to hand over does it at the pace that the other side takes.
func inTurn(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if !errors.Is(err, streams.ErrTooMany) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// syncRecords fetches what a peer knows and we do not, and hands over the rest.
func (n *Node) syncRecords(ctx context.Context, p peer.ID, theirs jsontext.Value) error {
	f := n.cfg.Fleet
	digests, err := parseDigests(theirs)
	if err != nil {
		return err
	}
	for more := f.Records().Behind(digests); more; {
		var got Records
		err := inTurn(ctx, func() (err error) {
			got, err = GetRecords.Do(ctx, n.Client, p, RecordsRequest{digestsJSON(f)})
			return err
		})
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
		err := inTurn(ctx, func() error {
			_, err := PutRecords.Do(ctx, n.Client, p, Records{Records: some})
			return err
		})
		if err != nil {
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
	if m.Err == nil && !m.Grant.NoRenew && !f.Now().Before(m.Grant.RenewAt()) && n.vouches(m) {
		if err := n.renew(&m); err != nil {
			n.log.Debug("a grant could not be renewed", "name", m.Grant.Name, "err", err)
		}
	}
	if info.showed(m.Chain) {
		return nil
	}
	var ack GrantAck
	err := inTurn(ctx, func() (err error) {
		ack, err = PutGrant.Do(ctx, n.Client, p, GrantRequest{Grant: m.Chain.JSON()})
		return err
	})
	if err == nil {
		n.handedOver(m, ack)
	}
	return err
}

// bringNewer hands a member that we dialled the newer grant of its own that is known
// here, before anything else is asked of it: its old one may be over, or about to be by
// the records that we bring, and it would refuse the first command.
func (n *Node) bringNewer(c network.Conn, info *PeerInfo) {
	if n.cfg.Fleet == nil || len(info.shown) == 0 {
		return
	}
	m, ok := n.cfg.Fleet.Known(info.ID)
	if !ok || m.Err != nil || info.showed(m.Chain) {
		return
	}
	ctx, cancel := context.WithTimeout(n.life, handshakeTimeout)
	defer cancel()
	ack, _, err := PutGrant.DoOn(ctx, n.Client, c, GrantRequest{Grant: m.Chain.JSON()})
	if err != nil { // it is brought again with the records
		n.log.Debug("a grant could not be handed over", "peer", info.ID, "err", err)
		return
	}
	info.shown = m.Chain.JSON()
	n.handedOver(m, ack)
}

func (n *Node) handedOver(m trust.Member, ack GrantAck) {
	if ack.New {
		n.log.Info("handed over a new grant", "name", m.Grant.Name, "peer", m.Peer, "until", m.Grant.ExpiresAt().UTC().Format(time.DateOnly))
	}
}

// showed tells whether the peer has shown this very credential.
func (i PeerInfo) showed(c trust.Chain) bool {
	shown, err := trust.ParseChain(i.shown)
	return err == nil && shown.Equal(c)
}

// vouches tells whether a grant may be signed anew, in our name, without anybody
// asking: when the root, this node, or one whom the root has named for it signed it.
// What another issuer made up would outlive that issuer's being thrown out.
func (n *Node) vouches(m trust.Member) bool {
	by := m.Issuer
	return by == nil || by.Subject == n.ID() || slices.Contains(n.cfg.Fleet.Records().Issuers(), by.Subject)
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
	if _, err := f.Replace(m.Peer, c); err != nil {
		return err
	}
	m.Chain = c
	return nil
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
	switch {
	case errors.Is(err, trust.ErrNotSaved):
		n.log.Error("a record of the fleet counts, and is not on the disk", "peer", p.ID, "err", err)
		return RecordsAck{}, streams.Errorf(streams.CodeUnavailable, "the records count here, and could not be saved: bring them again")
	case err != nil:
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
		err := inTurn(ctx, func() error {
			_, err := PutGrant.Do(ctx, n.Client, p, GrantRequest{other, m.Chain.JSON()})
			return err
		})
		if err != nil {
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

// LearnMembers asks a member for the members it knows, of some roles or all, and
// saves them. It returns how many there were.
func (n *Node) LearnMembers(ctx context.Context, p peer.ID, roles ...trust.Role) (int, error) {
	good, after := 0, peer.ID("")
	var unsaved error
	for {
		var got Addr
		err := inTurn(ctx, func() (err error) {
			got, err = GetAddr.Do(ctx, n.Client, p, AddrRequest{after, roles})
			return err
		})
		if err != nil {
			return good, err
		}
		some, err := SaveMembers(n.Book(), n.cfg.Fleet, got.Members)
		if good += some; unsaved == nil {
			unsaved = err
		}
		if !got.More || len(got.Members) == 0 || got.Members[len(got.Members)-1].Peer <= after {
			return good, unsaved
		}
		after = got.Members[len(got.Members)-1].Peer
	}
}
