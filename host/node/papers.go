package node

import (
	"context"
	"errors"
	"time"

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

// ask does one exchange with a peer, at the pace that it takes: on a connection whose handshake is
// still under way, or on any one when conn is nil.
func ask[Req, Res any](ctx context.Context, n *Node, to party, call streams.Call[Req, Res], req Req) (res Res, err error) {
	err = inTurn(ctx, func() (err error) {
		if to.conn != nil {
			res, _, err = call.DoOn(ctx, n.Client, to.conn, req)
			return err
		}
		res, err = call.Do(ctx, n.Client, to.peer, req)
		return err
	})
	return res, err
}

// party is whom statements are exchanged with.
type party struct {
	peer peer.ID
	conn network.Conn // nil for any
}

// sync brings this node and a peer to the same statements: those that all keep, and the grants of
// both. Told is what the peer says of its own; where it says the same as we, there is nothing to do.
func (n *Node) sync(ctx context.Context, to party, told string) error {
	f := n.cfg.Fleet
	if told != "" && told == f.Exchange().Digest(to.peer) {
		return nil
	}
	r := CompareRequest{Sums: f.Exchange().Sums(to.peer)}
	for {
		got, err := ask(ctx, n, to, Compare, r)
		if err != nil {
			return err
		}
		if err := n.give(ctx, to, f.Exchange().Beyond(to.peer, got.IDs, got.Buckets)); err != nil {
			return err
		}
		if err := n.fetch(ctx, to, f.Exchange().Lacks(got.IDs)); err != nil {
			return err
		}
		if !got.More || len(got.IDs) == 0 {
			return nil
		}
		r.After = got.IDs[len(got.IDs)-1].String()
	}
}

// fetch asks a peer for statements, and takes them.
func (n *Node) fetch(ctx context.Context, to party, ids []trust.ID) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), maxStatements)]
		got, err := ask(ctx, n, to, GetStatements, StatementsRequest{some})
		if err != nil {
			return err
		}
		if _, err := n.cfg.Fleet.Learn(got.Statements...); err != nil {
			n.log.Debug("a statement of the fleet was refused", "peer", to.peer, "err", err)
		}
		left := n.cfg.Fleet.Exchange().Lacks(ids)
		if len(left) == len(ids) {
			left = ids[len(some):] // forgotten there meanwhile, or refused here
		}
		ids = left
	}
	return nil
}

// give hands statements to a peer.
func (n *Node) give(ctx context.Context, to party, statements [][]byte) error {
	for len(statements) > 0 {
		some := fitting(statements)
		if _, err := ask(ctx, n, to, PutStatements, Statements{some}); err != nil {
			return err
		}
		statements = statements[len(some):]
	}
	return nil
}

// fitting returns as many as fit into one message, and one at least.
func fitting(statements [][]byte) [][]byte {
	size := 0
	for i, s := range statements {
		if size += len(s); i > 0 && (size > statementsBytes || i >= maxStatements) {
			return statements[:i]
		}
	}
	return statements
}

// renewFor signs a member's grant anew when it is time, or its signer has ended, and this node
// signs such things by itself. It reports whether the member has something new to be given.
func (n *Node) renewFor(ctx context.Context, to party) (bool, error) {
	f, p := n.cfg.Fleet, to.peer
	m, ok := f.Known(p)
	if !ok || f.Self().Grant.MayIssue == nil || !due(f, &m) {
		return false, nil
	}
	if m.Err != nil {
		// All that the machine itself has is looked at before anything is signed by itself.
		if err := n.sync(ctx, to, ""); err != nil {
			return false, err
		}
	}
	n.renewing.Lock() // both ways of coming here may meet
	defer n.renewing.Unlock()
	if m, ok = f.Known(p); !ok || !due(f, &m) {
		return ok, nil // it was signed meanwhile
	}
	s, err := f.Signer(n.Peerstore().PrivKey(n.ID()))
	if err != nil {
		return false, err
	}
	if _, err := f.Issuance().Renew(s, p); err != nil {
		if errors.Is(err, trust.ErrNeedsPerson) {
			n.log.Warn("a member waits for a person", "name", m.Grant.Name, "peer", p, "why", err)
			return false, nil
		}
		return false, err
	}
	if f.Member(p) {
		n.strangers.promote(p)
	}
	return true, nil
}

// due reports whether a grant is to be signed anew by itself.
func due(f *trust.Fleet, m *trust.Member) bool {
	switch {
	case m.Err == nil:
		return !m.Grant.NoRenew && m.Grant.MayIssue == nil && !f.Now().Before(m.Grant.RenewAt())
	case f.Revoked(m.Peer):
		return false
	default:
		return !m.Grant.NoRenew && (errors.Is(m.Err, trust.ErrSignerEnded) || errors.Is(m.Err, trust.ErrExpired))
	}
}

