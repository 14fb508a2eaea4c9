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

// replays remember the answers to requests with an effect, so that a request that is repeated (the
// answer was lost on the way) gets the same answer and has no second effect. Bounded per peer and
// in peers; what a restart must not take is in the journal.
type replays struct {
	journal Journal // nil: memory is all there is
	mu      sync.Mutex
	running map[replayKey]*answer // bounded by the streams that peers may open
	done    *simplelru.LRU[peer.ID, *answers]
	perPeer int
}

// The answers that are kept: so many for each peer, within so many bytes, and for so many peers.
// The peer not heard of for the longest time goes first.
const (
	maxAnswers     = 1024
	maxAnswerBytes = 1 << 20
	maxPeers       = 4096 // also of those whose rates are kept
)

// answers are the answers to one peer.
type answers struct {
	lru   *simplelru.LRU[uuid.UUID, *answer]
	bytes int
}

func newAnswers(n int) *answers {
	a := new(answers)
	a.lru = newLRU(n, func(_ uuid.UUID, old *answer) { a.bytes -= old.size() })
	return a
}

// add keeps ans, and drops the oldest ones to make room for it.
func (a *answers) add(id uuid.UUID, ans *answer) {
	a.bytes += ans.size()
	a.lru.Add(id, ans)
	for a.bytes > maxAnswerBytes && a.lru.Len() > 1 {
		a.lru.RemoveOldest()
	}
}

type replayKey struct {
	peer peer.ID
	id   uuid.UUID
}

// answer is one request with an effect and, once done is closed, its answer.
type answer struct {
	hash    [sha256.Size]byte
	done    chan struct{}
	payload jsontext.Value
	err     *Error
}

// size is what the answer takes, in bytes, without its fixed cost.
func (a *answer) size() int {
	if a.err != nil {
		return len(a.err.Message) + len(a.err.Details)
	}
	return len(a.payload)
}

// newReplays keeps the answers of so many peers, and so many for each.
func newReplays(peers, perPeer int, j Journal) *replays {
	return &replays{
		journal: j,
		running: make(map[replayKey]*answer),
		done:    newLRU[peer.ID, *answers](peers, nil),
		perPeer: perPeer,
	}
}

// once runs fn, unless this request of p was seen before: then it returns what came of that. The
// same ID with another payload is a conflict.
func (r *replays) once(ctx context.Context, p Peer, m *Message, fn func() (any, *Error)) (jsontext.Value, error) {
	e := Effect{p.ID, m.ID, sha256.Sum256(append([]byte(m.Type+"\n"), m.Payload...)), m.Timestamp.Add(-p.ClockOffset)}
	ans, first := r.begin(replayKey{p.ID, m.ID}, e.Hash)
	if ans.hash != e.Hash {
		return nil, errUsed(m.ID)
	}
	if !first {
		select {
		case <-ans.done:
			return ans.result()
		case <-ctx.Done():
			return nil, Errorf(CodeUnavailable, "stopped while the first request with this ID was running")
		}
	}
	// A panic passes through here to the guard; those who wait must not hang.
	ans.err = Errorf(CodeInternal, "internal error")
	defer r.finish(replayKey{p.ID, m.ID}, ans)
	if r.journal == nil {
		return ans.run(fn)
	}
	return r.journaled(e, ans, fn)
}

func errUsed(id uuid.UUID) *Error {
	return Errorf(CodeConflict, "message ID %s was used before with another payload: a new request needs a new ID", id)
}

// journaled runs fn, unless the journal knows the request.
func (r *replays) journaled(e Effect, ans *answer, fn func() (any, *Error)) (jsontext.Value, error) {
	past, err := r.journal.Begin(e)
	switch {
	case err != nil:
		ans.err = Errorf(CodeUnavailable, "this machine cannot record what it does, and so does not do it: %w", err)
		return nil, ans.err
	case past != nil && past.Hash != e.Hash:
		ans.err = errUsed(e.ID)
		return nil, ans.err
	case past != nil:
		ans.payload, ans.err = past.result()
		return ans.result()
	}
	defer func() {
		r.journal.End(e, Past{
			Hash: e.Hash, Ended: true, NoEffect: ans.err != nil && ans.err.hadNoEffect(), Payload: ans.payload, Err: ans.err,
		})
	}()
	return ans.run(fn)
}

func (a *answer) result() (jsontext.Value, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.payload, nil
}

func (r *replays) begin(k replayKey, hash [sha256.Size]byte) (ans *answer, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ans, ok := r.running[k]; ok {
		return ans, false
	}
	if t, ok := r.done.Get(k.peer); ok {
		if ans, ok := t.lru.Get(k.id); ok {
			return ans, false
		}
	}
	ans = &answer{hash: hash, done: make(chan struct{})}
	r.running[k] = ans
	return ans, true
}

// run runs fn, and keeps what it returns.
func (a *answer) run(fn func() (any, *Error)) (jsontext.Value, error) {
	v, err := fn()
	if a.err = err; err != nil {
		return nil, err
	}
	out, encodeErr := json.Marshal(v)
	if encodeErr != nil {
		a.err = Errorf(CodeInternal, "internal error")
		return nil, encodeErr
	}
	a.payload = out
	return out, nil
}

func (r *replays) finish(k replayKey, ans *answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(ans.done)
	delete(r.running, k)
	if ans.err != nil && ans.err.hadNoEffect() {
		return // to repeat it is how the caller gets further
	}
	t, ok := r.done.Get(k.peer)
	if !ok {
		t = newAnswers(r.perPeer)
		r.done.Add(k.peer, t)
	}
	t.add(k.id, ans)
}
