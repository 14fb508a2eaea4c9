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

// One that ends each connection at once is not dialled without a pause; one that was lost once is dialled at once.
func TestKeeperDoesNotHammer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k *Keeper
		var dials atomic.Int64
		k = NewKeeper(func(context.Context, peer.AddrInfo) error {
			dials.Add(1)
			time.AfterFunc(10*time.Millisecond, func() { k.Wake("refuser") })
			return nil
		}, func(peer.ID) bool { return false }, slog.New(slog.DiscardHandler))
		k.Add(peer.AddrInfo{ID: "refuser"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		go func() {
			time.Sleep(100 * time.Millisecond)
			if n := dials.Load(); n != 2 {
				t.Errorf("%d dials after %v, want 2: the second at once", n, time.Since(began))
			}
		}()
		_ = k.Run(ctx)
		if n := dials.Load(); n < 12 || n > 24 {
			t.Errorf("%d dials in a minute, want one every %v", n, redialFast)
		}
	})
}
