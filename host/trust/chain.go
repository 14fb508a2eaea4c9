package trust

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxChain    = 16 << 10 // bytes of the JSON of a chain
	chainDepth  = 2
	maxOutlives = 365 * day // how far a grant may outlive its issuer's
	// maxBackdate is how long before its signing an issuer's grant may begin: with a
	// made-up beginning it would be past two thirds of its life, and due, at once.
	maxBackdate = time.Hour
)

// Chain is a credential: the signed grant of a member, after that of its
// issuer when it was not the root who signed. It holds nothing secret.
type Chain [][]byte

// ParseChain reads the JSON form: an array of one or two base64 texts.
func ParseChain(text []byte) (Chain, error) {
	if len(text) > maxChain {
		return nil, fmt.Errorf("%w: a chain of %d bytes, more than %d", ErrInvalid, len(text), maxChain)
	}
	var grants [][]byte
	if err := json.Unmarshal(text, &grants); err != nil {
		return nil, fmt.Errorf("%w: chain: %w", ErrInvalid, err)
	}
	c := Chain(grants)
	if err := c.checkDepth(); err != nil {
		return nil, err
	}
	v := jsontext.Value(bytes.Clone(text))
	if err := v.Compact(); err != nil || !bytes.Equal(v, c.JSON()) {
		return nil, fmt.Errorf("%w: chain is not in its plain form", ErrInvalid)
	}
	return c, nil
}

// JSON returns the form that travels in the handshake; null for no chain.
func (c Chain) JSON() jsontext.Value {
	if len(c) == 0 {
		return jsontext.Value("null")
	}
	data, err := json.Marshal([][]byte(c))
	if err != nil { // byte slices always have a JSON form
		return jsontext.Value("null")
	}
	return data
}

func (c Chain) checkDepth() error {
	switch {
	case len(c) == 0:
		return fmt.Errorf("%w: an empty chain", ErrInvalid)
	case len(c) > chainDepth:
		return fmt.Errorf("%w: %d grants, more than %d", ErrDepth, len(c), chainDepth)
	default:
		return nil
	}
}

// Credential is a chain whose signatures and rights were verified.
type Credential struct {
	Grant *Grant
	// Issuer is the grant of the issuer who signed; nil when the root did.
	Issuer *Grant
}

// Verify checks a chain that a peer presents, without times and revocations:
// signatures from the fleet's root down, that the grant is the subject's, and
// that an issuer stayed within its rights. The answer never changes with time.
func (f FleetID) Verify(c Chain, subject peer.ID) (*Credential, error) {
	if err := c.checkDepth(); err != nil {
		return nil, err
	}
	root, err := f.signer()
	if err != nil {
		return nil, err
	}
	var cred Credential
	by := root
	if len(c) == chainDepth {
		if cred.Issuer, err = f.verifyOne(c[0], root, root); err != nil {
			return nil, fmt.Errorf("issuer: %w", err)
		}
		by = cred.Issuer.Subject
	}
	if cred.Grant, err = f.verifyOne(c[len(c)-1], by, root); err != nil {
		return nil, err
	}
	if cred.Grant.Subject != subject {
		return nil, fmt.Errorf("%w: the grant is of %s and was shown by %s", ErrOtherPeer, cred.Grant.Subject, subject)
	}
	if cred.Issuer != nil {
		if err := cred.Issuer.mayIssue(cred.Grant); err != nil {
			return nil, err
		}
	}
	return &cred, nil
}

// verifyOne opens a grant that by must have signed.
func (f FleetID) verifyOne(data []byte, by, root peer.ID) (*Grant, error) {
	o, err := open[Grant](grantKind(), data)
	if err != nil {
		return nil, err
	}
	g := &o.value
	switch {
	case g.Fleet != f:
		return nil, fmt.Errorf("%w: %s, and this one is %s", ErrOtherFleet, g.Fleet.Short(), f.Short())
	case o.signer != by && by == root:
		return nil, fmt.Errorf("%w: signed by %s, which the root has not named here", ErrDepth, o.signer)
	case o.signer != by:
		return nil, fmt.Errorf("%w: signed by %s, and not by its issuer %s", ErrInvalid, o.signer, by)
	}
	if err := g.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return g, nil
}

