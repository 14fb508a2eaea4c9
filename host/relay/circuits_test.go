package relay

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
)

// TestDialEndsWhenThePeerArrives: who is dialled where nobody answers may connect by itself.
func TestDialEndsWhenThePeerArrives(t *testing.T) {
	here, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	there, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	dialling := make(chan struct{})
	circuits := NewCircuits(here, CircuitsConfig{
		Book: emptyBook{}, Silent: func(multiaddr.Multiaddr) bool { return false },
		ConnectAgain: func(ctx context.Context, _ peer.AddrInfo) error {
			close(dialling)
			<-ctx.Done() // nobody answers
			return ctx.Err()
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan []error)
	go func() { ended <- circuits.Dial(ctx, peer.AddrInfo{ID: there.ID()}) }()
	<-dialling
	if err := there.Connect(ctx, peer.AddrInfo{ID: here.ID(), Addrs: here.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if errs := <-ended; len(errs) > 0 {
		t.Error(errs)
	}
}

// TestRelayComesWhileAPeerIsDialled: the shortest address through a relay, which the library has not
// tried, is kept until there is the relay.
func TestRelayComesWhileAPeerIsDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id, err := peer.Decode(somebody)
		if err != nil {
			t.Fatal(err)
		}
		relay := peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast(direct)}}
		attempts := 0
		var dialled []multiaddr.Multiaddr
		circuits := NewCircuits(nil, CircuitsConfig{
			Book: emptyBook{}, Learn: func(...multiaddr.Multiaddr) {}, Trusted: func(peer.ID) bool { return true },
			Connect: func(context.Context, peer.AddrInfo) error {
				if attempts++; attempts < 8 {
					return errors.New("no route")
				}
				return nil
			},
			ConnectAgain: func(_ context.Context, p peer.AddrInfo) error {
				dialled = append(dialled, p.Addrs...)
				return nil
			},
		})
		if err := circuits.dialBy(t.Context(), t.Context(), relay, "peer"); err != nil {
			t.Error(err)
		}
		if want := route.Circuit(relay.ID); len(dialled) != 1 || !dialled[0].Equal(want) {
			t.Errorf("dialled %v, want %v", dialled, want)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if attempts = 0; circuits.dialBy(t.Context(), over, relay, "peer") == nil || attempts != 1 {
			t.Errorf("%d attempts, though only relays were left", attempts)
		}
	})
}
