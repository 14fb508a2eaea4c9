package trust

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds on revocations, lifts and policies, in bytes of the envelope.
const (
	maxRevocationBytes = 32 << 10
	maxLiftBytes       = 160 << 10
	maxPolicyBytes     = 8 << 10
	maxLiftIDs         = 3_000
)

func revocationKind() kind {
	return kind{"swarm-revocation", "/swarm/revocation/1", maxRevocationBytes}
}
func liftKind() kind   { return kind{"swarm-lift", "/swarm/lift/1", maxLiftBytes} }
func policyKind() kind { return kind{"swarm-policy", "/swarm/policy/1", maxPolicyBytes} }

// Revocation takes the rights of a peer, or those of one line, away. Nothing but a [Lift] ends
// it. It proves by itself that its signer may say it, so statements can arrive in any order.
type Revocation struct {
	Fleet FleetID `json:"fleet"`
	// By is the signer.
	By peer.ID `json:"by"`
	// Peer or Line is what is revoked; the other one is empty.
	Peer peer.ID `json:"peer,omitzero"`
	Line *Line   `json:"line,omitzero"`
	// Paper is the signer's own grant, signed by the root; empty for the root.
	Paper []byte `json:"paper,omitzero"`
	// Evidence is a grant of what is revoked. Before it comes the grant of its issuer, where that
	// is not the signer of the revocation. The root needs no evidence.
	Evidence [][]byte `json:"evidence,omitzero"`
	// Nonce makes each revocation a new statement, so that one can be lifted and the next counts.
	Nonce string `json:"nonce"`
	// Issued is when it was signed by the signer's clock, in Unix milliseconds: display only.
	Issued int64 `json:"issued"`

	forAll bool    // set by checkRevocation: the signer was named for all, with the right to revoke
	own    bool    // set by checkRevocation: the signer could have made up the evidence itself
	shown  peer.ID // set by checkRevocation: the signer of the evidence, who could have made it up; empty for the root
	paper  string  // set by checkRevocation: the serial of the signer's own line; empty for the root
}

// target is what a revocation names.
type target struct {
	peer peer.ID
	line Line
}

func (r *Revocation) target() target {
	if r.Line != nil {
		return target{line: *r.Line}
	}
	return target{peer: r.Peer}
}

func (f FleetID) checkRevocation(r *Revocation, signer, root peer.ID) error {
	switch {
	case r.Fleet != f:
		return otherFleet(r.Fleet, f)
	case r.By != signer:
		return fmt.Errorf("%w: a revocation of %s signed by %s", ErrInvalid, r.By, signer)
	}
	if err := r.validate(); err != nil {
		return fmt.Errorf("%w: revocation: %w", ErrInvalid, err)
	}
	if signer == root {
		if len(r.Paper)+len(r.Evidence) > 0 {
			return fmt.Errorf("%w: the root needs no evidence", ErrInvalid)
		}
		return nil
	}
	paper, err := f.openPaper(r.Paper, signer)
	if err != nil {
		return fmt.Errorf("the signer of the revocation: %w", err)
	}
	e, err := f.openEvidence(r)
	if err != nil {
		return fmt.Errorf("the evidence of the revocation: %w", err)
	}
	r.forAll = paper.MayIssue.ForAll && paper.Has(VerbRevoke)
	if e.Paper != "" {
		r.shown = e.By
	}
	r.own = e.Line.By == signer || e.By == signer
	r.paper = paper.Line.Serial
	return nil
}

func (r *Revocation) validate() error {
	switch {
	case (r.Peer == "") == (r.Line == nil):
		return fmt.Errorf("it names a peer or a line")
	case r.Issued < 0 || r.Issued > maxMillis:
		return fmt.Errorf("the time %d makes no sense", r.Issued)
	case len(r.Evidence) > 2:
		return fmt.Errorf("%d grants as evidence are more than 2", len(r.Evidence))
	}
	if r.Line != nil {
		if err := r.Line.validate(); err != nil {
			return err
		}
	} else if err := r.Peer.Validate(); err != nil {
		return err
	}
	return validateSerial(r.Nonce)
}

