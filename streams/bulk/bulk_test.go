package bulk

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slowLink is a link with a queue that takes all it is sent, as relays and routers have.
type slowLink struct {
	mu   sync.Mutex // guards idle
	rate int        // bytes a second
	trip time.Duration
	idle time.Time // when all of the queue has left
}

// send puts bytes into the queue and returns how long they take to leave it.
func (l *slowLink) send(bytes int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.idle.Before(now) {
		l.idle = now
	}
	l.idle = l.idle.Add(time.Duration(bytes) * time.Second / time.Duration(l.rate))
	return l.idle.Sub(now)
}

func (l *slowLink) ask() (answer func() error, err error) {
	arrives := time.Now().Add(l.send(echoSize) + l.trip)
	return func() error { time.Sleep(time.Until(arrives)); return nil }, nil
}

func (l *slowLink) Write(p []byte) (int, error) { l.send(len(p)); return len(p), nil }

// What else is sent beside a transfer waits a second at most, and the transfer takes hardly longer
// than the link needs for it.
func TestBulkLeavesRoom(t *testing.T) {
	for _, tt := range []struct {
		name string
		rate int
		trip time.Duration
		size int64
		wait time.Duration // of something else, at most
		took time.Duration // at most
	}{
		{"128 kbit/s", 16 << 10, 50 * time.Millisecond, 1 << 19, time.Second, 36 * time.Second},
		{"1 Mbit/s, by satellite", 128 << 10, 600 * time.Millisecond, 4 << 20, time.Second, 60 * time.Second},
		{"10 Mbit/s", 1250 << 10, 20 * time.Millisecond, 16 << 20, 1500 * time.Millisecond, 16 * time.Second},
		{"1 Gbit/s, far away", 125 << 20, 200 * time.Millisecond, 256 << 20, time.Second, 5 * time.Second},
		{"memory", 4 << 30, 50 * time.Microsecond, 64 << 20, time.Second, 30 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &slowLink{rate: tt.rate, trip: tt.trip}
				b := newLink(l, nothingKnown)
				began := time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					io.Copy(writer{t.Context(), l, b}, io.LimitReader(rand.Reader, tt.size))
				}()
				worst := time.Duration(0)
				for going := true; going; {
					select {
					case <-done:
						going = false
					case <-time.After(100 * time.Millisecond):
						worst = max(worst, l.send(0))
					}
				}
				if worst > tt.wait {
					t.Errorf("something else waits %v, want %v at most", worst, tt.wait)
				}
				if took := time.Since(began) + l.send(0); took > tt.took {
					t.Errorf("it took %v, want %v at most", took, tt.took)
				}
				b.close()
			})
		})
	}
}

// A peer that answers no echoes gets what there is as fast as it takes it, and a short transfer asks
// for none.
func TestBulkWithoutEchoes(t *testing.T) {
	e := new(noEchoes)
	b := newLink(e, nothingKnown)
	defer b.close()
	b.Wait(t.Context(), firstWindow/parts-1)
	if b.started {
		t.Error("it asks before there is any need to")
	}
	for range 100 {
		b.Wait(t.Context(), firstWindow)
	}
	if b.running.Wait(); e.asked != 1 {
		t.Errorf("asked %d times, want once", e.asked)
	}
}

type noEchoes struct{ asked int }

func (e *noEchoes) ask() (func() error, error) {
	e.asked++
	return func() error { return errors.New("protocol not supported") }, nil
}

// Over real connections there are echoes, and nothing is left of them when the transfers are over.
func TestBulkOverConnections(t *testing.T) {
	for _, transport := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		server, caller := newHost(t, transport), newHost(t, transport)
		if err := caller.Connect(t.Context(), peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}); err != nil {
			t.Fatal(err)
		}
		c := caller.Network().ConnsToPeer(server.ID())[0]
		l := Links{
			Line: func(network.Conn) (time.Duration, uint64, bool) { return 0, 0, false },
			Open: func(ctx context.Context, _ network.Conn, id protocol.ID) (network.Stream, error) {
				return caller.NewStream(ctx, server.ID(), id)
			},
		}
		b := l.Begin(c)
		if l.Begin(c) != b {
			t.Error("two transfers over one connection are bounded apart")
		}
		for range 8 {
			b.Wait(t.Context(), firstWindow)
		}
		b.mu.Lock()
		if b.arrived == 0 || b.free {
			t.Errorf("%s: %d bytes are known to have arrived, free: %v", transport, b.arrived, b.free)
		}
		b.mu.Unlock()
		l.End(c)
		l.End(c)
		if len(l.conns) > 0 {
			t.Error("connections without transfers are remembered")
		}
	}
}

func newHost(t *testing.T, listen string) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings(listen), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func nothingKnown() (time.Duration, uint64, bool) { return 0, 0, false }

// What was lost and sent again explains a late echo, for a few round trips and beyond the queues that
// the line knows of.
func TestExcuse(t *testing.T) {
	const trip = 300 * time.Millisecond
	for _, tt := range []struct {
		name   string
		known  bool
		resent uint64
		queued time.Duration
		took   time.Duration
		want   time.Duration
	}{
		{"nothing is known", false, 1, 0, 3 * trip, 0},
		{"nothing was sent again", true, 0, 0, 3 * trip, 0},
		{"sent again", true, 1, 0, 3 * trip, 2 * trip},
		{"sent again, and in a queue", true, 1, trip, 3 * trip, trip},
		{"all of it in a queue", true, 1, 3 * trip, 3 * trip, 0},
		{"longer than loss explains", true, 1, 0, 9 * trip, lossTrips * trip},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newLink(new(noEchoes), func() (time.Duration, uint64, bool) { return tt.queued, tt.resent, tt.known })
				defer b.close()
				b.window.least = trip
				q := question{at: time.Now()}
				time.Sleep(tt.took)
				if got := b.excuse(q); got != tt.want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			})
		})
	}
}
