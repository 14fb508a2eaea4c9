package host

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
)

// These tests fail when the library has mended what is repaired here: see docs/upstream.md.

// TestLibraryHoldsBackDials: clearBackoff may go when a dial right after a failed one is tried.
func TestLibraryHoldsBackDials(t *testing.T) {
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	away := peer.AddrInfo{ID: newPeer(t), Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/1")}}
	if err := h.Connect(t.Context(), away); err == nil || errors.Is(err, swarm.ErrDialBackoff) {
		t.Fatalf("the first dial: %v", err)
	}
	if err := h.Connect(t.Context(), away); !errors.Is(err, swarm.ErrDialBackoff) {
		t.Errorf("the second dial is tried: %v", err)
	}
}

// TestLibraryResolvesFirst: names.Resolver may go when an IP address is dialled while a name is
// resolved.
func TestLibraryResolvesFirst(t *testing.T) {
	listener, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	names, err := madns.NewResolver(madns.WithDefaultResolver(slowNames{}))
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.MultiaddrResolver(swarm.ResolverFromMaDNS{Resolver: names}))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	info := peer.AddrInfo{ID: listener.ID(), Addrs: append(listener.Addrs(), multiaddr.StringCast("/dns4/vps.example/tcp/1"))}
	start := time.Now()
	if err := h.Connect(t.Context(), info); err != nil || time.Since(start) < slowAnswer {
		t.Errorf("connected after %v, %v; the name was resolved after %v", time.Since(start), err, slowAnswer)
	}
}

const slowAnswer = 200 * time.Millisecond

// slowNames takes its time to find nothing.
type slowNames struct{}

func (slowNames) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) {
	time.Sleep(slowAnswer)
	return nil, nil
}

func (slowNames) LookupTXT(context.Context, string) ([]string, error) { return nil, nil }

func newPeer(t *testing.T) peer.ID {
	t.Helper()
	_, public, err := crypto.GenerateKeyPair(crypto.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLibraryCertificatesHaveABeginning: security.go may use the library's certificates when they are
// valid by any clock.
func TestLibraryCertificatesHaveABeginning(t *testing.T) {
	key, _, err := crypto.GenerateKeyPair(crypto.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := libp2ptls.NewIdentity(key)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _ := id.ConfigForPeer("")
	certificate, err := x509.ParseCertificate(cfg.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if begin := certificate.NotBefore; time.Since(begin) > 24*time.Hour {
		t.Errorf("the library's certificates begin %v", begin)
	}
}

// TestLibraryIdentifiesOnce: package host/identify may go when the library asks a peer again that was
// late once.
func TestLibraryIdentifiesOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		late := w.node(1, nil)
		defer late.stop()
		h, _ := w.host(2, nil) // without Run
		defer h.Close()
		w.pass(time.Minute)
		asked := late.questions(t, time.Minute)
		if err := h.Host.Connect(t.Context(), late.info()); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Minute)
		if n := asked.Load(); n != 1 {
			t.Errorf("the library asks %d times", n)
		}
	})
}
