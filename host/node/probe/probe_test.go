package probe

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"github.com/seed-b490fa12/swarm/host/liveness"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/reach"
	"github.com/seed-b490fa12/swarm/internal/backoff"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// one is a network with one connection.
type one struct {
	network.Network
	conn *conn
}

func (o one) ConnsToPeer(peer.ID) []network.Conn { return []network.Conn{o.conn} }
func (o one) Conns() []network.Conn              { return o.ConnsToPeer("p") }

// conn notes the code that it is closed with.
type conn struct {
	*streamtest.Conn
	code network.ConnErrorCode
}

func (c *conn) CloseWithError(code network.ConnErrorCode) error {
	c.code = code
	return nil
}

func TestProbe(t *testing.T) {
	timeout := streams.Errorf(streams.CodeTimeout, "no answer")
	for _, tt := range []struct {
		name   string
		answer error
		takes  time.Duration
		asked  int
		want   network.ConnErrorCode
	}{
		{"it lives", nil, time.Second, 1, 0},
		{"it answers something", streams.ErrUnsupported, time.Second / 2, 1, 0},
		{"it is gone", timeout, time.Hour, 3, greet.DisconnectNetworkError.ConnCode()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, caller := streamtest.NewHost("a"), streamtest.NewHost("b")
				defer func() { _ = errors.Join(server.Close(), caller.Close()) }()
				c := &conn{Conn: streamtest.Connect(server, caller)}
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				asked := 0
				ping := func(ctx context.Context, _ network.Conn) error {
					asked++
					backoff.Wait(ctx, tt.takes)
					return tt.answer
				}
				own := func(f func(context.Context)) { running.Go(func() { f(ctx) }) }
				p := New(Config{
					Network: one{conn: c}, Watch: new(liveness.Watch), Ping: ping, Own: own,
					Elsewhere: func(context.Context, network.Conn) bool { return false },
					Relays:    func() []peer.ID { return nil },
					Dead:      func(c network.Conn, code network.ConnErrorCode) { c.CloseWithError(code) },
					Logger:    slog.New(slog.DiscardHandler),
				})
				bus := eventbus.NewBus()
				ended := make(chan error)
				go func() { ended <- p.Run(ctx, bus) }()
				synctest.Wait()
				emit, err := bus.Emitter(new(reach.NetworkChanged))
				if err != nil {
					t.Fatal(err)
				}
				_ = emit.Emit(reach.NetworkChanged{}) // nothing is lost
				p.Suspect("p")
				p.Suspect("p") // it is asked already
				time.Sleep(8 * time.Second)
				synctest.Wait()
				if asked != tt.asked || c.code != tt.want {
					t.Errorf("asked %d times, closed with %#x, want %d and %#x", asked, c.code, tt.asked, tt.want)
				}
				cancel()
				running.Wait()
				if err := errors.Join(<-ended, emit.Close()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// crowd is a network with several peers, each with one connection.
type crowd struct {
	network.Network
	conns map[peer.ID]*conn
}

func (w crowd) ConnsToPeer(p peer.ID) []network.Conn {
	if c := w.conns[p]; c != nil {
		return []network.Conn{c}
	}
	return nil
}

// TestLate: a connection with a late answer is dead soon if its peer answers elsewhere; relays are asked
// beside it; and a connection that has just answered is not asked again.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := crowd{conns: make(map[peer.ID]*conn)}
		asked := make(map[network.Conn]int)
		var mu sync.Mutex
		join := func(p peer.ID) *conn {
			a, b := streamtest.NewHost(p), streamtest.NewHost("us")
			t.Cleanup(func() { _ = errors.Join(a.Close(), b.Close()) })
			w.conns[p] = &conn{Conn: streamtest.Connect(b, a)}
			return w.conns[p]
		}
		relay, lost := join("relay"), join("lost")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var running sync.WaitGroup
		p := New(Config{
			Network: w, Watch: new(liveness.Watch), Logger: slog.New(slog.DiscardHandler),
			Own: func(f func(context.Context)) { running.Go(func() { f(ctx) }) },
			Ping: func(ctx context.Context, c network.Conn) error {
				mu.Lock()
				asked[c]++
				mu.Unlock()
				if c != network.Conn(relay) {
					<-ctx.Done()
				}
				return ctx.Err()
			},
			Elsewhere: func(_ context.Context, c network.Conn) bool { return c == network.Conn(lost) },
			Relays:    func() []peer.ID { return []peer.ID{"relay"} },
			Dead:      func(c network.Conn, code network.ConnErrorCode) { c.CloseWithError(code) },
		})
		p.Late(lost)
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if lost.code != greet.DisconnectNetworkError.ConnCode() || relay.code != 0 {
			t.Errorf("closed with %#x, and the relay with %#x", lost.code, relay.code)
		}
		p.Late(relay)
		synctest.Wait()
		if asked[relay] != 1 {
			t.Errorf("the relay was asked %d times", asked[relay])
		}
		time.Sleep(lateAgain)
		p.Late(relay)
		synctest.Wait()
		if asked[relay] != 2 {
			t.Errorf("the relay was asked %d times, a second later", asked[relay])
		}
		cancel()
		running.Wait()
		if len(p.asked) > 2 {
			t.Errorf("%d connections are kept", len(p.asked))
		}
	})
}

func TestAddrGone(t *testing.T) {
	if addrGone(event.EvtLocalAddressesUpdated{}) || addrGone(reach.NetworkChanged{}) || addrGone("something else") {
		t.Error("no address is gone")
	}
	if !addrGone(reach.NetworkChanged{Rerouted: true}) {
		t.Error("the default route has moved")
	}
}

// TestChangeBesideLate: a connection over which an answer is late is asked once more when the network
// changes, and is dead sooner then.
func TestChangeBesideLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := streamtest.NewHost("silent"), streamtest.NewHost("us")
		defer func() { _ = errors.Join(a.Close(), b.Close()) }()
		silent := &conn{Conn: streamtest.Connect(b, a)}
		bus := eventbus.NewBus()
		changed, err := bus.Emitter(new(reach.NetworkChanged))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var took time.Duration
		began := time.Now()
		p := New(Config{
			Network: crowd{conns: map[peer.ID]*conn{"silent": silent}}, Watch: new(liveness.Watch), Logger: slog.New(slog.DiscardHandler),
			Own:       func(f func(context.Context)) { running.Go(func() { f(ctx) }) },
			Ping:      func(ctx context.Context, _ network.Conn) error { <-ctx.Done(); return ctx.Err() },
			Elsewhere: func(context.Context, network.Conn) bool { return false },
			Relays:    func() []peer.ID { return nil },
			Dead: func(c network.Conn, code network.ConnErrorCode) {
				took = cmp.Or(took, time.Since(began))
				c.CloseWithError(code)
			},
		})
		running.Go(func() { p.Run(ctx, bus) })
		p.Late(silent)
		time.Sleep(100 * time.Millisecond)
		if err := changed.Emit(reach.NetworkChanged{Rerouted: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		cancel()
		running.Wait()
		if took != 1100*time.Millisecond {
			t.Errorf("dead after %v", took)
		}
	})
}

func (w crowd) Conns() (out []network.Conn) {
	for _, c := range w.conns {
		out = append(out, c)
	}
	return out
}
