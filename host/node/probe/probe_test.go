package probe

import (
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

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/reach"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// one is a network with one connection.
type one struct {
	network.Network
	conn *conn
}

func (o one) ConnsToPeer(peer.ID) []network.Conn { return []network.Conn{o.conn} }
func (o one) Peers() []peer.ID                   { return []peer.ID{"p"} }

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
		want   network.ConnErrorCode
	}{
		{"it lives", nil, 0},
		{"it answers something", streams.ErrUnsupported, 0},
		{"it is gone", timeout, greet.DisconnectNetworkError.ConnCode()},
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
					<-time.After(time.Second)
					return tt.answer
				}
				p := New(one{conn: c}, ping, func(f func(context.Context)) { running.Go(func() { f(ctx) }) }, slog.New(slog.DiscardHandler))
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
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if asked != 1 || c.code != tt.want {
					t.Errorf("asked %d times, closed with %#x, want once and %#x", asked, c.code, tt.want)
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

func TestAddrGone(t *testing.T) {
	if addrGone(event.EvtLocalAddressesUpdated{}) || addrGone(reach.NetworkChanged{}) || addrGone("something else") {
		t.Error("no address is gone")
	}
}