// attend does for a member what an issuer's machine owes it: a grant that is due is signed, and
// handed over.
func (n *Node) attend(ctx context.Context, to party) error {
	renewed, err := n.renewFor(ctx, to)
	if err != nil || !renewed {
		return err
	}
	m, ok := n.cfg.Fleet.Known(to.peer)
	if !ok {
		return nil
	}
	if err := n.give(ctx, to, m.Chain); err != nil {
		return err
	}
	n.log.Info("handed over a new grant", "name", m.Grant.Name, "peer", m.Peer, "until", m.Grant.ExpiresAt().UTC().Format(time.DateOnly))
	return nil
}

// knows lets through peers that have shown a grant of the fleet, whether it counts or not.
func (n *Node) knows(p peer.ID) error {
	if _, ok := n.cfg.Fleet.Known(p); !ok || n.cfg.Fleet.Revoked(p) {
		return streams.Errorf(streams.CodeUnauthenticated, "not for strangers: show a grant in the handshake")
	}
	return nil
}

func (n *Node) answerCompare(_ context.Context, p streams.Peer, r CompareRequest) (Compared, error) {
	if err := n.knows(p.ID); err != nil {
		return Compared{}, err
	}
	var after trust.ID
	if r.After != "" {
		if err := after.UnmarshalText([]byte(r.After)); err != nil {
			return Compared{}, streams.Errorf(streams.CodeInvalid, "after: %v", err)
		}
	}
	ids, buckets, more := n.cfg.Fleet.Exchange().Differing(p.ID, r.Sums, after, maxCompared)
	return Compared{ids, buckets, more}, nil
}

func (n *Node) answerStatements(_ context.Context, p streams.Peer, r StatementsRequest) (Statements, error) {
	if err := n.knows(p.ID); err != nil {
		return Statements{}, err
	}
	return Statements{fitting(n.cfg.Fleet.Exchange().Bodies(p.ID, r.IDs))}, nil
}

// takeStatements keeps what a peer brings, a stranger too: statements prove themselves, and the
// machine that brings the news of its own return is no member yet.
func (n *Node) takeStatements(_ context.Context, p streams.Peer, r Statements) (StatementsAck, error) {
	f := n.cfg.Fleet
	if n.knows(p.ID) != nil && !n.unknown.AllowN(time.Now(), len(r.Statements)) {
		return StatementsAck{}, streams.Errorf(streams.CodeTooMany, "strangers bring too many statements: try again")
	}
	before := f.Self().Grant
	news, err := f.Learn(r.Statements...)
	switch {
	case errors.Is(err, trust.ErrNotSaved):
		n.log.Error("a statement of the fleet counts, and is not on the disk", "peer", p.ID, "err", err)
		return StatementsAck{}, streams.Errorf(streams.CodeUnavailable, "the statements count here, and could not be saved: bring them again")
	case err != nil:
		n.log.Debug("a statement of the fleet was refused", "peer", p.ID, "err", err)
	}
	if f.Member(p.ID) {
		n.strangers.promote(p.ID)
	}
	if own := f.Self().Grant; own.Line != before.Line || own.N != before.N {
		n.log.Info("took a new grant", "from", p.ID, "name", own.Name, "until", own.ExpiresAt().UTC().Format(time.DateOnly))
	}
	missing := f.Missing()
	return StatementsAck{news, missing[:min(len(missing), maxCompared)]}, nil
}

// BringUpToDate connects with a member and hands over all that is newer here: the statements that
// all keep, its own grants, and the grants of others for it to keep.
func (n *Node) BringUpToDate(ctx context.Context, p peer.ID, others ...peer.ID) error {
	info, err := n.Greeting(ctx, p)
	if err != nil {
		return err
	}
	if err := n.sync(ctx, party{peer: p}, info.digest); err != nil {
		return err
	}
	for _, other := range others {
		if m, ok := n.cfg.Fleet.Known(other); ok && other != p {
			if err := n.give(ctx, party{peer: p}, m.Chain); err != nil {
				return err
			}
		}
	}
	return n.attend(ctx, party{peer: p})
}

// Missing asks a machine which statements it has lost.
func (n *Node) Missing(ctx context.Context, p peer.ID) ([]trust.ID, error) {
	if _, err := n.Greeting(ctx, p); err != nil {
		return nil, err
	}
	ack, err := PutStatements.Do(ctx, n.Client, p, Statements{[][]byte{}})
	return ack.Missing, err
}

// maxPages is how many answers of a member about others are taken: as many as there can be members.
const maxPages = 10_000 / maxAnswered

// LearnMembers asks a member for the members it knows, of some roles or all, and
// saves them. It returns how many there were.
func (n *Node) LearnMembers(ctx context.Context, p peer.ID, roles ...trust.Role) (int, error) {
	good, after := 0, peer.ID("")
	var unsaved error
	for range maxPages {
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
	return good, unsaved
}
