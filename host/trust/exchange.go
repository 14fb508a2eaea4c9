package trust

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"maps"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Buckets is the number of parts in which two nodes compare what they have.
const Buckets = 256

// sumLength is how many bytes of a hash stand for a bucket. With fewer, a thief could make two buckets
// equal of which one holds a revocation that the other has not heard of.
const sumLength = 16

// digest is the hash of the common statements. Of revocations under a bound that is reached it holds
// the bound in place of their IDs: two nodes that a thief has filled with different ones agree, and
// do not compare them at each contact. Which are kept must not be a matter of their IDs: a thief
// would find some that push out those of the owner.
type digest struct {
	ids   []ID // sorted: those that differ where one node has more to tell, and of groups
	held  []ID // sorted: under the bound of a signer or an issuer
	marks []ID // sorted: these bounds
	// groups are revocations of one target by one signer, as many as are kept, by an ID that stands
	// for them all.
	groups map[ID][]*Statement
	sum    [sha256.Size]byte
}

// mark is the ID that stands for a bound.
func (b bound) mark() ID {
	return sha256.Sum256(fmt.Appendf(nil, "swarm-bound\x00%q", []string{
		string(b.by), string(b.shown), string(b.of.peer), string(b.of.line.By), b.of.line.Serial, b.paper, fmt.Sprint(b.forAll),
	}))
}

func newDigest(have *set) *digest {
	d := &digest{groups: map[ID][]*Statement{}}
	marks := map[ID]struct{}{}
	for id, st := range have.all {
		if !have.common(st) {
			continue
		}
		var b bound
		full := false
		if st.Revocation != nil {
			b, full = have.reached(st)
		}
		switch {
		case !full:
			d.ids = append(d.ids, id)
		case b.of != target{}:
			d.groups[b.mark()] = append(d.groups[b.mark()], st)
		default:
			d.held = append(d.held, id)
			marks[b.mark()] = struct{}{}
		}
	}
	d.ids = slices.AppendSeq(d.ids, maps.Keys(d.groups))
	slices.SortFunc(d.ids, ID.Compare)
	slices.SortFunc(d.held, ID.Compare)
	d.marks = slices.SortedFunc(maps.Keys(marks), ID.Compare)
	h := sha256.New()
	writeIDs(h, d.ids)
	writeIDs(h, d.marks)
	h.Sum(d.sum[:0])
	return d
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
	if e.digest == nil || e.at != e.memory.changes {
		e.digest, e.at = newDigest(e.memory.set), e.memory.changes
	}
	return e.digest
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
	writeIDs(h, e.memory.lostIDs()) // nobody agrees with a node that has lost something: it may be what others do not compare
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// ranked returns the grants of a member that count, or would if no time were over: those with which
// another is compared.
func (s *set) ranked(p peer.ID) []*Statement {
	return slices.DeleteFunc(slices.Clone(s.plain[p]), func(st *Statement) bool { return !s.ranks(st) })
}

// bucket is what a node has for another in one part: the IDs that its sum is of, and those under a
// bound that is reached.
type bucket struct{ ids, held []ID }

// listed are the IDs that are told where the sums of a bucket differ.
func (b bucket) listed() []ID {
	if len(b.held) == 0 {
		return b.ids
	}
	return slices.SortedFunc(slices.Values(slices.Concat(b.ids, b.held)), ID.Compare)
}

// sum returns a short hash of a bucket with the bounds that are reached, which are in each; "" for
// nothing.
func (b bucket) sum(marks []ID) string {
	if len(b.ids)+len(marks) == 0 {
		return ""
	}
	h := sha256.New()
	writeIDs(h, b.ids)
	writeIDs(h, marks)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:sumLength])
}

// between returns what two nodes exchange, by bucket: the common statements, and all grants of both.
// The caller holds the lock of memory.
func (e *Exchange) between(p peer.ID) (out [Buckets]bucket, d *digest) {
	d = e.common()
	ids := d.ids
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
		out[id[0]].ids = append(out[id[0]].ids, id)
	}
	for _, id := range d.held {
		out[id[0]].held = append(out[id[0]].held, id)
	}
	return out, d
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
	buckets, d := e.between(p)
	e.memory.mu.RUnlock()
	out := make([]string, Buckets)
	for i, b := range buckets {
		out[i] = b.sum(d.marks)
	}
	return out
}

