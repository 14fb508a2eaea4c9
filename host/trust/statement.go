package trust

import (
	"bytes"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"

	"github.com/seed-b490fa12/swarm/internal/statements"
)

// MaxStatement is the size of the largest statement, a [Lift] with a long list; all others
// are at most 32 KiB.
const MaxStatement = maxLiftBytes

// ID names a statement: the SHA-256 of its domain string, a zero byte, and what was signed.
type ID = statements.ID

// Line names what a person once decided about a member. Renewals stay in the line and raise
// [Grant.N]; a new decision begins a new line.
type Line struct {
	// By is the signer that began the line, by the word of the signer of the grant.
	By peer.ID `json:"by"`
	// Serial is 26 characters with at least 128 random bits.
	Serial string `json:"serial"`
}

func (l Line) validate() error {
	if err := l.By.Validate(); err != nil {
		return fmt.Errorf("line: %w", err)
	}
	return validateSerial(l.Serial)
}

// Statement is one verified signed grant, revocation, lift or policy. It is valid in form, and that
// never changes; a [Fleet] judges whether it counts. It is not changed after it is made.
type Statement struct {
	ID     ID
	Signer peer.ID
	// Data is the signed envelope.
	Data []byte

	// One of these is not nil.
	Grant      *Grant
	Revocation *Revocation
	Lift       *Lift
	Policy     *Policy
}

// issuer reports whether the statement is an issuer's grant.
func (s *Statement) issuer() bool { return s.Grant != nil && s.Grant.MayIssue != nil }

// kept reports whether a node must not forget the statement: a revocation, or an issuer's
// grant. Its ID is in the node's index.
func (s *Statement) kept() bool { return s.Revocation != nil || s.issuer() }

// common reports whether every node of the fleet keeps the statement: all but the grants of
// members.
func (s *Statement) common() bool { return s.Grant == nil || s.issuer() }

// entries are statements as they lie on the disk.
func entries(list []*Statement) []statements.Entry {
	out := make([]statements.Entry, len(list))
	for i, st := range list {
		out[i] = statements.Entry{ID: st.ID, Data: st.Data, Kept: st.kept()}
	}
	return out
}

// issued returns the time of signing by the signer's clock, in Unix milliseconds.
func (s *Statement) issued() int64 {
	switch {
	case s.Grant != nil:
		return s.Grant.Issued
	case s.Revocation != nil:
		return s.Revocation.Issued
	case s.Lift != nil:
		return s.Lift.Issued
	default:
		return s.Policy.Issued
	}
}

// Open verifies a statement's signature, and that it is valid in form: that its signer may ever say
// such a thing. It looks at no clock and at no other statement, so its answer never changes.
func (f FleetID) Open(data []byte) (*Statement, error) {
	root, err := f.signer()
	if err != nil {
		return nil, err
	}
	if len(data) > MaxStatement {
		return nil, fmt.Errorf("%w: %d bytes are more than %d", ErrInvalid, len(data), MaxStatement)
	}
	env, err := record.UnmarshalEnvelope(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	s := &Statement{Data: bytes.Clone(data)}
	switch codec := string(env.PayloadType); codec {
	case grantKind().codec:
		s.Grant, err = openInto[Grant](s, grantKind())
	case revocationKind().codec:
		s.Revocation, err = openInto[Revocation](s, revocationKind())
	case liftKind().codec:
		s.Lift, err = openInto[Lift](s, liftKind())
	case policyKind().codec:
		s.Policy, err = openInto[Policy](s, policyKind())
	default:
		err = fmt.Errorf("%w: %q is no kind of statement", ErrInvalid, shorten(codec))
	}
	if err != nil {
		return nil, err
	}
	return s, f.checkForm(s, root)
}

func openInto[T any](s *Statement, k kind) (*T, error) {
	o, err := open[T](k, s.Data)
	if err != nil {
		return nil, err
	}
	s.ID, s.Signer = o.id, o.signer
	return &o.value, nil
}

func (f FleetID) checkForm(s *Statement, root peer.ID) error {
	switch {
	case s.Grant != nil:
		return f.checkGrant(s.Grant, s.Signer, root)
	case s.Revocation != nil:
		return f.checkRevocation(s.Revocation, s.Signer, root)
	case s.Lift != nil:
		return f.checkRoots(s.Lift.Fleet, s.Signer, root, s.Lift.validate())
	default:
		return f.checkRoots(s.Policy.Fleet, s.Signer, root, s.Policy.validate())
	}
}

// checkRoots checks the form of what only the root may say.
func (f FleetID) checkRoots(of FleetID, signer, root peer.ID, bad error) error {
	switch {
	case of != f:
		return otherFleet(of, f)
	case signer != root:
		return fmt.Errorf("%w: signed by %s, and only the root may say this", ErrIssuer, signer)
	case bad != nil:
		return fmt.Errorf("%w: %w", ErrInvalid, bad)
	default:
		return nil
	}
}

func otherFleet(of, f FleetID) error {
	return fmt.Errorf("%w: %s, and this one is %s", ErrOtherFleet, of.Short(), f.Short())
}

// sign seals a value, and verifies it as all others will.
func sign[T any](f FleetID, k kind, value *T, key crypto.PrivKey) (*Statement, error) {
	data, err := seal(k, value, key)
	if err != nil {
		return nil, err
	}
	return f.Open(data)
}
