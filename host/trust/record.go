package trust

import (
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds on records.
const (
	maxRecordBytes = 192 << 10
	maxRevoked     = 1024 // peers, and as many serials, in one record
	maxSigners     = 64   // whose records are kept; the root and its issuers
)

func recordKind() kind { return kind{"swarm-fleet-record", "/swarm/record/1", maxRecordBytes} }

// Record is what one signer has to say of the fleet by now: the whole of it,
// so that the newest alone counts. Only the root may use the last four fields.
type Record struct {
	Fleet  FleetID `json:"fleet"`
	Signer peer.ID `json:"signer"`
	// Seq grows with every record of the signer.
	Seq uint64 `json:"seq"`
	// Time of signing in Unix milliseconds.
	Time           int64     `json:"time"`
	RevokedPeers   []peer.ID `json:"revokedPeers,omitempty"`
	RevokedSerials []string  `json:"revokedSerials,omitempty"`
	// Paper is the issuer's own grant, signed by the root, which has the verb
	// revoke; empty for the root.
	Paper []byte `json:"paper,omitempty"`

	// Issuers are the members who can renew grants.
	Issuers []peer.ID `json:"issuers,omitempty"`
	// Lifted are peers, and LiftedSerials grants, whose revocation by issuers
	// no longer counts. What the root revokes itself it lifts by leaving it out.
	Lifted        []peer.ID `json:"lifted,omitempty"`
	LiftedSerials []string  `json:"liftedSerials,omitempty"`
	// MinProtocol is the lowest version of swarm's protocol to speak; empty for any.
	MinProtocol string `json:"minProtocol,omitempty"`
	// TimeFloor lowers the time floor, in Unix milliseconds; 0 leaves it alone.
	TimeFloor int64 `json:"timeFloor,omitempty"`
}

// signedRecord is a verified record with the bytes that prove it.
type signedRecord struct {
	Record
	hash  string
	paper string // the serial of the signer's own grant; empty for the root
	data  []byte
}

// verifyRecord checks a record's signature and its signer's right to it.
func (f FleetID) verifyRecord(data []byte) (*signedRecord, error) {
	root, err := f.signer()
	if err != nil {
		return nil, err
	}
	o, err := open[Record](recordKind(), data)
	if err != nil {
		return nil, err
	}
	r := &o.value
	switch {
	case r.Fleet != f:
		return nil, fmt.Errorf("%w: %s, and this one is %s", ErrOtherFleet, r.Fleet.Short(), f.Short())
	case r.Signer != o.signer:
		return nil, fmt.Errorf("%w: a record of %s signed by %s", ErrInvalid, r.Signer, o.signer)
	}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("%w: record: %w", ErrInvalid, err)
	}
	paper := ""
	if o.signer != root {
		g, err := f.checkIssuerRecord(r, root)
		if err != nil {
			return nil, err
		}
		paper = g.Serial
	}
	return &signedRecord{*r, o.hash, paper, slices.Clone(data)}, nil
}

// checkIssuerRecord holds an issuer to revoking. The record proves by itself
// that its signer may, so records can arrive in any order. It returns the signer's grant.
func (f FleetID) checkIssuerRecord(r *Record, root peer.ID) (*Grant, error) {
	g, err := f.verifyOne(r.Paper, root, root)
	if err != nil {
		return nil, fmt.Errorf("the record's signer: %w", err)
	}
	switch {
	case g.Subject != r.Signer:
		return nil, fmt.Errorf("%w: the signer's grant is of %s", ErrOtherPeer, g.Subject)
	case !g.Has(VerbRevoke):
		return nil, fmt.Errorf("%w: %s may not revoke", ErrIssuer, g.Name)
	case r.Time < g.NotBefore || r.Time >= g.Expires:
		return nil, fmt.Errorf("%w: a record of %s, outside the issuer's own time", ErrIssuer, when(r.Time))
	case len(r.Issuers)+len(r.Lifted)+len(r.LiftedSerials) > 0 || r.MinProtocol != "" || r.TimeFloor != 0:
		return nil, fmt.Errorf("%w: an issuer's record can only revoke", ErrIssuer)
	}
	return g, nil
}

