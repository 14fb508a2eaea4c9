package trust

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Signer signs statements, as the root or as an issuer. What it signs takes effect when a [Fleet]
// learns it: the methods of [Issuance] do both. It may be used concurrently.
type Signer struct {
	fleet FleetID
	key   crypto.PrivKey
	id    peer.ID
	own   *Grant // of the issuer; nil for the root
	paper []byte // own, signed by the root
}

// NewIssuer returns a Signer for a member with the right to issue. The chain is its own credential:
// one grant, signed by the root.
func NewIssuer(fleet FleetID, key crypto.PrivKey, own Chain) (*Signer, error) {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("issuer's key: %w", err)
	}
	cred, err := fleet.Verify(own, id)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if cred.Grant.MayIssue == nil {
		return nil, fmt.Errorf("%w: only the root makes issuers", ErrDepth)
	}
	return newSigner(fleet, key, cred.Grant, own[0])
}

func newSigner(fleet FleetID, key crypto.PrivKey, own *Grant, paper []byte) (*Signer, error) {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("signer's key: %w", err)
	}
	return &Signer{fleet, key, id, own, paper}, nil
}

// ID returns the peer ID of the signing key.
func (s *Signer) ID() peer.ID { return s.id }

// Root reports whether the signer is the root.
func (s *Signer) Root() bool { return s.own == nil }

// ForAll reports whether the signer may sign for everybody: the root, or an issuer for all.
func (s *Signer) ForAll() bool { return s.own == nil || s.own.MayIssue.ForAll }

// gave reports whether the signer signed a grant under its own line that counts now. What it signed
// under one that has ended may be the work of a thief.
func (s *Signer) gave(g *Grant) bool {
	return g.By == s.id && (s.own == nil || g.Paper == s.own.Line.Serial)
}

// newLine begins a line.
func (s *Signer) newLine() Line { return Line{By: s.id, Serial: newSerial()} }

// Issue signs a grant. It sets fleet, signer and time of signing. An empty Line begins one; N 0
// means 1, Expires 0 the lifetime of the role, and nil Verbs those of the role. It refuses what
// members would refuse by the signer's own bounds.
func (s *Signer) Issue(g Grant, now time.Time) (Chain, error) {
	_, c, err := s.issue(g, now)
	return c, err
}

func (s *Signer) issue(g Grant, now time.Time) (*Statement, Chain, error) {
	m := g.clone()
	m.Fleet, m.By, m.Issued = s.fleet, s.id, max(now.UnixMilli(), 1)
	if m.Line == (Line{}) {
		m.Line = s.newLine()
	}
	m.N = max(m.N, 1)
	if m.Verbs == nil {
		m.Verbs = m.Role.Verbs()
	}
	if m.Expires == 0 {
		m.Expires = m.Issued + m.Role.Lifetime().Milliseconds()
	}
	m.Paper = ""
	if s.own != nil {
		m.Paper = s.own.Line.Serial
	}
	st, err := sign(s.fleet, grantKind(), m, s.key)
	if err == nil && s.own != nil {
		err = s.own.stands(st.Grant)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("grant for %s: %w", m.Name, err)
	}
	if s.own == nil {
		return st, Chain{st.Data}, nil
	}
	return st, Chain{slices.Clone(s.paper), st.Data}, nil
}

// MayGive returns why the signer's own bounds do not let it sign a grant, whoever asks for it.
func (s *Signer) MayGive(g *Grant) error {
	m := g.clone()
	if m.Verbs == nil {
		m.Verbs = m.Role.Verbs()
	}
	if err := m.ValidateTexts(); err != nil {
		return err
	}
	if s.own == nil {
		return nil
	}
	if err := s.own.mayGive(m); err != nil {
		return fmt.Errorf("%w: %w", ErrIssuer, err)
	}
	return nil
}

// revoke signs a revocation of a peer or a line. The evidence is a grant of it, with that of its
// issuer; nil for the root.
func (s *Signer) revoke(t target, evidence *Credential, now time.Time) (*Statement, error) {
	r := &Revocation{Fleet: s.fleet, By: s.id, Peer: t.peer, Nonce: newSerial(), Issued: max(now.UnixMilli(), 1)}
	if t.peer == "" {
		r.Line = &t.line
	}
	if s.own != nil {
		if evidence == nil {
			return nil, fmt.Errorf("%w: an issuer revokes only what it can show", ErrIssuer)
		}
		r.Paper = s.paper
		if evidence.by != nil && evidence.st.Signer != s.id {
			r.Evidence = append(r.Evidence, evidence.by.Data)
		}
		r.Evidence = append(r.Evidence, evidence.st.Data)
	}
	return sign(s.fleet, revocationKind(), r, s.key)
}

// End signs, as the root, the revocation of a peer. It needs nothing that anybody else signed.
func (s *Signer) End(p peer.ID, now time.Time) ([]byte, error) {
	st, err := s.revoke(target{peer: p}, nil, now)
	if err != nil {
		return nil, err
	}
	return st.Data, nil
}

func (s *Signer) lift(l Lift, now time.Time) (*Statement, error) {
	l.Fleet, l.Issued = s.fleet, max(now.UnixMilli(), 1)
	return sign(s.fleet, liftKind(), &l, s.key)
}

// liftAll signs as many lifts as it takes to name all of the IDs.
func (s *Signer) liftAll(l Lift, ids []ID, now time.Time) (out []*Statement, err error) {
	for part := range slices.Chunk(ids, maxLiftIDs) {
		l.IDs = part
		st, err := s.lift(l, now)
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

// newSerial returns 26 characters with at least 128 random bits.
func newSerial() string { return rand.Text() }