// Differing returns the IDs of what this node has for a peer in the buckets whose sums differ from
// the peer's, and the numbers of these buckets. It begins after an ID and returns most IDs at most:
// whole buckets but for the last. more reports whether there are further ones.
func (e *Exchange) Differing(p peer.ID, sums []string, after ID, most int) (ids []ID, buckets []int, more bool) {
	e.memory.mu.RLock()
	have, d := e.between(p)
	e.memory.mu.RUnlock()
	for i := int(after[0]); i < Buckets; i++ {
		theirs := ""
		if i < len(sums) {
			theirs = sums[i]
		}
		if have[i].sum(d.marks) == theirs {
			continue
		}
		buckets = append(buckets, i)
		for _, id := range have[i].listed() {
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
	groups := e.common().groups
	for _, id := range ids {
		_, have := e.memory.set.all[id]
		_, declined := e.memory.declined[id]
		if _, full := groups[id]; !have && !declined && !full {
			out = append(out, id)
		}
	}
	return out
}

// Seek notes what a peer has lost: what this node does not have is asked of others.
func (e *Exchange) Seek(lost []ID) {
	e.memory.mu.Lock()
	defer e.memory.mu.Unlock()
	e.memory.carried.Want(slices.DeleteFunc(slices.Clone(lost), func(id ID) bool { return e.memory.set.all[id] != nil }))
}

// Sought returns what this node has lost itself, and what it seeks for others: at most so many.
func (e *Exchange) Sought(most int) []ID {
	e.memory.mu.RLock()
	defer e.memory.mu.RUnlock()
	ids := append(e.memory.lostIDs(), e.memory.carried.Wanted()...)
	return ids[:min(len(ids), most)]
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
	have, d := e.between(p)
	var beyond []*Statement
	for _, b := range buckets {
		if b < 0 || b >= Buckets {
			continue
		}
		for _, id := range have[b].listed() {
			if _, known := has[id]; !known {
				beyond = append(beyond, e.named(d, id)...)
			}
		}
	}
	beyond = e.memory.set.withPapers(beyond)
	slices.SortStableFunc(beyond, func(a, b *Statement) int {
		return cmp.Compare(rank(b.Signer == e.memory.root), rank(a.Signer == e.memory.root))
	})
	return bodies(beyond)
}

// named returns the statement with an ID, or those that the ID stands for. The caller holds the lock
// of memory.
func (e *Exchange) named(d *digest, id ID) []*Statement {
	if st, known := e.memory.set.all[id]; known {
		return []*Statement{st}
	}
	if st, ok := e.memory.carried.Body(id); ok {
		return []*Statement{st}
	}
	return d.groups[id]
}

// withPapers puts before each grant of a member that by which its signer signs: who does not know
// that keeps none of the signer's grants.
func (s *set) withPapers(list []*Statement) []*Statement {
	out := make([]*Statement, 0, len(list))
	there := make(map[ID]struct{}, len(list))
	put := func(st *Statement) {
		if _, twice := there[st.ID]; !twice {
			there[st.ID] = struct{}{}
			out = append(out, st)
		}
	}
	for _, st := range list {
		if st.Grant != nil && !st.issuer() {
			if paper := highest(s.papersOf(st.Grant)); paper != nil {
				put(paper)
			}
		}
		put(st)
	}
	return out
}

// papersOf returns the grants of the line under which a member's grant was signed.
func (s *set) papersOf(g *Grant) []*Statement {
	return slices.DeleteFunc(slices.Clone(s.issuers[g.By]), func(i *Statement) bool { return i.Grant.Line.Serial != g.Paper })
}

func bodies(list []*Statement) [][]byte {
	out := make([][]byte, len(list))
	for i, st := range list {
		out[i] = st.Data
	}
	return out
}

// Bodies returns those of the statements that are known, and that are for everybody or concern the
// peer or this node; before grants of members those of their signers. Who has lost what a closed book
// holds, which nobody compares, asks for it by its ID.
func (e *Exchange) Bodies(p peer.ID, ids []ID) [][]byte {
	e.memory.mu.RLock()
	defer e.memory.mu.RUnlock()
	concerned := e.memory.set.concerned(p, e.memory.cfg.Self)
	d := e.common()
	var asked []*Statement
	for _, id := range ids {
		for _, st := range e.named(d, id) {
			if st.common() || st.Grant != nil && slices.Contains(concerned, st.Grant.Subject) {
				asked = append(asked, st)
			}
		}
	}
	return bodies(e.memory.set.withPapers(asked))
}

// Common returns the statements that every node keeps, as they were signed.
func (e *Exchange) Common() (out [][]byte) {
	e.memory.mu.RLock()
	defer e.memory.mu.RUnlock()
	d := e.common()
	for _, id := range slices.SortedFunc(slices.Values(slices.Concat(d.ids, d.held)), ID.Compare) {
		out = append(out, bodies(e.named(d, id))...)
	}
	return out
}
