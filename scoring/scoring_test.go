package scoring_test

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/seed-b490fa12/swarm/scoring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func TestOutcomes(t *testing.T) {
	tests := []struct {
		name     string
		outcomes []scoring.Outcome
		want     float64
	}{
		{"none", nil, 50},
		{"success", []scoring.Outcome{scoring.Success}, 51},
		{"failure", []scoring.Outcome{scoring.Failure}, 45},
		{"timeout", []scoring.Outcome{scoring.Timeout}, 47},
		{"bad message", []scoring.Outcome{scoring.BadMessage}, 40},
		{"forbidden", []scoring.Outcome{scoring.Forbidden}, 40},
		{"unknown", []scoring.Outcome{99}, 50},
		{"sum", []scoring.Outcome{scoring.Failure, scoring.Success, scoring.Timeout}, 43},
		{"not below 0", repeat(scoring.BadMessage, 8), 0},
		{"not above 100", repeat(scoring.Success, 80), 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // so that no time passes in between
				b := scoring.New(scoring.Config{})
				for _, o := range tt.outcomes {
					b.Observe("p", o)
				}
				if got := b.Score("p"); !near(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				if got := b.Score("other"); got != scoring.Neutral {
					t.Errorf("another peer has %v, want 50", got)
				}
			})
		})
	}
}

func repeat(o scoring.Outcome, n int) []scoring.Outcome {
	out := make([]scoring.Outcome, n)
	for i := range out {
		out[i] = o
	}
	return out
}

func TestFades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, step := range []struct {
			after     time.Duration
			bad, good float64
		}{
			{0, 40, 70},
			{time.Hour, 45, 60},
			{2 * time.Hour, 47.5, 55},
			{12 * time.Hour, 50 - 10/4096.0, 50 + 20/4096.0},
		} {
			b := scoring.New(scoring.Config{HalfLife: time.Hour})
			b.Observe("bad", scoring.BadMessage)
			for range 20 {
				b.Observe("good", scoring.Success)
			}
			time.Sleep(step.after)
			if bad, good := b.Score("bad"), b.Score("good"); !near(bad, step.bad) || !near(good, step.good) {
				t.Errorf("after %v: got %v and %v, want %v and %v", step.after, bad, good, step.bad, step.good)
			}
		}
	})
}

// TestProperties: whatever happens, a score stays in its range, fades towards 50 without crossing
// it, and never away from it.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		outcomes := rapid.SliceOfN(rapid.IntRange(-1, 6), 0, 200).Draw(rt, "outcomes")
		waits := rapid.SliceOfN(rapid.Int64Range(0, int64(100*time.Hour)), 1, 10).Draw(rt, "waits")
		var wrong string // rapid must be told outside of the bubble
		synctest.Test(t, func(*testing.T) {
			b := scoring.New(scoring.Config{})
			for i, o := range outcomes {
				got := b.Observe("p", scoring.Outcome(o))
				if got < scoring.Min || got > scoring.Max || !near(got, b.Score("p")) {
					wrong = fmt.Sprintf("score %v, Observe returned %v", b.Score("p"), got)
				}
				time.Sleep(time.Duration(i) * time.Minute)
			}
			last := b.Score("p") - scoring.Neutral
			for _, w := range waits {
				time.Sleep(time.Duration(w))
				now := b.Score("p") - scoring.Neutral
				if math.Abs(now) > math.Abs(last) || now*last < 0 {
					wrong = fmt.Sprintf("from %v to %v of the neutral score after %v", last, now, time.Duration(w))
				}
				last = now
			}
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

func TestForgetsTheOneObservedLongestAgo(t *testing.T) {
	b := scoring.New(scoring.Config{MaxPeers: 3})
	for _, p := range []peer.ID{"a", "b", "c", "a", "d"} {
		b.Observe(p, scoring.Failure)
	}
	if b.Len() != 3 || b.Score("b") != scoring.Neutral {
		t.Errorf("%d peers, b has %v; want 3 and a forgotten b", b.Len(), b.Score("b"))
	}
	for _, p := range []peer.ID{"a", "c", "d"} {
		if b.Score(p) > 46 {
			t.Errorf("%s was forgotten", p)
		}
	}
}

type tags struct {
	mu   sync.Mutex
	last map[peer.ID]int
}

func (t *tags) UpsertTag(p peer.ID, tag string, upsert func(int) int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tag == scoring.Tag {
		t.last[p] = upsert(t.last[p])
	}
}

func TestTells(t *testing.T) {
	told := &tags{last: map[peer.ID]int{}}
	b := scoring.New(scoring.Config{Tagger: told})
	b.Observe("p", scoring.Success)
	b.Observe("q", scoring.BadMessage)
	if told.last["p"] != 51 || told.last["q"] != 40 {
		t.Errorf("got %v, want 51 and 40", told.last)
	}
}

func TestConcurrent(t *testing.T) {
	b := scoring.New(scoring.Config{MaxPeers: 8})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 1000 {
				p := peer.ID(fmt.Sprint((i + j) % 16))
				b.Observe(p, scoring.Outcome(j%5))
				if s := b.Score(p); s < scoring.Min || s > scoring.Max {
					t.Errorf("score %v", s)
				}
			}
		})
	}
	wg.Wait()
	if b.Len() != 8 {
		t.Errorf("%d peers, want 8", b.Len())
	}
}

func BenchmarkScore(b *testing.B) {
	book, ids := fullBook()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		book.Score(ids[i%len(ids)])
	}
}

func BenchmarkScoreParallel(b *testing.B) {
	book, ids := fullBook()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			book.Score(ids[i%len(ids)])
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	book, ids := fullBook()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		book.Observe(ids[i%len(ids)], scoring.Success)
	}
}

func fullBook() (*scoring.Book, []peer.ID) {
	book := scoring.New(scoring.Config{})
	ids := make([]peer.ID, 1000)
	for i := range ids {
		ids[i] = peer.ID(fmt.Sprint("peer-", i))
		book.Observe(ids[i], scoring.Success)
	}
	return book, ids
}
