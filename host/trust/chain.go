package trust

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxChain   = 16 << 10 // bytes of the JSON of a chain
	chainDepth = 4        // that of a sponsor, before that of the member
)

// Chain is the credential that a member shows: one to four signed grants. Its own grant is the last
// one. Before it comes the grant of its issuer, unless the root signed; and before these the chain
// of its sponsor, where a member's ticket brought it in. It holds nothing secret.
type Chain [][]byte

// ParseChain reads the JSON form: an array of one to four base64 texts.
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

// MarshalJSON returns JSON.
func (c Chain) MarshalJSON() ([]byte, error) { return c.JSON(), nil }

// UnmarshalJSON reads what ParseChain reads.
func (c *Chain) UnmarshalJSON(data []byte) error {
	parsed, err := ParseChain(data)
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}

// Equal reports whether both are the same signed bytes.
func (c Chain) Equal(o Chain) bool { return slices.EqualFunc(c, o, bytes.Equal) }

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

// Verify checks a chain that a peer presents: the signatures from the fleet's root down, that the
// last grant is the subject's, and that the issuer stayed within its bounds. It looks at no clock
// and no revocation, so its answer never changes.
func (f FleetID) Verify(c Chain, subject peer.ID) (*Credential, error) {
	cred, rest, err := f.verify(c, subject)
	switch {
	case err != nil:
		return nil, err
	case len(rest) == 0:
		return cred, nil
	case cred.Grant.Sponsor == "":
		return nil, fmt.Errorf("%w: more than the grant of %s", ErrDepth, cred.Grant.Name)
	}
	sponsor, rest, err := f.verify(rest, cred.Grant.Sponsor)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: a sponsor has no sponsor", ErrDepth)
	}
	if err != nil {
		return nil, fmt.Errorf("sponsor: %w", err)
	}
	cred.sponsor = sponsor
	return cred, nil
}

// verify checks the last grant of a chain with that of its issuer, and returns what comes before
// them.
func (f FleetID) verify(c Chain, subject peer.ID) (*Credential, Chain, error) {
	if err := c.checkDepth(); err != nil {
		return nil, nil, err
	}
	st, err := f.Open(c[len(c)-1])
	if err != nil {
		return nil, nil, err
	}
	c = c[:len(c)-1]
	switch {
	case st.Grant == nil:
		return nil, nil, fmt.Errorf("%w: it is no grant", ErrInvalid)
	case st.Grant.Subject != subject:
		return nil, nil, fmt.Errorf("%w: the grant is of %s and was shown by %s", ErrOtherPeer, st.Grant.Subject, subject)
	case st.Grant.Paper == "":
		return credential(st, nil), c, nil
	case len(c) == 0:
		return nil, nil, fmt.Errorf("%w: signed by %s, which the root has not named here", ErrDepth, st.Signer)
	}
	by, err := f.Open(c[len(c)-1])
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("issuer: %w", err)
	case !by.issuer() || by.Grant.Subject != st.Signer:
		return nil, nil, fmt.Errorf("%w: signed by %s, and not by its issuer", ErrDepth, st.Signer)
	case by.Grant.Line.Serial != st.Grant.Paper:
		return nil, nil, fmt.Errorf("%w: signed under another line of %s", ErrSignerEnded, by.Grant.Name)
	}
	return credential(st, by), c[:len(c)-1], by.Grant.stands(st.Grant)
}

// Credential is a member's grant with the issuer that signed it.
type Credential struct {
	Grant *Grant
	// Issuer is the grant of the issuer that signed; nil when the root did.
	Issuer *Grant
	// Unconfirmed is set where a machine signed the grant by itself, on the word of an issuer that
	// has ended. The member is left out of groups until a person has looked.
	Unconfirmed bool

	st, by  *Statement
	sponsor *Credential // of the member whose ticket brought this one in; nil for none
}

func credential(st, by *Statement) *Credential {
	c := &Credential{Grant: st.Grant, st: st, by: by}
	if by != nil {
		c.Issuer = by.Grant
	}
	return c
}

// statements returns what the credential was found in, in the order of its chain.
func (c *Credential) statements() (out []*Statement) {
	if c.sponsor != nil {
		out = c.sponsor.statements()
	}
	if c.by != nil {
		out = append(out, c.by)
	}
	return append(out, c.st)
}

// chain returns the signed form of the credential.
func (c *Credential) chain() (out Chain) {
	for _, st := range c.statements() {
		out = append(out, st.Data)
	}
	return out
}

func (c *Credential) clone() Credential {
	return Credential{c.Grant.clone(), c.Issuer.clone(), c.Unconfirmed, c.st, c.by, c.sponsor}
}
