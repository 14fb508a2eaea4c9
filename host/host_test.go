package host_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
)

// listenLoopback keeps the tests off other interfaces.
var listenLoopback = []multiaddr.Multiaddr{
	multiaddr.StringCast("/ip4/127.0.0.1/tcp/0"),
	multiaddr.StringCast("/ip4/127.0.0.1/udp/0/quic-v1"),
}

// newHost returns a host that listens on loopback (unless told not to) and is closed in the end.
func newHost(t *testing.T, cfg host.Config) *host.Host {
	t.Helper()
	if cfg.StateDir == "" {
		cfg.StateDir = t.TempDir()
	}
	if !cfg.NoListen && cfg.Listen == nil {
		cfg.Listen = listenLoopback
	}
	cfg.Logger = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h, err := host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	return h
}

// run lets h run until the test ends, and fails the test if Run does.
func run(t *testing.T, h *host.Host) {
	t.Helper()
	t.Cleanup(runUntil(t, h))
}

// runUntil lets h run until the returned function is called.
func runUntil(t *testing.T, h *host.Host) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, host.ErrClosed) {
			t.Errorf("run: %v", err)
		}
	}
}

func addrInfo(h *host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

// eventually waits for a condition.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func TestIdentityLasts(t *testing.T) {
	dir := t.TempDir()
	first, err := host.New(host.Config{StateDir: dir, NoListen: true})
	if err != nil {
		t.Fatal(err)
	}
	id := first.ID()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	again := newHost(t, host.Config{StateDir: dir, NoListen: true})
	if again.ID() != id {
		t.Errorf("got peer %s after a restart, want %s", again.ID(), id)
	}
}

func TestNothingListensBeforeListen(t *testing.T) {
	h, err := host.New(host.Config{StateDir: t.TempDir(), Listen: listenLoopback})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if got := h.Listening(); len(got) != 0 {
		t.Errorf("listens on %v before Listen", got)
	}
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	if got := len(h.Listening()); got != 2 {
		t.Errorf("listens on %d addresses, want 2", got)
	}
	if len(h.Addrs()) != 2 {
		t.Errorf("tells %v right after Listen, want 2 addresses", h.Addrs())
	}
}

// TestOneBootstrapAddressIsEnough: B and C know only A; a command-line process that knows only A
// finds all three.
func TestOneBootstrapAddressIsEnough(t *testing.T) {
	a := newHost(t, host.Config{})
	run(t, a)
	b := newHost(t, host.Config{Bootstrap: []peer.AddrInfo{addrInfo(a)}})
	run(t, b)
	c := newHost(t, host.Config{Bootstrap: []peer.AddrInfo{addrInfo(a)}})
	run(t, c)
	for _, h := range []*host.Host{b, c} {
		eventually(t, 10*time.Second, "connected to the bootstrap peer", func() bool {
			return h.Network().Connectedness(a.ID()) == network.Connected
		})
	}
	controller := newHost(t, host.Config{NoListen: true, Bootstrap: []peer.AddrInfo{addrInfo(a)}})
	start := time.Now()
	run(t, controller)
	eventually(t, 10*time.Second, "the controller has found three peers", func() bool { return len(controller.Found()) == 3 })
	t.Logf("found all after %v", time.Since(start)) // a bound is tested in virtual time, where the machine's load does not count
	if got := len(controller.Listening()); got != 0 {
		t.Errorf("a command-line process listens on %d addresses", got)
	}
	eventually(t, 10*time.Second, "B and C are connected", func() bool {
		return b.Network().Connectedness(c.ID()) == network.Connected
	})
}
