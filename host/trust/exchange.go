package trust

import (
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Buckets is the number of parts in which two nodes compare what they have.
const Buckets = 256

// sumLength is how many bytes of a hash stand for a bucket. With fewer, a thief could make two buckets
// equal of which one holds a revocation that the other has not heard of.
const sumLength = 16

// digest is the hash of the common statements.
type digest struct {
	ids []ID // sorted
	sum [sha256.Size]byte
}

// Exchange compares the statements of this node with those of other nodes. It is used concurrently.
type Exchange struct {
	memory *memory

	mu     sync.Mutex // taken after that of memory; guards what follows
	digest *digest    // of the common statements; nil when it was never asked for
	at     int        // the change after which it was computed
}

// common returns the digest of the common statements. The caller holds the lock of memory.
func (e *Exchange) common() *digest {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.digest != nil && e.at == e.memory.changes {
		return e.digest
	}
	d, have := &digest{}, e.memory.set
	for id, st := range have.all {
		if have.common(st) {
			d.ids = append(d.ids, id)
		}
	}
	slices.SortFunc(d.ids, ID.Compare)
	h := sha256.New()
	writeIDs(h, d.ids)
	h.Sum(d.sum[:0])
	e.digest, e.at = d, e.memory.changes
	return d
}

func writeIDs(h hash.Hash, ids []ID) {
	for _, id := range ids {
		h.Write(id[:])
	}
}

// Digest returns a hash of what this node has for a peer: the statements that all nodes keep, and
// the grants with the highest numbers of both nodes and of their sponsors. Two nodes with the same
// digest need not compare further.
func (e *Exchange) Digest(p peer.ID) string {
	e.memory.mu.RLock()
	defer e.memory.mu.RUnlock()
	h := sha256.New()
	sum := e.common().sum
	h.Write(sum[:])
	for _, q := range slices.Sorted(slices.Values(e.memory.set.concerned(p, e.memory.cfg.Self))) {
		if st := highest(e.memory.set.ranked(q)); st != nil {
			h.Write(st.ID[:])
		} else {
			h.Write(make([]byte, sha256.Size))
		}
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// ranked returns the grants of a member that count, or would if no time were over: those with which
// another is compared.
func (s *set) ranked(p peer.ID) []*Statement {
	return slices.DeleteFunc(slices.Clone(s.plain[p]), func(st *Statement) bool { return !s.ranks(st) })
}

// between returns the IDs of all statements that two nodes exchange, by bucket: the common ones,
// and all grants of both. The caller holds the lock of memory.
func (e *Exchange) between(p peer.ID) (out [Buckets][]ID) {
	ids := e.common().ids
	var grants []ID
	for _, q := range e.memory.set.concerned(p, e.memory.cfg.Self) {
		for _, st := range e.memory.set.plain[q] {
			grants = append(grants, st.ID)
		}
	}
	if len(grants) > 0 {
		ids = slices.SortedFunc(slices.Values(slices.Concat(ids, grants)), ID.Compare)
		ids = slices.Compact(ids)
	}
	for _, id := range ids {
		out[id[0]] = append(out[id[0]], id)
	}
	return out
}

// concerned returns some peers and their sponsors.
func (s *set) concerned(peers ...peer.ID) []peer.ID {
	out := peers
	for _, p := range peers {
		for _, st := range s.plain[p] {
			if q := st.Grant.Sponsor; q != "" && !slices.Contains(out, q) {
				out = append(out, q)
			}
		}
	}
	return out
}

// Sums returns for each bucket a short hash of what this node has for a peer; "" for nothing.
func (e *Exchange) Sums(p peer.ID) []string {
	e.memory.mu.RLock()
	buckets := e.between(p)
	e.memory.mu.RUnlock()
	out := make([]string, Buckets)
	for i, ids := range buckets {
		out[i] = sumOf(ids)
	}
	return out
}

func sumOf(ids []ID) string {
	if len(ids) == 0 {
		return ""
	}
	h := sha256.New()
	writeIDs(h, ids)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:sumLength])
}

// Differing returns the IDs of what this node has for a peer in the buckets whose sums differ from
// the peer's, and the numbers of these buckets. It begins after an ID and returns most IDs at most:
// whole buckets but for the last. more reports whether there are further ones.
func (e *Exchange) Differing(p peer.ID, sums []string, after ID, most int) (ids []ID, buckets []int, more bool) {
	e.memory.mu.RLock()
	have := e.between(p)
	e.memory.mu.RUnlock()
	for i := int(after[0]); i < Buckets; i++ {
		theirs := ""
		if i < len(sums) {
			theirs = sums[i]
		}
		if sumOf(have[i]) == theirs {
			continue
		}
		buckets = append(buckets, i)
		for _, id := range have[i] {
			if after != (ID{}) && id.Compare(after) <= 0 {
				continue
			}
			if len(ids) >= most {
				return ids, buckets, true
			}
			ids = append(ids, id)
		}
	}
	return ids, buckets, false
}

// Lacks returns which of these statements this node does not have, and would keep.
func (e *Exchange) Lacks(ids []ID) (out []ID) {
	e.memory.mu.RLock()
	defer e.memory.mu.RUnlock()
	for _, id := range ids {
		_, have := e.memory.set.all[id]
		if _, declined := e.memory.declined[id]; !have && !declined {
			out = append(out, id)
		}
	}
	return out
}

// Beyond returns the statements that this node has for a peer in some buckets and that are not
// among the peer's IDs: what to send it, with what the root signed first.
func (e *Exchange) Beyond(p peer.ID, theirs []ID, buckets []int) (out [][]byte) {
	has := make(map[ID]struct{}, len(theirs))
	for _, id := range theirs {
		has[id] = struct{}{}
	}
	e.memory.mu.RLock()
	defer e.memory.mu.RUnlock()
	have := e.between(p)
	var rest [][]byte
	for _, b := range buckets {
		if b < 0 || b >= Buckets {
			continue
		}
		for _, id := range have[b] {
			if _, known := has[id]; known {
				continue
			}
			if st := e.memory.set.all[id]; st.Signer == e.memory.root {
				out = append(out, st.Data)
			} else {
				rest = append(rest, st.Data)
			}
		}
	}
	return append(out, rest...)
}

// Bodies returns those of the statements that are known, and that are for everybody or concern the
// peer or this node.
func (e *Exchange) Bodies(p peer.ID, ids []ID) (out [][]byte) {
	e.memory.mu.RLock()
	defer e.memory.mu.RUnlock()
	concerned := e.memory.set.concerned(p, e.memory.cfg.Self)
	for _, id := range ids {
		st, have := e.memory.set.all[id]
		if have && (e.memory.set.common(st) || st.Grant != nil && slices.Contains(concerned, st.Grant.Subject)) {
			out = append(out, st.Data)
		}
	}
	return out
}

// Common returns the statements that every node keeps, as they were signed.
func (e *Exchange) Common() (out [][]byte) {
	e.memory.mu.RLock()
	defer e.memory.mu.RUnlock()
	for _, id := range e.common().ids {
		out = append(out, e.memory.set.all[id].Data)
	}
	return out
}
