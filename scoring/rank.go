package scoring

import (
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The weights of a target's cost.
const (
	weightRTT   = 1.0
	weightHops  = 0.7
	weightScore = 1.2
)

// Candidate is a peer to choose from, with what we measured of the way to it.
type Candidate struct {
	Peer peer.ID
	RTT  time.Duration // the round trip; 0 or less is unknown, because no round trip takes no time
	Hops int           // 1 for a direct connection, one more for each relay; 0 is unknown
}

// Ranked is a candidate with its cost, from 0 up; less is better.
type Ranked struct {
	Candidate
	Score float64
	Cost  float64
}

// Rank orders candidates, the best first, by the cost
//
//	1.0 · round trip + 0.7 · relays + 1.2 · (100 − score) / 100
//
// where each of the first two is divided by the largest that is known among the candidates, so that
// it is 0 to 1. What is unknown counts as the mean of what is known of the others: a peer is
// neither preferred nor punished for never having been measured. When nobody has been measured, the
// part is left out. Equals are ordered by peer ID.
func (b *Book) Rank(candidates []Candidate) []Ranked {
	rtt, hops := scaleOf(candidates, Candidate.rtt), scaleOf(candidates, Candidate.relays)
	out := make([]Ranked, len(candidates))
	for i, c := range candidates {
		score := b.Score(c.Peer)
		out[i] = Ranked{
			Candidate: c, Score: score, Cost: weightRTT*rtt.of(c) + weightHops*hops.of(c) + weightScore*(Max-score)/Max,
		}
	}
	slices.SortFunc(out, func(x, y Ranked) int {
		return cmp.Or(cmp.Compare(x.Cost, y.Cost), cmp.Compare(x.Peer, y.Peer))
	})
	return out
}

// Best returns the n best candidates, or all if there are fewer, the best first.
func (b *Book) Best(n int, candidates []Candidate) []peer.ID {
	ranked := b.Rank(candidates)
	out := make([]peer.ID, 0, max(0, min(n, len(ranked))))
	for _, r := range ranked[:cap(out)] {
		out = append(out, r.Peer)
	}
	return out
}

func (c Candidate) rtt() (seconds float64, known bool) { return c.RTT.Seconds(), c.RTT > 0 }

func (c Candidate) relays() (n float64, known bool) { return float64(c.Hops - 1), c.Hops > 0 }

// scale maps the values of one measure to 0 to 1.
type scale struct {
	get           func(Candidate) (value float64, known bool)
	largest, mean float64
}

func scaleOf(candidates []Candidate, get func(Candidate) (float64, bool)) scale {
	s := scale{get: get}
	var known []float64
	for _, c := range candidates {
		if v, ok := get(c); ok {
			known = append(known, v)
		}
	}
	if len(known) == 0 {
		return s
	}
	slices.Sort(known) // sums of floating point numbers depend on the order
	s.largest = known[len(known)-1]
	for _, v := range known {
		if s.largest > 0 {
			s.mean += v / s.largest / float64(len(known))
		}
	}
	return s
}

func (s scale) of(c Candidate) float64 {
	v, known := s.get(c)
	switch {
	case !known:
		return s.mean
	case s.largest == 0:
		return 0
	}
	return v / s.largest
}
