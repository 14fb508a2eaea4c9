package membership

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// ask does one exchange with a peer, at the pace that it takes: on a connection whose handshake is
// still under way, or on any one when conn is nil.
func ask[Req, Res any](
	ctx context.Context, m *Membership, to party, call streams.Call[Req, Res], req Req) (res Res, err error) {
	err = streams.Patiently(ctx, func() (err error) {
		if to.conn != nil {
			res, _, err = call.DoOn(ctx, m.cfg.Client, to.conn, req)
			return err
		}
		res, err = call.Do(ctx, m.cfg.Client, to.peer, req)
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
// both. Told is what the peer says of its own; where it says the same as we, there is nothing to
// do.
func (m *Membership) sync(ctx context.Context, to party, told string) error {
	f := m.cfg.Fleet
	if err := m.fetch(ctx, to, f.Exchange().Sought(maxStatements)); err != nil {
		return err
	}
	if told != "" && told == f.Exchange().Digest(to.peer) {
		return nil
	}
	r := CompareRequest{Sums: f.Exchange().Sums(to.peer)}
	for {
		got, err := ask(ctx, m, to, Compare, r)
		if err != nil {
			return err
		}
		if err := m.give(ctx, to, f.Exchange().Beyond(to.peer, got.IDs, got.Buckets)); err != nil {
			return err
		}
		if err := m.give(ctx, to, f.Exchange().Bodies(to.peer, got.Missing)); err != nil {
			return err
		}
		f.Exchange().Seek(got.Missing)
		if err := m.fetch(ctx, to, f.Exchange().Lacks(got.IDs)); err != nil {
			return err
		}
		if !got.More || len(got.IDs) == 0 {
			return nil
		}
		r.After = got.IDs[len(got.IDs)-1].String()
	}
}

// fetch asks a peer for statements, and takes them.
func (m *Membership) fetch(ctx context.Context, to party, ids []trust.ID) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), maxStatements)]
		got, err := ask(ctx, m, to, GetStatements, StatementsRequest{some})
		if err != nil {
			return err
		}
		if _, err := m.cfg.Fleet.Learn(got.Statements...); err != nil {
			m.log.Debug("a statement of the fleet was refused", "peer", to.peer, "err", err)
		}
		left := m.cfg.Fleet.Exchange().Lacks(ids)
		if len(left) == len(ids) {
			left = ids[len(some):] // forgotten there meanwhile, or refused here
		}
		ids = left
	}
	return nil
}

