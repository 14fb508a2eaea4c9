package trust

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Digest names a record without its content, for the handshake.
type Digest struct {
	Signer peer.ID `json:"signer"`
	Seq    uint64  `json:"seq"`
	Hash   string  `json:"hash"` // hex of the SHA-256 of the signed payload
}

// Records holds the newest record of each signer of one fleet. The union of
// their revocations counts, so nodes that know the same records agree, in
// whatever order these came. It is used concurrently.
type Records struct {
	fleet FleetID

	mu      sync.RWMutex
	newest  map[peer.ID]*signedRecord
	revoked *Revoked // of newest
	// unheard are the numbers of records whose signers the root has thrown out: they
	// are not asked for again.
	unheard map[peer.ID]uint64
}

// NewRecords returns an empty set.
func NewRecords(fleet FleetID) *Records {
	return &Records{fleet: fleet, newest: map[peer.ID]*signedRecord{}, revoked: &Revoked{}, unheard: map[peer.ID]uint64{}}
}

// Merge takes what is newer. Each record is judged by itself: bad and older
// ones do not keep out the others, and the error tells of all of them. A
// record that is known already is no error.
func (r *Records) Merge(envelopes ...[]byte) error {
	_, err := r.merge(envelopes)
	return err
}

func (r *Records) merge(envelopes [][]byte) (taken []*signedRecord, err error) {
	if len(envelopes) > maxSigners {
		return nil, fmt.Errorf("%w: %d records at once, more than %d", ErrFull, len(envelopes), maxSigners)
	}
	var errs []error
	for _, data := range envelopes {
		rec, err := r.fleet.verifyRecord(data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		switch ok, err := r.put(rec); {
		case err != nil:
			errs = append(errs, err)
		case ok:
			taken = append(taken, rec)
		}
	}
	return taken, errors.Join(errs...)
}

// put keeps a record if it is newer, and tells whether it did.
func (r *Records) put(rec *signedRecord) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, known := r.newest[rec.Signer]
	switch {
	case !known && len(r.newest) >= maxSigners:
		return false, fmt.Errorf("%w: records of %d signers", ErrFull, maxSigners)
	case known && old.Seq == rec.Seq && old.hash == rec.hash:
		return false, nil
	case known && old.Seq >= rec.Seq:
		return false, fmt.Errorf("%w: %s has signed number %d, and this is %d", ErrOlder, rec.Signer, old.Seq, rec.Seq)
	}
	if err := r.silenced(rec); err != nil {
		r.unheard[rec.Signer] = rec.Seq
		return false, err
	}
	r.newest[rec.Signer] = rec
	if rec.Signer == r.root() {
		r.silence()
	}
	r.revoked = newRevoked(r.newest, r.root())
	return true, nil
}

// silence forgets the records of those whom the root's newest one throws out. The
// caller holds mu.
func (r *Records) silence() {
	clear(r.unheard)
	for signer, rec := range r.newest {
		if r.silenced(rec) != nil {
			delete(r.newest, signer)
			r.unheard[signer] = rec.Seq
		}
	}
}

// signed tells whether a change throws out one who has signed a record.
func (r *Records) signed(c Change) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for signer, rec := range r.newest {
		if slices.Contains(c.RevokePeers, signer) || slices.Contains(c.RevokeSerials, rec.paper) {
			return true
		}
	}
	return false
}

// silenced tells why a signer is not heard: the root has thrown it out, and what it
// had rightly said is in the root's own record by then. The caller holds mu.
func (r *Records) silenced(rec *signedRecord) error {
	top, ok := r.newest[r.root()]
	switch {
	case !ok || rec.Signer == r.root():
		return nil
	case slices.Contains(top.RevokedPeers, rec.Signer):
		return fmt.Errorf("%w: %s, who signed a record", ErrRevokedPeer, rec.Signer)
	case slices.Contains(top.RevokedSerials, rec.paper):
		return fmt.Errorf("%w: that of %s, who signed a record", ErrRevokedSerial, rec.Signer)
	default:
		return nil
	}
}

func (r *Records) root() peer.ID {
	id, err := r.fleet.signer()
	if err != nil {
		return "" // then no record was ever verified either
	}
	return id
}

// latest returns a copy of the newest record of a signer, or an empty one.
func (r *Records) latest(signer peer.ID) Record {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rec, ok := r.newest[signer]
	if !ok {
		return Record{}
	}
	return rec.Record
}

