package keep

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

func TestRedialDelay(t *testing.T) {
	tests := []struct {
		away       time.Duration
		relay      bool
		unanswered int
		least      time.Duration
		most       time.Duration
	}{
		{0, false, 0, 3 * time.Second, 4 * time.Second},
		{redialPatient - 1, false, 0, 3 * time.Second, 4 * time.Second},
		{0, false, 1, 6 * time.Second, 8 * time.Second},
		{0, false, 100, 6 * time.Second, 8 * time.Second},
		{redialPatient, false, 0, 24 * time.Second, 30 * time.Second},
		{100 * time.Hour, false, 100, 24 * time.Second, 30 * time.Second},
		{0, true, 0, time.Second, 1500 * time.Millisecond},
		{0, true, 2, 4 * time.Second, 6 * time.Second},
		{redialPatient, true, 2, 24 * time.Second, 30 * time.Second},
	}
	for _, tt := range tests {
		for range 100 {
			if d := redialDelay(tt.away, tt.relay, tt.unanswered); d < tt.least || d > tt.most {
				t.Errorf("away for %v, %d unanswered: %v, want %v to %v", tt.away, tt.unanswered, d, tt.least, tt.most)
			}
		}
	}
}

// A peer that nobody hears of is dialled less and less often, and one that refuses as often as ever:
// each attempt costs a full link some of what it has, and a refusal says that the machine is there.
func TestKeeperDialsLessWhereNobodyAnswers(t *testing.T) {
	for _, tc := range []struct {
		name        string
		answer      time.Duration // after which an attempt fails; the end of its time without
		least, most int64         // dials in two minutes
	}{
		{"refused", 10 * time.Millisecond, 30, 40},
		{"no answer", time.Hour, 9, 11},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var dials atomic.Int64
				k := NewKeeper(KeeperConfig{
					Dial: func(ctx context.Context, _ peer.AddrInfo) error {
						dials.Add(1)
						backoff.Wait(ctx, tc.answer)
						return errors.New("it failed")
					},
					Connected: func(peer.ID) bool { return false },
					IsRelay:   func(peer.ID) bool { return false },
					Logger:    slog.New(slog.DiscardHandler),
				})
				k.Add(peer.AddrInfo{ID: "peer"})
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				if err := k.Run(ctx); err != nil {
					t.Error(err)
				}
				if n := dials.Load(); n < tc.least || n > tc.most {
					t.Errorf("%d dials in two minutes, want %d to %d", n, tc.least, tc.most)
				}
			})
		})
	}
}

// Of peers that somebody has made up a few are dialled at a time, whatever their number, and one that
// is proven has to wait for none of them. A real one of whom others have only told has its turn.
func TestKeeperDialsFewOfThoseMadeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const madeUp = 2000
		var under, most, met, told atomic.Int64
		began := time.Now()
		k := NewKeeper(KeeperConfig{
			Dial: func(ctx context.Context, p peer.AddrInfo) error {
				if p.ID == "proven" {
					met.CompareAndSwap(0, int64(time.Since(began))+1)
					return nil
				}
				if p.ID == "told of" {
					told.CompareAndSwap(0, int64(time.Since(began))+1)
					return nil
				}
				if n := under.Add(1); n > most.Load() {
					most.Store(n)
				}
				defer under.Add(-1)
				<-ctx.Done() // nobody answers
				return ctx.Err()
			},
			Connected: func(p peer.ID) bool {
				return p == "proven" && met.Load() > 0 || p == "told of" && told.Load() > 0
			},
			IsRelay: func(peer.ID) bool { return false },
			Claim: func(p peer.ID) Claim {
				switch {
				case p == "proven":
					return Proven
				case p == "told of" || p[0]%2 == 0:
					return Told
				}
				return Doubtful
			},
			Logger: slog.New(slog.DiscardHandler),
		})
		for i := range madeUp {
			k.Add(peer.AddrInfo{ID: peer.ID([]byte{byte(i), byte(i >> 8)})})
		}
		k.Add(peer.AddrInfo{ID: "told of"})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		time.AfterFunc(time.Minute, func() { k.Add(peer.AddrInfo{ID: "proven"}) })
		if err := k.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := most.Load(); n > 2*turns {
			t.Errorf("%d attempts at once, want %d at most", n, 2*turns)
		}
		if after := time.Duration(met.Load()); after == 0 || after > time.Minute+time.Second {
			t.Errorf("the proven one was dialled after %v", after)
		}
		if told.Load() == 0 {
			t.Error("the one of whom others have told was never dialled")
		}
	})
}

// A peer that ends each connection at once is not dialled without a pause; one that was lost once is
// dialled at once. That something happened with a peer that stays connected is no loss.
func TestKeeperDoesNotHammer(t *testing.T) {
	for _, tc := range []struct {
		name        string
		lasts       time.Duration
		soon        int64 // dials after 100 ms
		least, most int64 // in a minute
	}{
		{"turned away", 10 * time.Millisecond, 2, 12, 24},
		{"lost every ten seconds", 10 * time.Second, 1, 6, 6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var k *Keeper
				var dials atomic.Int64
				var connected atomic.Bool
				k = NewKeeper(KeeperConfig{
					Dial: func(context.Context, peer.AddrInfo) error {
						dials.Add(1)
						connected.Store(true)
						time.AfterFunc(tc.lasts/2, func() { k.Wake("peer") })
						time.AfterFunc(tc.lasts, func() {
							connected.Store(false)
							k.Wake("peer")
							k.Wake("peer")
						})
						return nil
					},
					Connected: func(peer.ID) bool { return connected.Load() },
					IsRelay:   func(peer.ID) bool { return false },
					Logger:    slog.New(slog.DiscardHandler),
				})
				k.Add(peer.AddrInfo{ID: "peer"})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute-time.Second)
				defer cancel()
				go func() {
					time.Sleep(100 * time.Millisecond)
					if n := dials.Load(); n != tc.soon {
						t.Errorf("%d dials in 100 ms, want %d", n, tc.soon)
					}
				}()
				if err := k.Run(ctx); err != nil {
					t.Error(err)
				}
				if n := dials.Load(); n < tc.least || n > tc.most {
					t.Errorf("%d dials in a minute, want %d to %d", n, tc.least, tc.most)
				}
			})
		})
	}
}
