package host_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/transport"
)

// webHost listens by WebSocket in TLS, and says where.
func webHost(t *testing.T, listen string, cfg host.Config) (*host.Host, multiaddr.Multiaddr) {
	t.Helper()
	cfg.Listen, cfg.DHT = []multiaddr.Multiaddr{multiaddr.StringCast(listen)}, host.DHTOff
	h := newHost(t, cfg)
	if got := h.Addrs(); len(got) != 1 {
		t.Fatalf("it announces %v, want one address", got)
	}
	return h, h.Addrs()[0]
}

// TestWebSocketInTLS: both ways to write the address, with a name for TLS and without; what is inside
// is proven by Noise, and the address that was dialled is that of the connection.
func TestWebSocketInTLS(t *testing.T) {
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0/tls/ws", "/ip4/127.0.0.1/tcp/0/wss"} {
		h, at := webHost(t, listen, host.Config{})
		bare, _ := multiaddr.SplitFunc(at, func(c multiaddr.Component) bool { return c.Protocol().Code == multiaddr.P_TLS })
		for _, a := range []multiaddr.Multiaddr{
			at, bare.Encapsulate(multiaddr.StringCast("/wss")),
			bare.Encapsulate(multiaddr.StringCast("/tls/sni/swarm.example/ws")),
		} {
			other := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff})
			if err := other.Connect(t.Context(), peer.AddrInfo{ID: h.ID(), Addrs: []multiaddr.Multiaddr{a}}); err != nil {
				t.Errorf("%s: %v", a, err)
				continue
			}
			c := other.Network().ConnsToPeer(h.ID())[0]
			if !c.RemoteMultiaddr().Equal(a) || c.ConnState().Security != noise.ID {
				t.Errorf("dialled %s: connected with %s by %q", a, c.RemoteMultiaddr(), c.ConnState().Security)
			}
			if answer := <-ping.Ping(t.Context(), other, h.ID()); answer.Error != nil {
				t.Errorf("%s: ping: %v", a, answer.Error)
			}
		}
	}
}

// TestTLSProvesNothing: whoever has the certificate, only the wanted peer is taken for it. This is
// why the dialler may take any certificate.
func TestTLSProvesNothing(t *testing.T) {
	_, at := webHost(t, "/ip4/127.0.0.1/tcp/0/tls/ws", host.Config{})
	h := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff})
	wanted := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff}).ID()
	err := h.Connect(t.Context(), peer.AddrInfo{ID: wanted, Addrs: []multiaddr.Multiaddr{at}})
	if !errors.Is(err, host.ErrOtherPeer) {
		t.Errorf("got %v, want %v", err, host.ErrOtherPeer)
	}
}

// TestCertificateForTLS: one that the node makes is valid at each time that a clock may tell; one
// that it is given is shown.
func TestCertificateForTLS(t *testing.T) {
	shown := func(at multiaddr.Multiaddr) *x509.Certificate {
		t.Helper()
		addr, err := manet.ToNetAddr(at[:2])
		if err != nil {
			t.Fatal(err)
		}
		c, err := tls.Dial("tcp", addr.String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	_, at := webHost(t, "/ip4/127.0.0.1/tcp/0/tls/ws", host.Config{})
	own := shown(at)
	pool := x509.NewCertPool()
	pool.AddCert(own)
	for _, year := range []int{1971, 2026, 9998} {
		now := time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC)
		if _, err := own.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now}); err != nil {
			t.Errorf("in %d: %v", year, err)
		}
	}
	given, err := transport.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	want, err := given(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, at = webHost(t, "/ip4/127.0.0.1/tcp/0/tls/ws", host.Config{Certificate: given})
	if got := shown(at); string(got.Raw) != string(want.Certificate[0]) {
		t.Error("another certificate than the given one is shown")
	}
}

// TestProxy: two nodes that only a proxy brings together, which alone knows the name; the connection
// goes by the address that was dialled. A proxy that refuses is named.
func TestProxy(t *testing.T) {
	for _, way := range []string{"/tcp/0", "/tcp/0/ws", "/tcp/0/tls/ws"} {
		t.Run(way, func(t *testing.T) {
			h, at := webHost(t, "/ip4/127.0.0.1"+way, host.Config{})
			target, err := manet.ToNetAddr(at[:2])
			if err != nil {
				t.Fatal(err)
			}
			asked := make(chan string, 4)
			through, err := transport.NewProxy(connectProxy(t, asked, target.String()), "")
			if err != nil {
				t.Fatal(err)
			}
			named := multiaddr.StringCast("/dns4/nobody-resolves.example.com").Encapsulate(at[1:])
			other := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff, Proxy: through})
			if err := other.Connect(t.Context(), peer.AddrInfo{ID: h.ID(), Addrs: []multiaddr.Multiaddr{named}}); err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(target.String())
			if got, want := <-asked, "nobody-resolves.example.com:"+port; got != want {
				t.Errorf("the proxy was asked for %s, want %s", got, want)
			}
			if c := other.Network().ConnsToPeer(h.ID())[0]; !c.RemoteMultiaddr().Equal(named) {
				t.Errorf("connected with %s, dialled %s", c.RemoteMultiaddr(), named)
			}
			if answer := <-ping.Ping(t.Context(), other, h.ID()); answer.Error != nil {
				t.Errorf("ping: %v", answer.Error)
			}
			other.Peerstore().AddAddrs(h.ID(), []multiaddr.Multiaddr{named}, time.Hour)
			tried := other.Try(t.Context(), h.ID())
			if len(tried) != 1 || tried[0].Err != nil {
				t.Errorf("tried: %+v", tried)
			}
		})
	}
}

// TestProxyRefuses: the error names the proxy and what it said, and is one that a program can tell.
func TestProxyRefuses(t *testing.T) {
	through, err := transport.NewProxy(connectProxy(t, nil, ""), "")
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff, Proxy: through})
	someone := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff}).ID()
	at := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/16.1.0.10/tcp/4747")}
	err = h.Connect(t.Context(), peer.AddrInfo{ID: someone, Addrs: at})
	want := fmt.Sprintf("%s (the proxy at %s refused: 407 Proxy Authentication Required)",
		at[0], strings.TrimPrefix(through.String(), "http://"))
	if !errors.Is(err, host.ErrProxy) || !errors.Is(err, host.ErrUnreachable) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	h.Peerstore().AddAddrs(someone, at, time.Hour)
	if tried := h.Try(t.Context(), someone); len(tried) != 1 || !errors.Is(tried[0].Err, host.ErrProxy) {
		t.Errorf("tried: %+v", tried)
	}
}

// connectProxy is a proxy that leads everybody to one place, and says what it was asked for; to
// nowhere it refuses.
func connectProxy(t *testing.T, asked chan<- string, to string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer out.Close()
		in, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer in.Close()
		asked <- r.Host
		in.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
		go func() {
			io.Copy(out, in)
			out.Close()
		}()
		io.Copy(in, out)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String()
}
