package scoring_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	"github.com/seed-b490fa12/swarm/scoring"
)

func TestRank(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	tests := []struct {
		name       string
		candidates []scoring.Candidate
		bad        []peer.ID // with five failures
		want       []peer.ID
	}{
		{"none", nil, nil, []peer.ID{}},
		{"all unknown: by ID", []scoring.Candidate{{Peer: "b"}, {Peer: "a"}}, nil, []peer.ID{"a", "b"}},
		{"round trip", []scoring.Candidate{{Peer: "a", RTT: ms(80)}, {Peer: "b", RTT: ms(20)}}, nil, []peer.ID{"b", "a"}},
		{"unknown is between", []scoring.Candidate{{Peer: "a"}, {Peer: "fast", RTT: ms(1)}, {Peer: "slow", RTT: ms(100)}}, nil, []peer.ID{"fast", "a", "slow"}},
		{"no round trip takes no time", []scoring.Candidate{{Peer: "b", RTT: ms(0)}, {Peer: "a", RTT: ms(5)}}, nil, []peer.ID{"a", "b"}},
		{"relays", []scoring.Candidate{{Peer: "a", Hops: 2}, {Peer: "b", Hops: 1}}, nil, []peer.ID{"b", "a"}},
		{"all direct", []scoring.Candidate{{Peer: "b", Hops: 1}, {Peer: "a", Hops: 1}}, nil, []peer.ID{"a", "b"}},
		{"score", []scoring.Candidate{{Peer: "a"}, {Peer: "b"}}, []peer.ID{"a"}, []peer.ID{"b", "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := scoring.New(scoring.Config{})
			for _, p := range tt.bad {
				for range 5 {
					b.Observe(p, scoring.Failure)
				}
			}
			got := b.Best(len(tt.candidates), tt.candidates)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestBestBounds(t *testing.T) {
	b := scoring.New(scoring.Config{})
	c := []scoring.Candidate{{Peer: "a"}, {Peer: "b"}}
	for n, want := range map[int]int{-1: 0, 0: 0, 1: 1, 2: 2, 3: 2} {
		if got := len(b.Best(n, c)); got != want {
			t.Errorf("Best(%d) of 2: got %d, want %d", n, got, want)
		}
	}
}

// TestRankProperties: all candidates come back once, in the order of finite costs, however they
// were ordered before.
func TestRankProperties(t *testing.T) {
	rtt := rapid.Int64Range(-1, int64(24*time.Hour))
	hops := rapid.IntRange(-1, 4)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "n")
		var candidates []scoring.Candidate
		for i := range n {
			candidates = append(candidates, scoring.Candidate{Peer: peer.ID(fmt.Sprint(i)),
				RTT: time.Duration(rtt.Draw(t, "rtt")), Hops: hops.Draw(t, "hops")})
		}
		b := scoring.New(scoring.Config{})
		ranked := b.Rank(candidates)
		if len(ranked) != n || !slices.IsSortedFunc(ranked, func(x, y scoring.Ranked) int { return cmp.Compare(x.Cost, y.Cost) }) {
			t.Fatalf("got %v", ranked)
		}
		for _, r := range ranked {
			if math.IsNaN(r.Cost) || r.Cost < 0 || r.Cost > 1.0+0.7+1.2 {
				t.Fatalf("cost %v", r.Cost)
			}
		}
		slices.Reverse(candidates)
		if !slices.Equal(b.Best(n, candidates), peersOf(ranked)) {
			t.Fatal("the order depends on the order before")
		}
	})
}

func peersOf(ranked []scoring.Ranked) []peer.ID {
	out := make([]peer.ID, 0, len(ranked))
	for _, r := range ranked {
		out = append(out, r.Peer)
	}
	return out
}

func Example() {
	book := scoring.New(scoring.Config{})
	book.Observe("steady", scoring.Success)
	book.Observe("flaky", scoring.Failure)
	fmt.Printf("%.0f %.0f %.0f\n", book.Score("steady"), book.Score("flaky"), book.Score("stranger"))
	fmt.Println(book.Best(1, []scoring.Candidate{
		{Peer: "flaky", RTT: 20 * time.Millisecond},
		{Peer: "steady", RTT: 20 * time.Millisecond},
	})[0] == "steady")
	// Output:
	// 51 45 50
	// true
}
