package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// server is a name server.
type server struct {
	ip  func(ctx context.Context, network, name string) ([]netip.Addr, error)
	txt func(ctx context.Context, name string) ([]string, error)

	mu sync.Mutex // guards ip
}

func (s *server) LookupNetIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	s.mu.Lock()
	ip := s.ip
	s.mu.Unlock()
	return ip(ctx, network, name)
}

// now answers in another way.
func (s *server) now(ip func(ctx context.Context, network, name string) ([]netip.Addr, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ip = ip
}

func (s *server) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return s.txt(ctx, name)
}

var notFound = &net.DNSError{Err: "no such host", IsNotFound: true}

// silent does not answer.
func silent(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, &net.DNSError{Err: "i/o timeout", IsTimeout: true}
}

// says answers an A question.
func says(ips ...string) func(context.Context, string, string) ([]netip.Addr, error) {
	return func(_ context.Context, network, _ string) (out []netip.Addr, _ error) {
		if network != ip4 {
			return nil, notFound
		}
		for _, ip := range ips {
			out = append(out, netip.MustParseAddr(ip))
		}
		return out, nil
	}
}

const (
	relay  = peer.ID("relay")
	named  = "/dns/vps.example/tcp/4747"
	named4 = "/dns4/vps.example/tcp/4747"
)

func addr(s string) multiaddr.Multiaddr { return multiaddr.StringCast(s) }

func addrs(s ...string) (out []multiaddr.Multiaddr) {
	for _, a := range s {
		out = append(out, addr(a))
	}
	return out
}

func (l *Look) texts() (out []string) {
	for _, k := range l.Known {
		out = append(out, k.Addr.String())
	}
	return out
}

func (l *Look) want(t *testing.T, open bool, known ...string) {
	t.Helper()
	if got := l.texts(); l.Open != open || !slices.Equal(got, known) {
		t.Errorf("open: %v, known: %v, failed: %v; want %v, %v", l.Open, got, l.Failed, open, known)
	}
}

// simulated runs f with a Resolver that asks dns, with its own time.
func simulated(t *testing.T, dns *server, f func(t *testing.T, r *Resolver)) {
	synctest.Test(t, func(t *testing.T) {
		r := New(dns, nil)
		defer r.Close()
		f(t, r)
	})
}

func TestLook(t *testing.T) {
	simulated(t, &server{ip: says("16.1.0.10", "16.1.0.11")}, func(t *testing.T, r *Resolver) {
		look := r.Look(relay, addrs(named))
		look.want(t, true)
		for look.Open {
			<-look.Changed
			look.Again()
		}
		look.want(t, false, "/ip4/16.1.0.10/tcp/4747", "/ip4/16.1.0.11/tcp/4747")
		got, err := r.ResolveDNSComponent(t.Context(), addr(named), 1)
		if err != nil || len(got) != 1 || got[0].String() != "/ip4/16.1.0.10/tcp/4747" {
			t.Errorf("the library gets %v, %v", got, err)
		}
	})
}

// A server that does not answer is told as such, and only waited for once in a while; what it has
// said before is good for as long.
func TestSilentServer(t *testing.T) {
	dns := &server{ip: silent}
	simulated(t, dns, func(t *testing.T, r *Resolver) {
		start := time.Now()
		look := r.Look(relay, addrs(named4))
		look.want(t, true)
		if took := time.Since(start); took > 0 {
			t.Errorf("a look has taken %v", took)
		}
		if _, err := r.Resolve(t.Context(), relay, addr(named4)); !errors.Is(err, ErrServer) || errors.Is(err, ErrUnknown) {
			t.Errorf("got %v, want %v", err, ErrServer)
		}
		if took := time.Since(start); took != lookupTime {
			t.Errorf("told after %v, want %v", took, lookupTime)
		}
		time.Sleep(lookupAgain + time.Second)
		r.Look(relay, addrs(named4)).want(t, false)
		if _, err := r.Resolve(t.Context(), relay, addr(named4)); !errors.Is(err, ErrServer) {
			t.Errorf("got %v, want %v", err, ErrServer)
		}
		time.Sleep(hopeless + lookupTime)
		dns.now(says("16.1.0.10"))
		if got, err := r.Resolve(t.Context(), relay, addr(named4)); err != nil || len(got) != 1 {
			t.Errorf("got %v, %v when it answers again", got, err)
		}
		dns.now(silent)
		time.Sleep(time.Hour)
		r.Look(relay, addrs(named4)).want(t, true, "/ip4/16.1.0.10/tcp/4747")
		time.Sleep(lookupTime + time.Millisecond)
		r.Look(relay, addrs(named4)).want(t, false, "/ip4/16.1.0.10/tcp/4747")
	})
}

