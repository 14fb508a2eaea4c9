package streams

import (
	"context"
	"crypto/sha256"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/peer"
)

// replays remember the answers to requests with an effect, so that a request
// that is repeated (the answer was lost on the way) gets the same answer and
// has no second effect. Bounded per peer and in peers; in memory only.
type replays struct {
	mu      sync.Mutex
	running map[replayKey]*record // bounded by the streams that peers may open
	done    *simplelru.LRU[peer.ID, *records]
	perPeer int
}

// MaxRecordBytes bounds the answers that are kept for one peer, in bytes.
const MaxRecordBytes = 1 << 20

// records are the answers to one peer.
type records struct {
	lru   *simplelru.LRU[uuid.UUID, *record]
	bytes int
}

func newRecords(n int) *records {
	r := new(records)
	r.lru = newLRU(n, func(_ uuid.UUID, old *record) { r.bytes -= old.size() })
	return r
}

// add keeps rec, and lets the oldest ones go for it.
func (r *records) add(id uuid.UUID, rec *record) {
	r.bytes += rec.size()
	r.lru.Add(id, rec)
	for r.bytes > MaxRecordBytes && r.lru.Len() > 1 {
		r.lru.RemoveOldest()
	}
}

type replayKey struct {
	peer peer.ID
	id   uuid.UUID
}

// record is one request with an effect and, once done is closed, its answer.
type record struct {
	hash    [sha256.Size]byte
	done    chan struct{}
	payload jsontext.Value
	err     *Error
}

// size is what the answer takes, without the fixed cost of a record.
func (r *record) size() int {
	if r.err != nil {
		return len(r.err.Message) + len(r.err.Details)
	}
	return len(r.payload)
}

func newReplays(l Limits) *replays {
	return &replays{
		running: make(map[replayKey]*record),
		done:    newLRU[peer.ID, *records](l.Peers, nil),
		perPeer: l.Records,
	}
}

// once runs fn, unless this request of p was seen before: then it returns what
// came of that. The same ID with another payload is a conflict.
func (r *replays) once(ctx context.Context, p peer.ID, m *Message, fn func() (any, *Error)) (jsontext.Value, error) {
	hash := sha256.Sum256(append([]byte(m.Type+"\n"), m.Payload...))
	rec, first := r.begin(replayKey{p, m.ID}, hash)
	if rec.hash != hash {
		return nil, Errorf(CodeConflict, "message ID %s was used before with another payload: a new request needs a new ID", m.ID)
	}
	if !first {
		select {
		case <-rec.done:
			return rec.answer()
		case <-ctx.Done():
			return nil, Errorf(CodeUnavailable, "stopped while the first request with this ID was running")
		}
	}
	return r.run(replayKey{p, m.ID}, rec, fn)
}

func (r *record) answer() (jsontext.Value, error) {
	if r.err != nil {
		return nil, r.err
	}
	return r.payload, nil
}

func (r *replays) begin(k replayKey, hash [sha256.Size]byte) (rec *record, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec, ok := r.running[k]; ok {
		return rec, false
	}
	if t, ok := r.done.Get(k.peer); ok {
		if rec, ok := t.lru.Get(k.id); ok {
			return rec, false
		}
	}
	rec = &record{hash: hash, done: make(chan struct{})}
	r.running[k] = rec
	return rec, true
}

func (r *replays) run(k replayKey, rec *record, fn func() (any, *Error)) (jsontext.Value, error) {
	// A panic passes through here to the guard; those who wait must not hang.
	rec.err = Errorf(CodeInternal, "internal error")
	defer r.finish(k, rec)
	v, err := fn()
	if rec.err = err; err != nil {
		return nil, err
	}
	out, encodeErr := json.Marshal(v)
	if encodeErr != nil {
		rec.err = Errorf(CodeInternal, "internal error")
		return nil, encodeErr
	}
	rec.payload = out
	return out, nil
}

func (r *replays) finish(k replayKey, rec *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(rec.done)
	delete(r.running, k)
	if rec.err != nil && rec.err.hadNoEffect() {
		return // to repeat it is how the caller gets further
	}
	t, ok := r.done.Get(k.peer)
	if !ok {
		t = newRecords(r.perPeer)
		r.done.Add(k.peer, t)
	}
	t.add(k.id, rec)
}
