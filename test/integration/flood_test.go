package integration

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/ops"
)

// slowCall is what 99 of 100 calls of a member may take at most while strangers flood its machine, or
// so many times what they took before, where that is more: the machine may have other work.
const (
	slowCall  = 50 * time.Millisecond
	slowTimes = 10
)

func TestStrangersFlood(t *testing.T) { strangersFlood(t, 200) }

// strangersFlood has strangers dial a fleet's worker, a hundred a second, each
// with an identity of its own, and open every protocol. A member does not notice;
// one whom the worker has never met gets in meanwhile; and they are sent away.
func strangersFlood(t *testing.T, strangers int) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	second := f.letInController("laptop2") // the worker has never met it
	mustRun(t, swarm(t, "controller", "exec", "get_stats", "rig-01", "--mdns=false", "--state", f.state))
	target, err := host.ParsePeers(g.addr)
	must(t, err)
	f.exec("stop_miner", "rig-01", "--payload", `{"name":"nope"}`)
	recorded := auditOf(t, g.state).stdout
	member, err := agent.Started(agent.NewCommand(agent.ControllerConfig{StateDir: f.state, Bootstrap: []string{g.addr}}))
	must(t, err)
	defer member.Close()

	flood := &flood{t: t, worker: target[0], fleet: f.id[:16]}
	defer flood.close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calm, stop := context.WithTimeout(ctx, 2*time.Second)
	before := call(calm, t, member, target[0].ID)
	stop()
	var times []time.Duration
	var calls sync.WaitGroup
	calls.Go(func() { times = call(ctx, t, member, target[0].ID) })
	var met sync.Once
	var newcomer sync.WaitGroup
	limit := rate.NewLimiter(100/raceFactor, 1) // as many as this process can make and still measure
	for i := range strangers {
		must(t, limit.Wait(ctx))
		flood.dial(ctx)
		if i == strangers/2 {
			met.Do(func() {
				newcomer.Go(func() {
					r, _ := second.exec(append([]string{"get_stats", "rig-01"}, second.at(g)...)...)
					if r.code != 0 || r.took > 5*time.Second {
						t.Errorf("a member that was not known took %v: %+v", r.took, r)
					}
					t.Logf("a member that was not known got in, and its answer, within %v", r.took)
				})
			})
		}
	}
	newcomer.Wait()
	flood.dials.Wait()
	cancel()
	calls.Wait()
	usual, p99 := slowest(before), slowest(times)
	t.Logf("a member's calls: %d, p99 %v before; %d, median %v, p99 %v meanwhile", len(before), usual, len(times), times[len(times)/2], p99)
	if most := max(slowCall*raceFactor, slowTimes*usual); p99 > most {
		t.Errorf("one call in a hundred took %v or more, want %v", p99, most)
	}
	if after := auditOf(t, g.state).stdout; !strings.HasPrefix(after, recorded[:strings.LastIndex(recorded, `{"peer"`)]) || strings.Count(after, "\n") > strings.Count(recorded, "\n")+5 {
		t.Errorf("strangers have changed the record:\n%s", after)
	}
	gone := time.Now()
	waitFor(t, "the strangers to be gone", func() bool { return flood.connected() == 0 })
	if took := time.Since(gone); took > 15*time.Second {
		t.Errorf("the last stranger was gone after %v", took)
	}
	t.Logf("%d of %d strangers were connected for a moment; the last was gone %v after the last dial; answers: %v", flood.let, strangers, time.Since(gone), flood.answers)
	for id := range flood.answers {
		if !strings.HasPrefix(id, "/swarm/lifecycle/") && !strings.HasPrefix(id, "/swarm/join/") && !strings.HasPrefix(id, "/ipfs/") {
			t.Errorf("%s answered a stranger", id)
		}
	}
}

// slowest sorts times, and returns what one in a hundred took or more.
func slowest(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)*99/100]
}

// call asks for stats again and again, as often as a member may, and measures.
func call(ctx context.Context, t *testing.T, c *agent.Controller, p peer.ID) (times []time.Duration) {
	pace := rate.NewLimiter(150, 1)
	for pace.Wait(ctx) == nil {
		began := time.Now()
		_, err := ops.GetStats.Do(context.WithoutCancel(ctx), c.Node.Client, p, ops.StatsRequest{})
		if err != nil {
			t.Errorf("a member's call: %v", err)
			return times
		}
		times = append(times, time.Since(began))
	}
	return times
}

// flood is a crowd of strangers.
type flood struct {
	t      *testing.T
	worker peer.AddrInfo
	fleet  string
	dials  sync.WaitGroup

	mu      sync.Mutex
	hosts   []corehost.Host
	let     int
	answers map[string]int // of protocols that a stranger got a byte from
}

func (f *flood) dial(ctx context.Context) {
	f.dials.Go(func() {
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.Transport(tcp.NewTCPTransport), libp2p.DisableMetrics(), libp2p.ResourceManager(nil))
		if err != nil {
			f.t.Error(err)
			return
		}
		f.mu.Lock()
		f.hosts = append(f.hosts, h)
		f.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if h.Connect(ctx, f.worker) != nil {
			return
		}
		f.mu.Lock()
		f.let++
		f.mu.Unlock()
		for _, id := range []string{
			"/swarm/lifecycle/1.0.0", "/swarm/join/1.0.0", "/swarm/ops/1.0.0", "/swarm/logs/1.0.0", "/swarm/deploy/1.0.0", "/swarm/peers/1.0.0",
			"/swarm/audit/1.0.0", "/swarm/error/1.0.0", "/swarm/" + f.fleet + "/kad/1.0.0", "/meshsub/1.2.0", "/ipfs/ping/1.0.0",
		} {
			f.try(ctx, h, id)
		}
	})
}

// try sends a frame that is no message and looks whether anything but a refusal
// comes back.
func (f *flood) try(ctx context.Context, h corehost.Host, id string) {
	s, err := h.NewStream(ctx, f.worker.ID, protocol.ID(id))
	if err != nil {
		return
	}
	defer s.Reset()
	s.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := s.Write([]byte("\x02{}")); err != nil {
		return
	}
	answer := make([]byte, 4096)
	n, _ := s.Read(answer)
	refused := strings.Contains(string(answer[:n]), `"type":"error"`)
	if n == 0 || refused {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answers == nil {
		f.answers = make(map[string]int)
	}
	f.answers[id]++
}

func (f *flood) connected() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.hosts {
		n += len(h.Network().Conns())
	}
	return n
}

func (f *flood) close() {
	f.dials.Wait()
	for _, h := range f.hosts {
		h.Close()
	}
}
