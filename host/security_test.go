package host_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"

	"github.com/seed-b490fa12/swarm/host"
)

// olderNode is a node of the library as it is, which prefers TLS; with QUIC as told.
func olderNode(t *testing.T, options ...libp2p.Option) corehost.Host {
	t.Helper()
	n, err := libp2p.New(append(options, libp2p.DefaultSecurity, libp2p.DisableRelay())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// TestNoClockDecidesOverStreams: over TCP and WebSocket there is no certificate that a clock could
// refuse, in both directions and with a node that prefers TLS.
func TestNoClockDecidesOverStreams(t *testing.T) {
	for _, where := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"} {
		t.Run(where, func(t *testing.T) {
			listen := multiaddr.StringCast(where)
			h := newHost(t, host.Config{Listen: []multiaddr.Multiaddr{listen}, DHT: host.DHTOff})
			other := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff})
			older := olderNode(t, libp2p.ListenAddrs(listen))
			for name, dial := range map[string]struct {
				from corehost.Host
				to   peer.AddrInfo
			}{
				"ours": {other, addrInfo(h)}, "older to ours": {older, addrInfo(h)},
				"ours to older": {other, peer.AddrInfo{ID: older.ID(), Addrs: older.Addrs()}},
			} {
				if err := dial.from.Connect(t.Context(), dial.to); err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if got := dial.from.Network().ConnsToPeer(dial.to.ID)[0].ConnState().Security; got != noise.ID {
					t.Errorf("%s: secured by %q, want %q", name, got, noise.ID)
				}
			}
		})
	}
}

// TestCertificateOfQUIC: it is valid at each time that a clock may tell.
func TestCertificateOfQUIC(t *testing.T) {
	h := newHost(t, host.Config{Listen: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/udp/0/quic-v1")}, DHT: host.DHTOff})
	key, _, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := libp2ptls.NewIdentity(key)
	if err != nil {
		t.Fatal(err)
	}
	conf, _ := identity.ConfigForPeer(h.ID())
	var shown *x509.Certificate
	verify := conf.VerifyPeerCertificate
	conf.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) (err error) {
		if shown, err = x509.ParseCertificate(raw[0]); err != nil {
			return err
		}
		return verify(raw, chains)
	}
	conf.MinVersion = tls.VersionTLS13
	at, _ := multiaddr.SplitFunc(h.Addrs()[0], func(c multiaddr.Component) bool { return c.Protocol().Code == multiaddr.P_QUIC_V1 })
	addr, err := manet.ToNetAddr(at)
	if err != nil {
		t.Fatal(err)
	}
	c, err := quic.DialAddr(t.Context(), addr.String(), conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.CloseWithError(0, "")
	pool := x509.NewCertPool()
	pool.AddCert(shown)
	shown.UnhandledCriticalExtensions = nil
	for _, year := range []int{1970, 1999, 2025, 2036, 2049, 2050, 2106, 9998} {
		now := time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC)
		if _, err := shown.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now}); err != nil {
			t.Errorf("in %d: %v", year, err)
		}
	}
}

// TestOlderCertificate: where an older program's certificate is not valid yet, or no more, that is
// said, and no more than that is lost: TCP goes on.
func TestOlderCertificate(t *testing.T) {
	tests := []struct {
		name     string
		from, to time.Time
		want     string
	}{
		{"made while the clock was ahead", time.Now().AddDate(10, 0, 0), time.Now().AddDate(110, 0, 0), "is before 20"},
		{"over", time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0), "is after 20"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: tt.from, NotAfter: tt.to}
			older := olderNode(t, libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"),
				libp2p.Transport(libp2pquic.NewTransport, libp2pquic.WithTLSIdentityOption(libp2ptls.WithCertTemplate(template))))
			h := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := h.Connect(ctx, peer.AddrInfo{ID: older.ID(), Addrs: older.Addrs()})
			if !errors.Is(err, host.ErrClocks) || !errors.Is(err, host.ErrUnreachable) || !strings.Contains(err.Error(), host.ErrClocks.Error()+": ") ||
				!strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "network-key") {
				t.Errorf("got %q, want one line that says %q with the times", err, host.ErrClocks)
			}
			tried := h.Try(ctx, older.ID())
			if len(tried) != 1 || !errors.Is(tried[0].Err, host.ErrClocks) || !strings.Contains(tried[0].Err.Error(), tt.want) {
				t.Errorf("tried: %+v, want %v", tried, host.ErrClocks)
			}
		})
	}
}

// TestOtherPeerIsNotAboutClocks: over QUIC it is the same error that says that another peer is
// there, which is no matter of clocks.
func TestOtherPeerIsNotAboutClocks(t *testing.T) {
	older := olderNode(t, libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.Transport(libp2pquic.NewTransport))
	h := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff})
	someone := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff}).ID()
	err := h.Connect(t.Context(), peer.AddrInfo{ID: someone, Addrs: older.Addrs()})
	if !errors.Is(err, host.ErrOtherPeer) || errors.Is(err, host.ErrClocks) {
		t.Errorf("got %v, want %v", err, host.ErrOtherPeer)
	}
	if h.Network().Connectedness(older.ID()) == network.Connected {
		t.Error("it is connected with a peer that it did not ask for")
	}
}
