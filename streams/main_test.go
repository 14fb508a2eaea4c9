package streams

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The transports that the exchanges are tried on.
const (
	overTCP       = "/ip4/127.0.0.1/tcp/0"
	overQUIC      = "/ip4/127.0.0.1/udp/0/quic-v1"
	overWebSocket = "/ip4/127.0.0.1/tcp/0/ws"
)

// newHost returns a real host on loopback: over TCP, whose streams are yamux's.
func newHost(t testing.TB) host.Host {
	t.Helper()
	return newHostOn(t, overTCP)
}

func newHostOn(t testing.TB, listen string) host.Host {
	t.Helper()
	rm, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings(listen), libp2p.ResourceManager(rm), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// greeting is the payload of the tests' own family.
type greeting struct {
	Text string `json:"text"`
	Size int64  `json:"size,omitzero"`
}

func (g greeting) UploadSize() int64 { return g.Size }

func (g greeting) Validate() error {
	if g.Text == "" {
		return errors.New("text is required")
	}
	return nil
}

var testFamily = Family{Name: "test", Versions: []string{"1.0.0"}}

var (
	echo   = Call[greeting, greeting]{testFamily, "echo", "echo_ack", VerbStatsRead}
	change = Call[greeting, greeting]{testFamily, "change", "change_ack", VerbMinerControl}
	count  = Feed[greeting, greeting]{testFamily, "count", "count_item", VerbLogsRead}
	push   = Upload[greeting, greeting]{Family{Name: "testpush", Versions: []string{"1.0.0"}}, "push", "push_ack", VerbDeploy}
	note   = Notice[greeting]{testFamily, "note", VerbStatsRead}
)

// pair is a server that lets one client in, and that client.
type pair struct {
	server, caller host.Host
	mux            *Mux
	client         *Client
	log            *syncBuffer
	mu             sync.Mutex
	outcomes       []Outcome
}

// allowAll lets everyone do everything.
func allowAll(cfg *Config) {
	cfg.Authorize = func(context.Context, Peer, Verb) error { return nil }
	cfg.Member = func(peer.ID) bool { return true }
}

func newPair(t testing.TB, configure ...func(*Config)) *pair {
	t.Helper()
	return newPairOn(t, overTCP, configure...)
}

func newPairOn(t testing.TB, listen string, configure ...func(*Config)) *pair {
	t.Helper()
	p := &pair{server: newHostOn(t, listen), caller: newHostOn(t, listen), log: new(syncBuffer)}
	cfg := Config{
		Logger: slog.New(slog.NewTextHandler(p.log, nil)),
		Observe: func(o Outcome) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.outcomes = append(p.outcomes, o)
		},
	}
	for _, c := range configure {
		c(&cfg)
	}
	p.mux = NewMux(p.server, cfg)
	serve(t, p.mux)
	p.client = NewClient(p.caller, Config{Limits: cfg.Limits, Closed: cfg.Closed})
	t.Cleanup(func() { p.client.Close() })
	p.caller.Peerstore().AddAddrs(p.server.ID(), p.server.Addrs(), peerstore.PermanentAddrTTL)
	return p
}

// serve runs the mux until the test ends.
func serve(t testing.TB, m *Mux) {
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// seen returns the outcomes observed so far, once there are n at least.
func (p *pair) seen(t testing.TB, n int) []Outcome {
	t.Helper()
	var out []Outcome
	waitFor(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		out = append([]Outcome(nil), p.outcomes...)
		return len(out) >= n
	})
	return out
}

// waitFor waits until ok, for 10 s at most.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("condition not met in 10 s")
		}
	}
}

// waitForCount waits until n is want, as long as it grows.
func waitForCount(t testing.TB, n *atomic.Int64, want int64) {
	t.Helper()
	for have := n.Load(); have < want; have = n.Load() {
		waitFor(t, func() bool { return n.Load() > have })
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

type peerID = peer.ID

const peerstoreTTL = peerstore.PermanentAddrTTL
