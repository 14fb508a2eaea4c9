package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
)

// onlyCircuits is a host on which nobody is reached directly, but for those in direct.
type onlyCircuits struct {
	corehost.Host
	direct map[peer.ID]bool
	dir    network.Direction // of the circuits
}

func (h *onlyCircuits) Network() network.Network { return circuitNetwork{nil, h} }

type circuitNetwork struct {
	network.Network
	of *onlyCircuits
}

func (n circuitNetwork) ConnsToPeer(p peer.ID) []network.Conn {
	if n.of.direct[p] {
		return []network.Conn{&path{addr: direct}}
	}
	return []network.Conn{&path{addr: circuit, dir: n.of.dir}}
}

// TestOneIsTriedForASite: twenty machines behind a NAT through which no hole can be punched do not try
// one after the other, again and again; and when one gets through, so do the others.
func TestOneIsTriedForASite(t *testing.T) {
	h := &onlyCircuits{direct: make(map[peer.ID]bool), dir: network.DirInbound}
	own := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/203.0.113.1/udp/4747/quic-v1")}
	p := NewPuncher(h, PuncherConfig{Addrs: func() []multiaddr.Multiaddr { return own }})
	i := NewImprover(h, ImproverConfig{
		Addrs: func(peer.ID) []multiaddr.Multiaddr { return nil }, Puncher: p, Logger: slog.New(slog.DiscardHandler),
	})
	var peers []peer.ID
	for k := range 20 {
		id := peer.ID(fmt.Sprint("worker", k))
		peers = append(peers, id)
		p.rounds.meet(peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast(direct)}})
	}
	now := time.Now()
	// attempts makes all that are worth it for a while, and returns how many there were.
	attempts := func(lasting time.Duration) (made int) {
		for end := now.Add(lasting); now.Before(end); now = now.Add(improveEvery) {
			i.forget(peers)
			var tried []peer.ID
			for _, id := range peers {
				if worth, _ := i.worthAttempt(id, now); worth {
					tried = append(tried, id)
				}
			}
			if len(tried) > improveSite {
				t.Fatalf("%d attempts at once, want %d at most", len(tried), improveSite)
			}
			for _, id := range tried {
				i.attempted(id, now)
			}
			made += len(tried)
		}
		return made
	}
	if made := attempts(time.Minute); made > 10 {
		t.Errorf("%d attempts in the first minute, want 10 at most", made)
	}
	if made := attempts(time.Hour); made < 20 || made > 45 {
		t.Errorf("%d attempts in an hour, want one in two minutes", made)
	}
	for through := false; !through; now = now.Add(improveEvery) {
		for _, id := range peers {
			if worth, _ := i.worthAttempt(id, now); worth {
				through, h.direct[id] = true, true
				i.attempted(id, now)
				break
			}
		}
	}
	if made := attempts(improveEvery); made != improveSite {
		t.Errorf("%d attempts when one has got through, want %d", made, improveSite)
	}
	own = []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/203.0.113.2/udp/4747/quic-v1")}
	if made := attempts(improveEvery); made != improveSite {
		t.Errorf("%d attempts from another address, want %d", made, improveSite)
	}
}

// TestWhoOpenedTheCircuitRests: both ends try twice, and then the one that has not opened it.
func TestWhoOpenedTheCircuitRests(t *testing.T) {
	for _, tt := range []struct {
		name     string
		dir      network.Direction // of the circuit
		attempts int               // in five minutes
	}{
		{"it was dialled", network.DirOutbound, 2},
		{"it has dialled", network.DirInbound, 5},
	} {
		h := &onlyCircuits{dir: tt.dir}
		i := NewImprover(h, ImproverConfig{
			Addrs: func(peer.ID) []multiaddr.Multiaddr { return []multiaddr.Multiaddr{multiaddr.StringCast(direct)} },
		})
		made := 0
		for now, end := time.Now(), time.Now().Add(5*time.Minute); now.Before(end); now = now.Add(improveEvery) {
			if worth, _ := i.worthAttempt(somebody, now); worth {
				made++
				i.attempted(somebody, now)
			}
		}
		if made < tt.attempts || tt.attempts == 2 && made > 2 {
			t.Errorf("%s: %d attempts in five minutes, want %d", tt.name, made, tt.attempts)
		}
	}
}

// TestRoundsThatWereAskedFor: the library opens a stream for each round; only the first of an attempt of
// ours gets one.
func TestRoundsThatWereAskedFor(t *testing.T) {
	r := newRounds()
	e := &eitherEnd{&noStreams{}, t.Context(), r}
	if _, err := e.NewStream(t.Context(), somebody, "/libp2p/dcutr"); err != errNotNow {
		t.Errorf("its own attempt ends with %v, want %v", err, errNotNow)
	}
	r.ask(somebody)
	if _, err := e.NewStream(t.Context(), somebody, "/libp2p/dcutr"); err != errNoStreams {
		t.Errorf("ours ends with %v, want %v", err, errNoStreams)
	}
	if _, err := e.NewStream(t.Context(), somebody, "/libp2p/dcutr"); err != errNotNow {
		t.Errorf("the second round ends with %v, want %v", err, errNotNow)
	}
}

var errNoStreams = errors.New("no streams here")

type noStreams struct{ corehost.Host }

func (noStreams) NewStream(context.Context, peer.ID, ...protocol.ID) (network.Stream, error) {
	return nil, errNoStreams
}
