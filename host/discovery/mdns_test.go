package discovery

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMDNSGoesOn: a start that fails is told once and tried again; an end without an error begins
// anew at once; and where it fails for long, a change of the network ends the pause.
func TestMDNSGoesOn(t *testing.T) {
	self := newLoopback(t)
	other := peer.AddrInfo{ID: randomPeer(t), Addrs: addrs(1)}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var changes Changes
		m := NewMDNS(self, MDNSConfig{Changes: &changes, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		// In the middle of a pause: attempts are at 0, 1, 3, 7, 15, 31, 61 s.
		const change = 40 * time.Second
		sessions := 0
		m.session = func(ctx context.Context, out chan<- peer.AddrInfo) error {
			sessions++
			switch {
			case sessions < 7:
				return errors.New("no network")
			case sessions == 7:
				return nil // as when addresses have changed
			}
			out <- peer.AddrInfo{ID: other.ID} // without an address
			out <- other
			// Ourselves, or another machine with our key.
			out <- peer.AddrInfo{ID: self.ID(), Addrs: addrs(1)}
			<-ctx.Done()
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		time.AfterFunc(change, changes.Happened)
		var got []Found
		var after time.Duration
		for f := range m.Find(ctx) {
			got, after = append(got, f), time.Since(start)
		}
		if len(got) != 2 || got[0].ID != other.ID || got[0].Source != "mdns" || got[1].ID != self.ID() || after != change {
			t.Errorf("found %v after %v, want the other one and us after %v", got, after, change)
		}
		if n := strings.Count(log.String(), "does not work"); n != 1 {
			t.Errorf("told %d times that it does not work, want once:\n%s", n, &log)
		}
	})
}
