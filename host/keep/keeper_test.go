package keep

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

func TestRedialDelay(t *testing.T) {
	tests := []struct {
		away  time.Duration
		relay bool
		least time.Duration
		most  time.Duration
	}{
		{0, false, 3 * time.Second, 4 * time.Second},
		{redialPatient - 1, false, 3 * time.Second, 4 * time.Second},
		{redialPatient, false, 24 * time.Second, 30 * time.Second},
		{100 * time.Hour, false, 24 * time.Second, 30 * time.Second},
		{0, true, time.Second, 1500 * time.Millisecond},
		{redialPatient, true, 24 * time.Second, 30 * time.Second},
	}
	for _, tt := range tests {
		for range 100 {
			if d := redialDelay(tt.away, tt.relay); d < tt.least || d > tt.most {
				t.Errorf("away for %v: %v, want %v to %v", tt.away, d, tt.least, tt.most)
			}
		}
	}
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