// openPaper opens the grant by which the root once named an issuer.
func (f FleetID) openPaper(data []byte, issuer peer.ID) (*Grant, error) {
	s, err := f.Open(data)
	if err != nil {
		return nil, err
	}
	if !s.issuer() || s.Grant.Subject != issuer {
		return nil, fmt.Errorf("%w: no grant by which the root names %s an issuer", ErrIssuer, issuer)
	}
	return s.Grant, nil
}

// openEvidence opens the grant that shows that what is revoked was ever given.
func (f FleetID) openEvidence(r *Revocation) (*Grant, error) {
	if len(r.Evidence) == 0 {
		return nil, fmt.Errorf("%w: there is none", ErrInvalid)
	}
	s, err := f.Open(r.Evidence[len(r.Evidence)-1])
	if err != nil {
		return nil, err
	}
	if s.Grant == nil || s.issuer() {
		return nil, fmt.Errorf("%w: it is no grant of a member", ErrInvalid)
	}
	if byOther := s.Grant.Paper != "" && s.Signer != r.By; byOther != (len(r.Evidence) > 1) {
		return nil, fmt.Errorf("%w: it needs the grant of its signer, and nothing else", ErrInvalid)
	} else if byOther {
		if _, err := f.openPaper(r.Evidence[0], s.Signer); err != nil {
			return nil, err
		}
	}
	if t := r.target(); t.peer != "" && s.Grant.Subject != t.peer || t.peer == "" && s.Grant.Line != t.line {
		return nil, fmt.Errorf("%w: it is of something else", ErrInvalid)
	}
	return s.Grant, nil
}

// Lift ends revocations. Only the root signs it. It has one of three forms: IDs names revocations;
// Signer, Lines and Standing end all revocations that an ended signer made under these lines, but
// those that stand; Machine and IDs let a machine obey again without statements that it once had
// and that nobody has any more.
type Lift struct {
	Fleet  FleetID `json:"fleet"`
	IDs    []ID    `json:"ids,omitzero"`
	Signer peer.ID `json:"signer,omitzero"`
	// Lines are serials of the signer's own lines; none means all.
	Lines    []string `json:"lines,omitzero"`
	Standing []ID     `json:"standing,omitzero"`
	Machine  peer.ID  `json:"machine,omitzero"`
	// Issued is when it was signed, in Unix milliseconds.
	Issued int64 `json:"issued"`
}

func (l *Lift) validate() error {
	switch {
	case l.Signer != "" && (len(l.IDs) > 0 || l.Machine != ""), l.Signer == "" && len(l.Standing)+len(l.Lines) > 0:
		return fmt.Errorf("a lift names revocations, or a signer, or a machine")
	case l.Signer == "" && len(l.IDs) == 0:
		return fmt.Errorf("a lift names what it lifts")
	case len(l.IDs) > maxLiftIDs || len(l.Standing) > maxLiftIDs || len(l.Lines) > maxSigners:
		return fmt.Errorf("more than %d statements", maxLiftIDs)
	case l.Issued <= 0 || l.Issued > maxMillis:
		return fmt.Errorf("the time %d makes no sense", l.Issued)
	}
	return nil
}

// Policy is what the root asks of the whole fleet. The highest version that is not lowered counts.
type Policy struct {
	Fleet FleetID `json:"fleet"`
	// MinProtocol is the lowest version of swarm's protocol to speak.
	MinProtocol string `json:"minProtocol,omitzero"`
	// Lowers are policies that count no more.
	Lowers []ID `json:"lowers,omitzero"`
	// Issued is when it was signed, in Unix milliseconds.
	Issued int64 `json:"issued"`
}

func (p *Policy) validate() error {
	switch {
	case p.MinProtocol == "" && len(p.Lowers) == 0:
		return fmt.Errorf("a policy says something")
	case len(p.MinProtocol) > maxName || !plain(p.MinProtocol):
		return fmt.Errorf("%q is no version", shorten(p.MinProtocol))
	case len(p.Lowers) > maxSigners:
		return fmt.Errorf("more than %d policies", maxSigners)
	case p.Issued <= 0 || p.Issued > maxMillis:
		return fmt.Errorf("the time %d makes no sense", p.Issued)
	}
	return nil
}
