package scores

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/scoring"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

func newKeeper(dir string) *Keeper {
	return New(Config{StateDir: dir, Outside: func(p peer.ID) bool { return p == "far" }, Logger: slog.New(slog.DiscardHandler)})
}

// A peer is blamed for a silence only where another one on the same side has answered lately.
func TestBlame(t *testing.T) {
	lost := fmt.Errorf("%w: gone", streams.ErrUnreachable)
	for _, tt := range []struct {
		name    string
		other   peer.ID       // that has answered
		ago     time.Duration // since when
		outcome streams.Outcome
		worse   bool
	}{
		{"nobody answers", "", 0, streams.Outcome{Err: lost}, false},
		{"another one does", "near2", time.Second, streams.Outcome{Err: lost}, true},
		{"another one has, long ago", "near2", linkFresh, streams.Outcome{Err: lost}, false},
		{"one on the other side does", "far", time.Second, streams.Outcome{Err: lost}, false},
		{"a timeout, and another one answers", "near2", time.Second, streams.Outcome{Err: streams.ErrTimeout}, true},
		{"a timeout of all", "", 0, streams.Outcome{Err: streams.ErrTimeout}, false},
		{"a bad reply", "", 0, streams.Outcome{Err: streams.ErrBadReply}, true},
		{"we gave up", "near2", time.Second, streams.Outcome{Err: context.Canceled}, false},
		{"it asks for what it may not", "", 0, streams.Outcome{Inbound: true, Err: streams.ErrForbidden}, true},
		{"it asks in vain", "", 0, streams.Outcome{Inbound: true, Err: streams.ErrNotFound}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeeper("")
				if tt.other != "" {
					k.Observe(streams.Outcome{Peer: tt.other})
				}
				time.Sleep(tt.ago)
				tt.outcome.Peer = "near"
				k.Observe(tt.outcome)
				if got := k.Score("near"); (got < scoring.Neutral) != tt.worse {
					t.Errorf("its score is %v", got)
				}
			})
		})
	}
}

func TestScoresAreSaved(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(dir)
		k.Observe(streams.Outcome{Peer: streamtest.PeerID("p")})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- k.Run(ctx) }()
		time.Sleep(saveEvery + time.Second)
		if got := newKeeper(dir).Len(); got != 1 {
			t.Errorf("%d scores after %v", got, saveEvery)
		}
		k.Observe(streams.Outcome{Peer: streamtest.PeerID("q"), Err: errors.New("a refusal")})
		cancel()
		if err := <-ended; err != nil || newKeeper(dir).Len() != 2 {
			t.Errorf("at the end: %v, %d scores", err, newKeeper(dir).Len())
		}
	})
}
