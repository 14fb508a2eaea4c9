// Package scoring turns what a peer did into one number that fades.
//
// A score is 0 to 100 and starts at 50. Good outcomes raise it, bad ones lower it, and with time it
// returns to 50, so that neither a good past nor a bad day counts for ever:
//
//	book := scoring.New(scoring.Config{Tagger: host.ConnManager()})
//	book.Observe(peer, scoring.Success)
//	book.Score(peer) // 51 now, 50.5 an hour later
//	book.Best(3, candidates)
//
// Only our own measurements belong in here, never what a peer says about itself, and nothing that
// our own link did: when that is down, do not observe.
package scoring

import (
	"cmp"
	"container/list"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The scale.
const (
	Min     = 0.0
	Neutral = 50.0 // of an unknown peer, and what every score fades to
	Max     = 100.0
)

// Tag is the name of the connection manager tag that carries the score.
const Tag = "swarm-score"

// What a Config means when a field is zero.
const (
	DefaultHalfLife = time.Hour
	DefaultMaxPeers = 10_000
)

// Outcome is what came of one exchange with a peer.
type Outcome int

// The outcomes, and what each adds to the score.
const (
	Success    Outcome = iota // +1: the peer did what it should
	Failure                   // -5: it could not be reached, or failed
	Timeout                   // -3: it did not answer in time; it may only be slow
	BadMessage                // -10: it broke the protocol
	Forbidden                 // -10: it tried what it may not do
)

// delta is what the outcome adds. An outcome from a newer caller that is not known here adds
// nothing.
func (o Outcome) delta() float64 {
	switch o {
	case Success:
		return 1
	case Failure:
		return -5
	case Timeout:
		return -3
	case BadMessage, Forbidden:
		return -10
	}
	return 0
}

// String names the outcome for logs and metrics.
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case Failure:
		return "failure"
	case Timeout:
		return "timeout"
	case BadMessage:
		return "bad message"
	case Forbidden:
		return "forbidden"
	}
	return "unknown"
}

// Tagger is told scores, rounded to whole numbers. libp2p's connection manager is one: it trims the
// connections with the lowest sums of tags first.
type Tagger interface {
	UpsertTag(p peer.ID, tag string, upsert func(int) int)
}

// Config are the settings of a Book. The zero value is useful.
type Config struct {
	// HalfLife is the time in which the distance of a score from 50 halves. 0 means an hour.
	HalfLife time.Duration
	// MaxPeers is how many scores are kept; beyond, the peer that was not observed for the longest
	// time is forgotten, and so has 50 again. 0 means 10,000.
	MaxPeers int
	// Tagger, if set, gets each score that Observe changes.
	Tagger Tagger
}

// Book holds the scores. Its methods may be called concurrently; Score takes no lock.
type Book struct {
	cfg   Config
	peers sync.Map // peer.ID → *entry; changed under mu, read without

	mu    sync.Mutex // guards order and all changes
	order *list.List // of *entry, the one observed last in front
}

type entry struct {
	peer  peer.ID
	mark  atomic.Pointer[mark]
	place *list.Element
}

// mark is a score at a moment. It is never changed, only replaced.
type mark struct {
	score float64
	at    time.Time
}

// now is the score after fading since then. A clock that was set back does not unfade it.
func (m mark) now(halfLife time.Duration) float64 {
	elapsed := max(0, time.Since(m.at))
	return Neutral + (m.score-Neutral)*math.Exp2(-float64(elapsed)/float64(halfLife))
}

// New returns an empty book.
func New(cfg Config) *Book {
	cfg.HalfLife = cmp.Or(cfg.HalfLife, DefaultHalfLife)
	cfg.MaxPeers = cmp.Or(cfg.MaxPeers, DefaultMaxPeers)
	return &Book{cfg: cfg, order: list.New()}
}

// Observe counts an outcome for p and returns the new score.
func (b *Book) Observe(p peer.ID, o Outcome) float64 {
	score := b.add(p, o.delta())
	if b.cfg.Tagger != nil {
		b.cfg.Tagger.UpsertTag(p, Tag, func(int) int { return int(math.Round(score)) })
	}
	return score
}

func (b *Book) add(p peer.ID, delta float64) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	score := min(Max, max(Min, b.Score(p)+delta))
	b.put(p, mark{score: score, at: time.Now()})
	return score
}

// put sets a score and makes p the one observed last. The lock is held.
func (b *Book) put(p peer.ID, m mark) {
	if v, ok := b.peers.Load(p); ok {
		e := v.(*entry)
		e.mark.Store(&m)
		b.order.MoveToFront(e.place)
		return
	}
	if b.order.Len() >= b.cfg.MaxPeers {
		last := b.order.Remove(b.order.Back()).(*entry)
		b.peers.Delete(last.peer)
	}
	e := &entry{peer: p}
	e.mark.Store(&m)
	e.place = b.order.PushFront(e)
	b.peers.Store(p, e)
}

// Score returns the score of p at this moment, 50 for a peer never observed. It takes no lock, so
// that it may be called from where others must not wait, as gossipsub's event loop.
func (b *Book) Score(p peer.ID) float64 {
	v, ok := b.peers.Load(p)
	if !ok {
		return Neutral
	}
	return v.(*entry).mark.Load().now(b.cfg.HalfLife)
}

// Len returns how many peers have been observed and not been forgotten.
func (b *Book) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.order.Len()
}
