package trust

import (
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// clockSlack is how far behind a clock may be for a new grant to hold there: as
// much as messages may be old.
const clockSlack = 10 * time.Minute

// Signer signs grants and records, as the root or as an issuer. It may be used
// concurrently.
type Signer struct {
	fleet FleetID
	key   crypto.PrivKey
	id    peer.ID
	own   *Grant // of the issuer; nil for the root
	paper []byte // own, signed by the root
}

// NewIssuer returns a Signer for a member with the right to issue. The chain
// is its own credential, with one grant, signed by the root.
func NewIssuer(fleet FleetID, key crypto.PrivKey, own Chain) (*Signer, error) {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("issuer's key: %w", err)
	}
	cred, err := fleet.Verify(own, id)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if len(own) != 1 {
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

// Root tells whether it signs as the root.
func (s *Signer) Root() bool { return s.own == nil }

// Issue signs a grant. Fleet, serial and time of signing are set here; an
// empty NotBefore means ten minutes ago, so that it holds where the clock is a
// little behind, an empty Expires the lifetime of the role, and no
// verbs the bundle of the role. It refuses what the members would refuse.
func (s *Signer) Issue(g Grant, now time.Time) (Chain, error) {
	m := g.clone()
	m.Fleet, m.Serial, m.Issued = s.fleet, newSerial(), now.UnixMilli()
	if m.Verbs == nil {
		m.Verbs = m.Role.Verbs()
	}
	if m.NotBefore == 0 {
		m.NotBefore = m.Issued - clockSlack.Milliseconds()
	}
	if m.Expires == 0 {
		m.Expires = m.Issued + m.Role.Lifetime().Milliseconds()
		if s.own != nil {
			m.Expires = min(m.Expires, s.own.Expires+maxOutlives.Milliseconds())
		}
	}
	data, err := seal(grantKind(), m, s.key)
	if err != nil {
		return nil, err
	}
	c := Chain{data}
	if s.own != nil {
		c = Chain{slices.Clone(s.paper), data}
	}
	if _, err := s.fleet.Verify(c, m.Subject); err != nil {
		return nil, fmt.Errorf("grant for %s: %w", m.Name, err)
	}
	return c, nil
}

// Renew signs a grant that says the same for a further life of the same length,
// from now on. It is for the caller to know that the old one still counts.
func (s *Signer) Renew(old *Grant, now time.Time) (Chain, error) {
	g := old.clone()
	life := g.Expires - g.Issued
	if g.Verbs == nil {
		g.Verbs = []string{} // none, and not those of the role
	}
	g.NotBefore = 0
	g.Also = slices.DeleteFunc(g.Also, func(r Right) bool { return r.Expires != 0 && r.Expires <= now.UnixMilli() })
	g.Expires = now.UnixMilli() + life
	if s.own != nil {
		g.Expires = min(g.Expires, s.own.Expires+maxOutlives.Milliseconds())
	}
	return s.Issue(*g, now)
}