// A name that gets another address stands for that one as soon as somebody asks, and the old one is
// given until it is known.
func TestNameMoves(t *testing.T) {
	dns := &server{ip: says("16.1.0.10")}
	simulated(t, dns, func(t *testing.T, r *Resolver) {
		if _, err := r.Resolve(t.Context(), relay, addr(named4)); err != nil {
			t.Fatal(err)
		}
		dns.now(says("16.2.0.10"))
		time.Sleep(lookupAgain + time.Millisecond)
		look := r.Look(relay, addrs(named4))
		look.want(t, true, "/ip4/16.1.0.10/tcp/4747")
		<-look.Changed
		look.Again()
		look.want(t, false, "/ip4/16.2.0.10/tcp/4747")
	})
}

// Some name servers never answer when they are asked for IPv6 addresses.
func TestOnlyIPv4Answered(t *testing.T) {
	dns := &server{ip: func(ctx context.Context, network, name string) ([]netip.Addr, error) {
		if network == ip6 {
			return silent(ctx, network, name)
		}
		return says("16.1.0.10")(ctx, network, name)
	}}
	simulated(t, dns, func(t *testing.T, r *Resolver) {
		look := r.Look(relay, addrs(named))
		<-look.Changed
		look.Again()
		look.want(t, true, "/ip4/16.1.0.10/tcp/4747")
	})
}

// However slow the answers are, each question is asked once for a look.
func TestLookEnds(t *testing.T) {
	var asked atomic.Int32
	dns := &server{ip: func(_ context.Context, network, _ string) ([]netip.Addr, error) {
		asked.Add(1)
		time.Sleep(map[string]time.Duration{ip4: 3 * time.Second, ip6: 5 * time.Second}[network])
		return nil, notFound
	}}
	simulated(t, dns, func(t *testing.T, r *Resolver) {
		if _, err := r.Resolve(t.Context(), relay, addr(named)); !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v, want %v", err, ErrUnknown)
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("%d questions, want 2", n)
		}
	})
}

func TestDNSAddr(t *testing.T) {
	const us, them = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X", "12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd"
	records := map[string][]string{
		"_dnsaddr.fleet.example": {
			"dnsaddr=/ip4/16.1.0.10/tcp/4747/p2p/" + us, "dnsaddr=/dns4/vps.example/tcp/4748/p2p/" + us,
			"dnsaddr=/ip4/16.1.0.66/tcp/4747/p2p/" + them, "v=spf1 -all",
		},
		"_dnsaddr.circle.example": {"dnsaddr=/dnsaddr/circle.example"},
	}
	dns := &server{ip: says("16.1.0.11"), txt: func(_ context.Context, name string) ([]string, error) {
		if r := records[name]; r != nil {
			return r, nil
		}
		return nil, notFound
	}}
	id, err := peer.Decode(us)
	if err != nil {
		t.Fatal(err)
	}
	simulated(t, dns, func(t *testing.T, r *Resolver) {
		got, err := r.Resolve(t.Context(), id, addr("/dnsaddr/fleet.example"))
		if want := addrs("/ip4/16.1.0.10/tcp/4747", "/ip4/16.1.0.11/tcp/4748"); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
		for _, name := range []string{"circle", "none"} {
			if got, err := r.Resolve(t.Context(), id, addr("/dnsaddr/"+name+".example")); !errors.Is(err, ErrUnknown) {
				t.Errorf("%s: got %v, %v, want %v", name, got, err, ErrUnknown)
			}
		}
	})
}

// Strangers can announce as many names as they like, and own a name server that answers at length.
func TestBounds(t *testing.T) {
	var now, most atomic.Int32
	dns := &server{ip: func(_ context.Context, _, name string) (out []netip.Addr, _ error) {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(time.Second)
		now.Add(-1)
		for i := range 200 {
			out = append(out, netip.AddrFrom4([4]byte{16, 1, 0, byte(i)}))
		}
		return out, nil
	}}
	simulated(t, dns, func(t *testing.T, r *Resolver) {
		for i := range 2 * mostNames {
			r.Look(relay, addrs(fmt.Sprintf("/dns4/%d.example/tcp/1", i)))
		}
		r.mu.Lock()
		n := len(r.known)
		r.mu.Unlock()
		if n > mostNames {
			t.Errorf("%d names are remembered, at most %d should be", n, mostNames)
		}
		time.Sleep(time.Minute)
		if n := most.Load(); n != mostLookups {
			t.Errorf("%d lookups at once, want %d", n, mostLookups)
		}
		got, err := r.Resolve(t.Context(), relay, addr(named4))
		if err != nil || len(got) != mostAnswers {
			t.Errorf("%d answers, %v, want %d", len(got), err, mostAnswers)
		}
	})
}

// Close ends lookups, and none begins after it.
func TestClose(t *testing.T) {
	simulated(t, &server{ip: silent}, func(t *testing.T, r *Resolver) {
		start := time.Now()
		r.Look(relay, addrs(named))
		r.Close()
		if took := time.Since(start); took > 0 {
			t.Errorf("Close has taken %v", took)
		}
		if r.Look(relay, addrs(named)); r.Look(relay, addrs(named)).Open {
			t.Error("a lookup after Close")
		}
	})
}
