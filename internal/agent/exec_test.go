package agent

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/route"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/host"
)

// byRelay returns a controller that serves and a worker that reach each other by a relay alone, with which
// both have a connection by the first of the addresses that it listens on.
func byRelay(t *testing.T, relayAt ...string) (*Controller, *Worker) {
	t.Helper()
	const workerAt, callerAt = "127.0.0.2", "127.0.0.3"
	for _, ip := range []string{workerAt, callerAt} {
		l, err := net.Listen("tcp", ip+":0")
		if err != nil {
			t.Skip("SKIPPED: only one loopback address here: ", err)
		}
		l.Close()
	}
	tcp := func(ip string) string { return "/ip4/" + ip + "/tcp/0" }
	var listen []multiaddr.Multiaddr
	for _, a := range relayAt {
		listen = append(listen, multiaddr.StringCast(a))
	}
	relay, err := host.New(host.Config{
		StateDir: t.TempDir(), Listen: listen, DHT: host.DHTOff, Relay: true, RelayFor: func(peer.ID) bool { return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	running(t, relay.Run, relay.Close)
	if err := relay.Listen(); err != nil {
		t.Fatal(err)
	}
	var boot []string
	for _, a := range relay.Addrs() {
		if route.IsQUIC(a) == route.IsQUIC(listen[0]) {
			boot = []string{a.String() + "/p2p/" + relay.ID().String()}
		}
	}

	c, err := Started(NewServe(ControllerConfig{
		StateDir: t.TempDir(), Listen: []string{tcp(callerAt)}, Bootstrap: boot, Net: NetConfig{DenyNets: []string{workerAt}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	w, err := NewWorker(WorkerConfig{
		StateDir: t.TempDir(), Listen: []string{tcp(workerAt)}, Bootstrap: boot, Net: NetConfig{DenyNets: []string{callerAt}},
		Allow: []peer.ID{c.Node.ID()}, Enable: []string{"deploy"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Listen(); err != nil {
		t.Fatal(err)
	}
	running(t, w.Run, w.Close)
	eventually(t, "a place with the relay", func() bool { return len(w.Node.Relays()) > 0 })
	eventually(t, "a connection", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return c.Node.Connect(ctx, peer.AddrInfo{ID: w.Node.ID()}) == nil
	})
	if best := c.Node.BestConn(w.Node.ID()); best == nil || route.Of(best) != route.Relay {
		t.Fatalf("connected by %v, want the relay", best)
	}
	return c, w
}

// The wait for a direct path does not eat up the time that the machine has to answer.
func TestUploadOverRelayWithShortTimeout(t *testing.T) {
	c, w := byRelay(t, "/ip4/127.0.0.1/tcp/0")

	file := filepath.Join(t.TempDir(), "hello.txt")
	if err := os.WriteFile(file, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bundle, err := deploy.Open(file, "hello", 0)
	if err != nil {
		t.Fatal(err)
	}
	op, err := Operations().Find("deploy")
	if err != nil {
		t.Fatal(err)
	}
	job := Job{Operation: op, Bundle: bundle, Timeout: time.Second} // less than the wait
	if _, err := c.upload(t.Context(), job, Target{Peer: w.Node.ID(), Name: "rig"}, func(Result) {}); err != nil {
		t.Error(err)
	}
}

// running lets something run until the test ends.
func running(t *testing.T, run func(context.Context) error, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, end()); err != nil {
			t.Error(err)
		}
	})
}

// A worker that takes a byte now and then holds an upload for hours at most, not for days.
func TestUploadTime(t *testing.T) {
	for size, want := range map[int64]time.Duration{0: 31 * time.Second, 64 << 10: 32 * time.Second, 1 << 30: 30*time.Second + 16385*time.Second, 1 << 40: 30*time.Second + (1<<24+1)*time.Second} {
		if got := uploadTime(30*time.Second, size); got != want {
			t.Errorf("%d bytes: %v, want %v", size, got, want)
		}
	}
}