// sorted returns the records in the order of their signers. The caller holds mu.
func (r *Records) sorted() []*signedRecord {
	out := make([]*signedRecord, 0, len(r.newest))
	for _, signer := range slices.Sorted(maps.Keys(r.newest)) {
		out = append(out, r.newest[signer])
	}
	return out
}

// Digests returns what to tell a peer of what is known here.
func (r *Records) Digests() []Digest {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := []Digest{}
	for _, rec := range r.sorted() {
		out = append(out, Digest{rec.Signer, rec.Seq, rec.hash})
	}
	return out
}

// Missing returns the records that a peer with these digests lacks: send them.
func (r *Records) Missing(theirs []Digest) [][]byte {
	has := make(map[peer.ID]uint64, len(theirs))
	for _, d := range theirs {
		has[d.Signer] = d.Seq
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out [][]byte
	for _, rec := range r.sorted() {
		if has[rec.Signer] < rec.Seq {
			out = append(out, slices.Clone(rec.data))
		}
	}
	return out
}

// Behind tells whether a peer with these digests has what is missing here: ask it.
func (r *Records) Behind(theirs []Digest) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.ContainsFunc(theirs, func(d Digest) bool {
		rec, known := r.newest[d.Signer]
		return (!known || rec.Seq < d.Seq) && r.unheard[d.Signer] < d.Seq
	})
}

// Envelopes returns all records, signed as they came.
func (r *Records) Envelopes() [][]byte { return r.Missing(nil) }

// Issuers returns the members whom the root has named for renewing grants.
func (r *Records) Issuers() []peer.ID { return slices.Clone(r.latest(r.root()).Issuers) }

// MinProtocol returns the lowest version that the root allows; empty for any.
func (r *Records) MinProtocol() string { return r.latest(r.root()).MinProtocol }

// Revoked returns what is revoked by now.
func (r *Records) Revoked() *Revoked {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.revoked
}

// Revoked says which peers and grants count no more. It is not changed after
// it is made, and nil revokes nobody.
type Revoked struct {
	peers   map[peer.ID]struct{}
	serials map[string]struct{}
}

// newRevoked unites the records. The root's word stands; an issuer's gives way
// to what the root has lifted.
func newRevoked(newest map[peer.ID]*signedRecord, root peer.ID) *Revoked {
	v := &Revoked{map[peer.ID]struct{}{}, map[string]struct{}{}}
	for signer, rec := range newest {
		if signer != root {
			v.add(rec)
		}
	}
	if top, ok := newest[root]; ok {
		for _, p := range top.Lifted {
			delete(v.peers, p)
		}
		for _, s := range top.LiftedSerials {
			delete(v.serials, s)
		}
		v.add(top)
	}
	return v
}

func (v *Revoked) add(rec *signedRecord) {
	for _, p := range rec.RevokedPeers {
		v.peers[p] = struct{}{}
	}
	for _, s := range rec.RevokedSerials {
		v.serials[s] = struct{}{}
	}
}

// Peer tells whether a peer is revoked.
func (v *Revoked) Peer(p peer.ID) bool {
	if v == nil {
		return false
	}
	_, ok := v.peers[p]
	return ok
}

// Serial tells whether a grant is revoked.
func (v *Revoked) Serial(s string) bool {
	if v == nil {
		return false
	}
	_, ok := v.serials[s]
	return ok
}

// Peers returns the revoked peers, sorted.
func (v *Revoked) Peers() []peer.ID { return slices.Sorted(maps.Keys(v.peers)) }

// Serials returns the revoked grants, sorted.
func (v *Revoked) Serials() []string { return slices.Sorted(maps.Keys(v.serials)) }

// checkPeer tells that a peer was revoked, whatever it may show.
func (v *Revoked) checkPeer(p peer.ID) error {
	if v.Peer(p) {
		return fmt.Errorf("%w: %s", ErrRevokedPeer, p)
	}
	return nil
}

// check tells why a credential was revoked.
func (v *Revoked) check(c *Credential) error {
	switch {
	case v.Peer(c.Grant.Subject):
		return fmt.Errorf("%w: %s", ErrRevokedPeer, c.Grant.Name)
	case v.Serial(c.Grant.Serial):
		return fmt.Errorf("%w: serial %s of %s", ErrRevokedSerial, c.Grant.Serial, c.Grant.Name)
	case c.Issuer != nil && (v.Peer(c.Issuer.Subject) || v.Serial(c.Issuer.Serial)):
		return fmt.Errorf("%w: %s", ErrRevokedIssuer, c.Issuer.Name)
	default:
		return nil
	}
}
