package scoring

import (
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The weights of a target's cost.
const (
	weightRTT      = 1.0
	weightHops     = 0.7
	weightDistance = 0.2
	weightScore    = 1.2
)

// Measure is a number that may be unknown, as its zero value is. See Known.
type Measure struct {
	value float64
	known bool
}

// Known is a measured value. Negative ones count as 0.
func Known(value float64) Measure { return Measure{value: max(0, value), known: true} }

// RTT is a measured round trip; 0 or less is unknown, because no round trip takes no time.
func RTT(d time.Duration) Measure {
	if d <= 0 {
		return Measure{}
	}
	return Known(d.Seconds())
}

// Candidate is a peer to choose from, with what we measured of the way to it.
type Candidate struct {
	Peer     peer.ID
	RTT      Measure // seconds
	Hops     Measure // relays in between; 0 is a direct connection
	Distance Measure // in any unit that is the same for all candidates
}

// Ranked is a candidate with its cost, from 0 up; less is better.
type Ranked struct {
	Candidate
	Score float64
	Cost  float64
}

// Rank orders candidates, the best first, by the cost
//
//	1.0 · round trip + 0.7 · relays + 0.2 · distance + 1.2 · (100 − score) / 100
//
// where each of the first three is divided by the largest that is known among the candidates, so that it is 0 to 1.
// What is unknown counts as the mean of what is known of the others: a peer is neither preferred nor punished for never
// having been measured. When nobody has been measured, the part is left out. Equals are ordered by peer ID.
func (b *Book) Rank(candidates []Candidate) []Ranked {
	rtt := scaleOf(candidates, func(c Candidate) Measure { return c.RTT })
	hops := scaleOf(candidates, func(c Candidate) Measure { return c.Hops })
	distance := scaleOf(candidates, func(c Candidate) Measure { return c.Distance })
	out := make([]Ranked, len(candidates))
	for i, c := range candidates {
		score := b.Score(c.Peer)
		out[i] = Ranked{Candidate: c, Score: score, Cost: weightRTT*rtt.of(c.RTT) + weightHops*hops.of(c.Hops) +
			weightDistance*distance.of(c.Distance) + weightScore*(Max-score)/Max}
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

// scale maps the values of one measure to 0 to 1.
type scale struct{ largest, mean float64 }

func scaleOf(candidates []Candidate, get func(Candidate) Measure) scale {
	var known []float64
	for _, c := range candidates {
		if m := get(c); m.known {
			known = append(known, m.value)
		}
	}
	if len(known) == 0 {
		return scale{}
	}
	slices.Sort(known) // sums of floating point numbers depend on the order
	s := scale{largest: known[len(known)-1]}
	for _, v := range known {
		if s.largest > 0 {
			s.mean += v / s.largest / float64(len(known))
		}
	}
	return s
}

func (s scale) of(m Measure) float64 {
	switch {
	case !m.known:
		return s.mean
	case s.largest == 0:
		return 0
	}
	return m.value / s.largest
}
