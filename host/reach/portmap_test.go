package reach

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	natpmp "github.com/jackpal/go-nat-pmp"
	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/multiformats/go-multiaddr"
)

// listening is a network that does no more than to listen. test/netlab has real routers.
type listening struct {
	network.Network
	mu     sync.Mutex // guards what follows
	addrs  []multiaddr.Multiaddr
	notify network.Notifiee
}

func listensAt(addrs ...string) *listening {
	l := &listening{}
	l.listen(addrs...)
	return l
}

// listen has it listen at these addresses and no others.
func (l *listening) listen(addrs ...string) {
	l.mu.Lock()
	l.addrs = nil
	for _, a := range addrs {
		l.addrs = append(l.addrs, multiaddr.StringCast(a))
	}
	n := l.notify
	l.mu.Unlock()
	if n != nil {
		n.Listen(l, nil)
	}
}

func (l *listening) ListenAddresses() []multiaddr.Multiaddr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.addrs)
}

func (l *listening) Notify(n network.Notifiee) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notify = n
}

func (l *listening) StopNotify(network.Notifiee) { l.Notify(nil) }

func (l *listening) watched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.notify != nil
}

// router answers by NAT-PMP, if it is there.
type router struct {
	mu       sync.Mutex // guards what follows
	away     bool
	refuses  string // a protocol
	external [4]byte
	taken    int // a port that it gives to another
	ports    map[string]map[int]int
}

func (r *router) GetExternalAddress() (*natpmp.GetExternalAddressResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return nil, errors.New("no answer")
	}
	return &natpmp.GetExternalAddressResult{ExternalIPAddress: r.external}, nil
}

func (r *router) AddPortMapping(protocol string, internal, wanted, seconds int) (*natpmp.AddPortMappingResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return nil, errors.New("no answer")
	}
	if seconds == 0 {
		delete(r.ports[protocol], internal)
		return &natpmp.AddPortMappingResult{}, nil
	}
	if protocol == r.refuses {
		return nil, errors.New("refused")
	}
	if wanted == r.taken {
		wanted += 1000
	}
	if r.ports == nil {
		r.ports = map[string]map[int]int{"tcp": {}, "udp": {}}
	}
	r.ports[protocol][internal] = wanted
	return &natpmp.AddPortMappingResult{MappedExternalPort: uint16(wanted)}, nil
}

func (r *router) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func TestPMP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tcp, udp = "/ip4/0.0.0.0/tcp/4747", "/ip4/0.0.0.0/udp/4747/quic-v1"
		others := []string{"/ip4/127.0.0.1/udp/4747/quic-v1", "/ip6/::/tcp/4747", "/p2p-circuit"}
		l := listensAt(append(others, udp)...)
		r := &router{external: [4]byte{203, 0, 113, 7}, taken: 4747}
		m, err := newPMPMapper(l, r)
		if err != nil {
			t.Fatal(err)
		}
		check := func(what, listener, want string) {
			t.Helper()
			synctest.Wait()
			got := ""
			if a := m.GetMapping(multiaddr.StringCast(listener)); a != nil {
				got = a.String()
			}
			if got != want {
				t.Errorf("%s: %s is reached at %q, want %q", what, listener, got, want)
			}
		}
		check("at first", udp, "/ip4/203.0.113.7/udp/5747/quic-v1")
		check("at first", tcp, "")
		check("at first", "/ip4/127.0.0.1/udp/4747/quic-v1", "")
		check("at first", "/ip6/::/tcp/4747", "")

		l.listen(append(others, udp, tcp)...)
		check("it listens by TCP, too", tcp, "/ip4/203.0.113.7/tcp/5747")

		r.set(func() { r.external, r.taken = [4]byte{203, 0, 113, 8}, 0 })
		time.Sleep(pmpRenew)
		check("the router has another address", tcp, "/ip4/203.0.113.8/tcp/5747")

		for _, protocol := range []string{"tcp", "udp"} {
			r.set(func() { r.refuses = protocol })
			time.Sleep(pmpRenew)
			check("it refuses one of the ports now", tcp, "/ip4/203.0.113.8/tcp/5747")
			if len(r.ports["tcp"]) != 1 || len(r.ports["udp"]) != 1 {
				t.Errorf("it forwards %v, and both are announced", r.ports)
			}
		}
		r.set(func() { r.refuses = "" })
		time.Sleep(pmpRenew)
		check("it forwards both again", udp, "/ip4/203.0.113.8/udp/5747/quic-v1")

		r.set(func() { r.away = true })
		time.Sleep(pmpLease - pmpRenew)
		check("the router has been away for a while", udp, "/ip4/203.0.113.8/udp/5747/quic-v1")
		time.Sleep(2 * pmpRenew)
		check("the lease is over", udp, "")
		r.set(func() { r.away = false })
		time.Sleep(pmpRenew)
		check("the router is back", udp, "/ip4/203.0.113.8/udp/5747/quic-v1")

		l.listen(append(others, tcp)...)
		check("one listener is closed", udp, "")
		if len(r.ports["udp"]) > 0 || len(r.ports["tcp"]) != 1 {
			t.Errorf("the router still forwards %v", r.ports)
		}
		r.set(func() { r.external = [4]byte{} })
		if _, err := newPMPMapper(l, r); err == nil {
			t.Error("a router without an address outside was taken")
		}
		if err := m.Close(); err != nil || len(r.ports["udp"])+len(r.ports["tcp"]) > 0 || l.watched() {
			t.Errorf("closed: %v; the router still forwards %v", err, r.ports)
		}
		r.set(func() { r.away = true })
		if _, err := newPMPMapper(l, r); err == nil || l.watched() {
			t.Errorf("a router that does not answer: %v", err)
		}
	})
}