// give hands statements to a peer.
func (m *Membership) give(ctx context.Context, to party, statements [][]byte) error {
	for len(statements) > 0 {
		some := fitting(statements)
		if _, err := ask(ctx, m, to, PutStatements, Statements{some}); err != nil {
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

// renewFor renews a member's grant when it is due or its signer was revoked, and this node may do
// so by itself. It reports whether the member has something new to be given.
func (m *Membership) renewFor(ctx context.Context, to party) (bool, error) {
	f, p := m.cfg.Fleet, to.peer
	mem, ok := f.Known(p)
	if !ok || f.Self().Grant.MayIssue == nil || !due(f, &mem) {
		return false, nil
	}
	if by := mem.Grant.By; mem.Err != nil || by != f.Root() && by != f.Self().Grant.Subject {
		// All that the machine itself has is looked at before anything is signed by itself on the word
		// of others: the grant that it shows may be of a thief.
		if err := m.sync(ctx, to, ""); err != nil {
			return false, err
		}
	}
	m.renewing.Lock() // both ways of coming here may meet
	defer m.renewing.Unlock()
	if mem, ok = f.Known(p); !ok || !due(f, &mem) {
		return ok, nil // it was signed meanwhile
	}
	s, err := f.Signer(m.cfg.Key)
	if err != nil {
		return false, err
	}
	if _, err := f.Issuance().Renew(s, p); err != nil {
		if errors.Is(err, trust.ErrNeedsPerson) {
			m.log.Warn("a member waits for a person", "name", mem.Grant.Name, "peer", p, "why", err)
			return false, nil
		}
		return false, err
	}
	if f.Member(p) {
		m.cfg.Promote(p)
	}
	return true, nil
}

// due reports whether a grant is to be renewed without a person.
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

// attend renews a member's grant if that is due and up to this node, and hands it over.
func (m *Membership) attend(ctx context.Context, to party) error {
	renewed, err := m.renewFor(ctx, to)
	if err != nil || !renewed {
		return err
	}
	mem, ok := m.cfg.Fleet.Known(to.peer)
	if !ok {
		return nil
	}
	if err := m.give(ctx, to, mem.Chain); err != nil {
		return err
	}
	m.log.Info("handed over a new grant", "name", mem.Grant.Name, "peer", mem.Peer,
		"until", mem.Grant.ExpiresAt().UTC().Format(time.DateOnly))
	return nil
}

// knows admits peers that have shown a grant of the fleet, whether it counts or not.
func (m *Membership) knows(p peer.ID) error {
	if _, ok := m.cfg.Fleet.Known(p); !ok || m.cfg.Fleet.Revoked(p) {
		return streams.Errorf(streams.CodeUnauthenticated, "not for strangers: show a grant in the handshake")
	}
	return nil
}

func (m *Membership) answerCompare(_ context.Context, p streams.Peer, r CompareRequest) (Compared, error) {
	if err := m.knows(p.ID); err != nil {
		return Compared{}, err
	}
	var after trust.ID
	if r.After != "" {
		if err := after.UnmarshalText([]byte(r.After)); err != nil {
			return Compared{}, streams.Errorf(streams.CodeInvalid, "after: %v", err)
		}
	}
	ids, buckets, more := m.cfg.Fleet.Exchange().Differing(p.ID, r.Sums, after, maxCompared)
	c := Compared{IDs: ids, Buckets: buckets, More: more}
	if r.After == "" { // once in a comparison
		missing := m.cfg.Fleet.Missing()
		c.Missing = missing[:min(len(missing), maxStatements)]
	}
	return c, nil
}

func (m *Membership) answerStatements(_ context.Context, p streams.Peer, r StatementsRequest) (Statements, error) {
	if err := m.knows(p.ID); err != nil {
		return Statements{}, err
	}
	return Statements{fitting(m.cfg.Fleet.Exchange().Bodies(p.ID, r.IDs))}, nil
}

// takeStatements keeps what a peer brings, a stranger too: statements prove themselves, and the
// machine that brings the news of its own return is no member yet.
func (m *Membership) takeStatements(_ context.Context, p streams.Peer, r Statements) (StatementsAck, error) {
	f := m.cfg.Fleet
	if m.knows(p.ID) != nil && !m.unknown.AllowN(time.Now(), len(r.Statements)) {
		return StatementsAck{}, streams.Errorf(streams.CodeTooMany, "strangers bring too many statements: try again")
	}
	before := f.Self().Grant
	news, err := f.Learn(r.Statements...)
	switch {
	case errors.Is(err, trust.ErrNotSaved):
		m.log.Error("a statement of the fleet counts, and is not on the disk", "peer", p.ID, "err", err)
		return StatementsAck{}, streams.Errorf(
			streams.CodeUnavailable, "the statements count here, and could not be saved: bring them again")
	case err != nil:
		m.log.Debug("a statement of the fleet was refused", "peer", p.ID, "err", err)
	}
	if f.Member(p.ID) {
		m.cfg.Promote(p.ID)
	}
	if own := f.Self().Grant; own.Line != before.Line || own.N != before.N {
		m.log.Info(
			"took a new grant", "from", p.ID, "name", own.Name, "until", own.ExpiresAt().UTC().Format(time.DateOnly))
	}
	missing := f.Missing()
	return StatementsAck{news, missing[:min(len(missing), maxCompared)]}, nil
}

// BringUpToDate hands a member that has greeted all that is newer here: the statements that all
// keep, its own grants, and the grants of others for it to keep. digest stands for the statements
// that it has.
func (m *Membership) BringUpToDate(ctx context.Context, p peer.ID, digest string, others ...peer.ID) error {
	if err := m.sync(ctx, party{peer: p}, digest); err != nil {
		return err
	}
	for _, other := range others {
		if mem, ok := m.cfg.Fleet.Known(other); ok && other != p {
			if err := m.give(ctx, party{peer: p}, mem.Chain); err != nil {
				return err
			}
		}
	}
	return m.attend(ctx, party{peer: p})
}

// Keeps hands a member that has greeted some of this node's statements, whatever it says that it has,
// and returns an error unless it keeps them: what a bound keeps out there counts here only.
func (m *Membership) Keeps(ctx context.Context, p peer.ID, ids []trust.ID) error {
	for _, id := range ids {
		for _, body := range m.cfg.Fleet.Exchange().Bodies(p, []trust.ID{id}) {
			if err := m.give(ctx, party{peer: p}, [][]byte{body}); err != nil {
				return err
			}
			got, err := ask(ctx, m, party{peer: p}, GetStatements, StatementsRequest{[]trust.ID{id}})
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(got.Statements, func(s []byte) bool { return bytes.Equal(s, body) }) {
				return streams.Errorf(streams.CodeTooLarge, "it has no room for what this key signs")
			}
		}
	}
	return nil
}

// Missing asks a machine which statements it has lost.
func (m *Membership) Missing(ctx context.Context, p peer.ID) ([]trust.ID, error) {
	ack, err := PutStatements.Do(ctx, m.cfg.Client, p, Statements{[][]byte{}})
	return ack.Missing, err
}

// Common returns the statements that all keep, as many as fit into one message and no more than
// most.
func (m *Membership) Common(most int) [][]byte {
	all := fitting(m.cfg.Fleet.Exchange().Common())
	return all[:min(len(all), most)]
}