// mayIssue tells why the holder of g may not sign the grant of a member.
func (g *Grant) mayIssue(m *Grant) error {
	if err := g.mayGive(m); err != nil {
		return fmt.Errorf("%w: %w", ErrIssuer, err)
	}
	switch {
	case m.MayIssue != nil:
		return fmt.Errorf("%w: an issuer cannot make issuers", ErrDepth)
	case m.Issued < g.NotBefore || m.Issued >= g.Expires:
		return fmt.Errorf("%w: signed on %s, outside the issuer's own time", ErrIssuer, when(m.Issued))
	case m.NotBefore < m.Issued-maxBackdate.Milliseconds():
		return fmt.Errorf("%w: it begins on %s, long before it was signed on %s", ErrIssuer, when(m.NotBefore), when(m.Issued))
	case m.Expires > g.Expires+maxOutlives.Milliseconds():
		return fmt.Errorf("%w: it ends more than a year after the issuer's own", ErrIssuer)
	default:
		return nil
	}
}

// mayGive compares what the grant m gives with the bounds of its issuer.
func (g *Grant) mayGive(m *Grant) error {
	b := g.MayIssue
	if b == nil {
		return fmt.Errorf("%s may not issue anything", g.Name)
	}
	if !b.hasRole(m.Role) {
		return fmt.Errorf("%s may not give the role %s", g.Name, m.Role)
	}
	for _, r := range m.rights() {
		if !coversAll(b.Verbs, r.Verbs) {
			return fmt.Errorf("%s may not give all of the verbs %v", g.Name, r.Verbs)
		}
		if err := g.narrower(r); err != nil {
			return err
		}
	}
	if ok, err := path.Match(b.Names, m.Name); b.Names != "" && (err != nil || !ok) {
		return fmt.Errorf("%s may not give the name %s", g.Name, m.Name)
	}
	for k, v := range b.Labels {
		if got, ok := m.Labels[k]; !ok || got != v {
			return fmt.Errorf("%s must give the label %s=%s", g.Name, k, v)
		}
	}
	return g.covers(m.Labels)
}

// covers holds the labels that g gives to the machines that g has rights on: its
// rights follow the labels.
func (g *Grant) covers(labels map[string]string) error {
	on, err := ParseSelector(g.On)
	if err == nil && len(labels) > 0 && !on.Match(labels) {
		err = fmt.Errorf("%s may give labels only to machines of %s", g.Name, g.On)
	}
	return err
}

// narrower holds a right to the machines that g has rights on.
func (g *Grant) narrower(m Right) error {
	if len(m.Verbs) == 0 {
		return nil
	}
	outer, err := ParseSelector(g.On)
	if err != nil {
		return err
	}
	inner, err := ParseSelector(m.On)
	if err != nil {
		return err
	}
	if !inner.Within(outer) {
		return fmt.Errorf("%s may give rights only on %s", g.Name, g.On)
	}
	return nil
}

func (b *Bounds) hasRole(r Role) bool {
	return slices.Contains(b.Roles, r)
}

// ValidAt tells why the credential does not hold at a time, or by what was
// revoked. The grant of an issuer need not hold any more: it held when it signed.
func (c *Credential) ValidAt(now time.Time, revoked *Revoked) error {
	if err := revoked.check(c); err != nil {
		return err
	}
	return c.Grant.validAt(now)
}

// MayLetIn tells why the holder of the credential cannot give a ticket's role.
func (c *Credential) MayLetIn(r Role) error {
	switch b := c.Grant.MayIssue; {
	case r == RoleIssuer && b != nil:
		return nil // signed by the root beforehand
	case b == nil || !b.hasRole(r):
		return fmt.Errorf("%w: %s may not give the role %s", ErrIssuer, c.Grant.Name, r)
	case c.Issuer != nil:
		return ErrDepth
	default:
		return nil
	}
}