func (r *Record) validate() error {
	for _, list := range [][]peer.ID{r.RevokedPeers, r.Lifted} {
		if len(list) > maxRevoked {
			return fmt.Errorf("%d peers are more than %d", len(list), maxRevoked)
		}
	}
	for _, list := range [][]string{r.RevokedSerials, r.LiftedSerials} {
		if len(list) > maxRevoked {
			return fmt.Errorf("%d serials are more than %d", len(list), maxRevoked)
		}
		for _, s := range list {
			if err := validateSerial(s); err != nil {
				return err
			}
		}
	}
	switch {
	case len(r.Issuers) > maxSigners:
		return fmt.Errorf("%d issuers are more than %d", len(r.Issuers), maxSigners)
	case r.Seq == 0 || r.Time <= 0 || r.Time > maxMillis || r.TimeFloor < 0 || r.TimeFloor > maxMillis:
		return fmt.Errorf("the number %d or the times make no sense", r.Seq)
	case len(r.MinProtocol) > maxName || !plain(r.MinProtocol):
		return fmt.Errorf("%q is no version", shorten(r.MinProtocol))
	}
	return nil
}

// Change is what a signer's next record says anew.
type Change struct {
	RevokePeers   []peer.ID
	RevokeSerials []string
	// The rest is for the root alone.
	LiftPeers   []peer.ID
	LiftSerials []string
	Issuers     []peer.ID // replaces the list when it is not nil
	MinProtocol string    // replaces the version when it is not empty
	TimeFloor   time.Time // lowers the floor when it is not zero
	// TakeOver makes the revocations that are known the root's own. A change of the
	// root that throws out a signer of records, who is not heard from then on, always
	// does so.
	TakeOver bool
}

// Revise signs the signer's next record: its newest one in known, changed.
// The number is at least the time, so that a signer who was restored from a
// backup does not use a number twice.
func (s *Signer) Revise(known *Records, c Change, now time.Time) ([]byte, error) {
	r := known.latest(s.id)
	r.Fleet, r.Signer, r.Paper = s.fleet, s.id, s.paper
	r.Seq = max(r.Seq+1, uint64(max(now.UnixMilli(), 1)))
	r.Time, r.TimeFloor = now.UnixMilli(), 0
	c.TakeOver = c.TakeOver || s.Root() && known.signed(c)
	c.apply(&r, known)
	data, err := seal(recordKind(), &r, s.key)
	if err != nil {
		return nil, err
	}
	if _, err := s.fleet.verifyRecord(data); err != nil {
		return nil, fmt.Errorf("next record: %w", err)
	}
	return data, nil
}

func (c Change) apply(r *Record, known *Records) {
	if c.TakeOver {
		revoked := known.Revoked()
		r.RevokedPeers = fill(union(r.RevokedPeers, c.RevokePeers), revoked.Peers())
		r.RevokedSerials = fill(union(r.RevokedSerials, c.RevokeSerials), revoked.Serials())
	}
	r.Lifted = without(union(r.Lifted, c.LiftPeers), c.RevokePeers)
	r.LiftedSerials = without(union(r.LiftedSerials, c.LiftSerials), c.RevokeSerials)
	r.RevokedPeers = union(without(r.RevokedPeers, c.LiftPeers), c.RevokePeers)
	r.RevokedSerials = union(without(r.RevokedSerials, c.LiftSerials), c.RevokeSerials)
	if c.Issuers != nil {
		r.Issuers = c.Issuers
	}
	if c.MinProtocol != "" {
		r.MinProtocol = c.MinProtocol
	}
	if !c.TimeFloor.IsZero() {
		r.TimeFloor = c.TimeFloor.UnixMilli()
	}
}

// union returns both lists as one, sorted and without repeats.
func union[T ~string](a, b []T) []T {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

// fill adds to a list from another one up to half of what a record holds: a thief must
// not be able to fill the root's record with revocations of its own making.
func fill[T ~string](list, more []T) []T {
	more = without(more, list)
	return union(list, more[:min(len(more), max(0, maxRevoked/2-len(list)))])
}

func without[T ~string](a, gone []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(v T) bool { return slices.Contains(gone, v) })
}
