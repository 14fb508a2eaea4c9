package streams_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// newLatePipe is newPipe with a caller that is told of late answers.
func newLatePipe(t *testing.T, late func(network.Conn)) *streamtest.Pipe {
	t.Helper()
	p := streamtest.New(streamtest.PeerID("server"), streamtest.PeerID("caller"), forMember(), streams.Config{Late: late})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestLateAnswersAreTold: each time after twice as long, and no more once the answer is there.
func TestLateAnswersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan time.Time, 10)
		p := newLatePipe(t, func(network.Conn) { told <- time.Now() })
		noError(t, read.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text) (text, error) {
			time.Sleep(time.Duration(v.Size))
			return v, nil
		}))
		for _, tt := range []struct {
			takes time.Duration
			want  []time.Duration
		}{
			{199 * time.Millisecond, nil},
			{1500 * time.Millisecond, []time.Duration{200 * time.Millisecond, 600 * time.Millisecond, 1400 * time.Millisecond}},
			{100 * time.Millisecond, nil}, // on the same stream
		} {
			began := time.Now()
			_, err := read.Do(t.Context(), p.Client, p.Server.ID(), text{Size: int64(tt.takes)})
			noError(t, err)
			time.Sleep(time.Minute)
			var after []time.Duration
			for len(told) > 0 {
				after = append(after, (<-told).Sub(began))
			}
			if !slices.Equal(after, tt.want) {
				t.Errorf("an answer after %v: told after %v, want %v", tt.takes, after, tt.want)
			}
		}
	})
}

// TestFoundDead: a request whose connection was found dead goes on over another one, with the same ID,
// so that it has its effect once; and not where it was the peer that closed the connection.
func TestFoundDead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		remote bool // the peer closes the connection
		do     func(context.Context, *streamtest.Pipe) error
		want   error
	}{
		{"an effect", false, func(ctx context.Context, p *streamtest.Pipe) error {
			_, err := work.Do(ctx, p.Client, p.Server.ID(), text{})
			return err
		}, nil},
		{"an effect, and the peer is gone", true, func(ctx context.Context, p *streamtest.Pipe) error {
			_, err := work.Do(ctx, p.Client, p.Server.ID(), text{})
			return err
		}, streams.ErrUnreachable},
		{"a feed", false, func(ctx context.Context, p *streamtest.Pipe) (last error) {
			for _, err := range follow.Do(ctx, p.Client, p.Server.ID(), text{}) {
				last = err
			}
			return last
		}, nil},
		{"a feed with an effect, whose items are not kept", false, func(ctx context.Context, p *streamtest.Pipe) (last error) {
			for _, err := range run.Do(ctx, p.Client, p.Server.ID(), text{}) {
				last = err
			}
			return last
		}, streams.ErrUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p *streamtest.Pipe
				p = newLatePipe(t, func(c network.Conn) {
					if c != network.Conn(p.Conn) {
						return
					}
					streamtest.Connect(p.Caller, p.Server)
					if tt.remote {
						c = p.Server.Network().ConnsToPeer(p.Caller.ID())[0]
					}
					c.Close()
				})
				var effects atomic.Int32
				slow := func(context.Context, streams.Peer, text) (text, error) {
					effects.Add(1)
					time.Sleep(time.Second)
					return text{}, nil
				}
				items := func(ctx context.Context, p streams.Peer, v text, _ func(text) error) (text, error) {
					return slow(ctx, p, v)
				}
				noError(t, work.Handle(p.Mux, slow), follow.Handle(p.Mux, items), run.Handle(p.Mux, items))
				if err := tt.do(t.Context(), p); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if n := effects.Load(); tt.name == "an effect" && n != 1 {
					t.Errorf("%d effects", n)
				}
			})
		})
	}
}
