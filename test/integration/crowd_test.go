package integration

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/keep"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

func TestCrowd(t *testing.T) { crowd(t, 25, 10*time.Minute) }

// crowd has many workers reach one controller, and looks for a while whether any is said to be offline. They push their
// stats once a minute.
func crowd(t *testing.T, workers int, long time.Duration) {
	simulate(t, func(s *simulation) {
		f := s.fleet()
		for i := 1; i <= workers; i++ {
			f.member(fmt.Sprintf("rig-%02d", i), trust.RoleWorker, fmt.Sprintf("rig-%02d", i))
		}
		c := s.controller("1.0.1.1", agent.NewServe, agent.ControllerConfig{Listen: []string{"/ip4/1.0.1.1/udp/4747/quic-v1"}})
		addrs, err := c.Addrs(s.t.Context())
		s.must(err)
		ctx, stop := context.WithCancel(context.Background())
		var offline atomic.Int64
		told := make(chan error, 1)
		go func() {
			told <- c.Events(ctx, func(e agent.Event) error {
				if e.State == keep.Offline {
					offline.Add(1)
					t.Logf("%s is said to be offline: %s", e.Name, e.Error)
				}
				return nil
			})
		}()
		heard := hear(ctx, s, c)

		began := time.Now()
		var rigs []running
		for i := 1; i <= workers; i++ {
			rigs = append(rigs, f.worker(i, agent.WorkerConfig{Bootstrap: addrs, StatsEvery: time.Minute}))
		}
		connected := func() (n int) {
			for _, r := range rigs {
				if c.Node.Network().Connectedness(r.Node.ID()) == network.Connected {
					n++
				}
			}
			return n
		}
		for connected() < workers && time.Since(began) < 10*time.Minute {
			s.pass(time.Second)
		}
		converged := time.Since(began)
		if n := connected(); n != workers {
			t.Errorf("%d of %d have reached the controller after %v", n, workers, converged)
		}
		offline.Store(0)
		s.pass(15 * time.Minute) // until they have found one another, and are quiet
		s.sent.take()
		s.pass(long)
		bytes, packets := s.sent.take()
		runtime.GC()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		if n := connected(); n != workers || offline.Load() > 0 {
			t.Errorf("%d of %d are connected after %v, and %d times one was said to be offline", n, workers, long, offline.Load())
		}
		if got := s.ask(c, "get_stats"); got.OK != workers {
			t.Errorf("asked: %+v, want %d ok", got, workers)
		}
		stop()
		s.must(<-told)
		counts := heard()
		topic := string(node.FleetPrefix(f.admin.Fleet.ID())) + "/stats/1.0.0"
		for _, r := range rigs {
			if n := counts[r.Node.ID().String()]; n < int(long/time.Minute) {
				t.Errorf("of %s only %d stats were heard; it knows of subscribers %v, and has %d connections with the controller",
					r.Node.ID(), n, r.Node.PubSub.ListPeers(topic), len(r.Node.Network().ConnsToPeer(c.Node.ID())))
			}
		}
		t.Logf("%d workers: all connected after %v; then in %v each node sent %d bytes in %d packets, and at most %d bytes; %d KiB of heap and stacks for each is in use",
			workers, converged, long, sum(bytes)/int64(workers), sum(packets)/int64(workers), bytes[len(bytes)-1], int(mem.HeapAlloc+mem.StackInuse)/1024/workers)
		s.must(c.Close())
		for _, r := range rigs {
			r.stop()
		}
	})
}