// forwarding is what a router does, while it does it.
type forwarding struct {
	to     atomic.Pointer[string]
	closed atomic.Bool
}

func (f *forwarding) HasDiscoveredNAT() bool { return true }
func (f *forwarding) Close() error           { f.closed.Store(true); return nil }
func (f *forwarding) GetMapping(multiaddr.Multiaddr) multiaddr.Multiaddr {
	if s := f.to.Load(); s != nil {
		return multiaddr.StringCast(*s)
	}
	return nil
}

// A router may be started after this machine, stop to forward, or be another one, where a laptop
// has moved.
func TestPortMapper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listensAt()
		there := "/ip4/203.0.113.7/tcp/4747"
		var (
			asked   atomic.Int64
			answers atomic.Pointer[forwarding]
			gateway atomic.Pointer[net.IP]
			log     bytes.Buffer
		)
		home, elsewhere := net.IPv4(192, 168, 1, 1), net.IPv4(10, 0, 0, 1)
		gateway.Store(&home)
		m := &PortMapper{
			net: l, log: slog.New(slog.NewTextHandler(&log, nil)), router: func() net.IP { return *gateway.Load() },
			ask: func(context.Context, net.IP) basichost.NATManager {
				asked.Add(1)
				if f := answers.Load(); f != nil {
					return f
				}
				return nil
			},
		}
		m.start()
		check := func(what string, times int64, forwards bool) {
			t.Helper()
			synctest.Wait()
			if n := asked.Swap(0); n != times || (m.GetMapping(nil) != nil) != forwards || m.HasDiscoveredNAT() != forwards {
				t.Errorf("%s: asked %d times, want %d; a port is forwarded: %v", what, n, times, m.GetMapping(nil))
			}
		}
		check("it does not listen yet", 0, false)
		l.listen("/ip6/::/tcp/4747")
		time.Sleep(time.Hour)
		check("there is nothing that a router could forward", 0, false)
		l.listen("/ip4/0.0.0.0/tcp/4747")
		time.Sleep(mapFirst)
		check("at first", 1, false)
		time.Sleep(mapAgain - mapCheck)
		check("nobody has answered", 0, false)
		first := &forwarding{}
		first.to.Store(&there)
		answers.Store(first)
		time.Sleep(2 * mapCheck)
		check("the router is there now", 1, true)
		time.Sleep(time.Hour)
		check("an hour later", 0, true)

		second := &forwarding{}
		second.to.Store(&there)
		answers.Store(second)
		first.to.Store(nil)
		time.Sleep(mapLost + 2*mapCheck)
		if check("it has stopped", 1, true); !first.closed.Load() {
			t.Error("the first one was not closed")
		}
		third := &forwarding{} // answers, and forwards nothing
		answers.Store(third)
		second.to.Store(nil)
		time.Sleep(mapLost + mapLost + mapAgain - mapCheck)
		if check("it refuses", 1, false); !third.closed.Load() {
			t.Error("the one that refuses was not closed")
		}
		answers.Store(second)
		second.to.Store(&there)
		gateway.Store(&elsewhere)
		time.Sleep(2 * mapCheck)
		check("the laptop has moved", 1, true)

		if err := m.Close(); err != nil || !second.closed.Load() {
			t.Errorf("closed: %v", err)
		}
		check("closed", 0, false)
		if text := log.String(); strings.Count(text, "no router forwards a port") != 2 || strings.Count(text, "the router forwards a port to this machine") != 3 {
			t.Error(text)
		}
	})
}
