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
// in peers; in memory only.
type replays struct {
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
func newReplays(peers, perPeer int) *replays {
	return &replays{
		running: make(map[replayKey]*answer),
		done:    newLRU[peer.ID, *answers](peers, nil),
		perPeer: perPeer,
	}
}

// once runs fn, unless this request of p was seen before: then it returns what came of that. The
// same ID with another payload is a conflict.
func (r *replays) once(ctx context.Context, p peer.ID, m *Message, fn func() (any, *Error)) (jsontext.Value, error) {
	hash := sha256.Sum256(append([]byte(m.Type+"\n"), m.Payload...))
	ans, first := r.begin(replayKey{p, m.ID}, hash)
	if ans.hash != hash {
		return nil, Errorf(
			CodeConflict, "message ID %s was used before with another payload: a new request needs a new ID", m.ID)
	}
	if !first {
		select {
		case <-ans.done:
			return ans.result()
		case <-ctx.Done():
			return nil, Errorf(CodeUnavailable, "stopped while the first request with this ID was running")
		}
	}
	return r.run(replayKey{p, m.ID}, ans, fn)
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

func (r *replays) run(k replayKey, ans *answer, fn func() (any, *Error)) (jsontext.Value, error) {
	// A panic passes through here to the guard; those who wait must not hang.
	ans.err = Errorf(CodeInternal, "internal error")
	defer r.finish(k, ans)
	v, err := fn()
	if ans.err = err; err != nil {
		return nil, err
	}
	out, encodeErr := json.Marshal(v)
	if encodeErr != nil {
		ans.err = Errorf(CodeInternal, "internal error")
		return nil, encodeErr
	}
	ans.payload = out
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
