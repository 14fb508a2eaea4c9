package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-b490fa12/swarm/host/identity"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

// simulation is a network of real nodes in virtual time: QUIC over a simulated
// link of 20 Mbit/s and 10 ms.
type simulation struct {
	t    *testing.T
	dir  string
	net  *simnet.Simnet
	sent traffic

	opening sync.Mutex // the library opens one socket at a time
}

func simulate(t *testing.T, test func(*simulation)) {
	t.Helper()
	if raceDetector {
		// On two processors at once it crashes where timers of a bubble end: golang/go#78156.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{t: t, dir: dir, net: &simnet.Simnet{LatencyFunc: func(*simnet.Packet) time.Duration { return 10 * time.Millisecond }}}
		s.sent.take()
		s.net.Start()
		defer s.net.Close()
		test(s)
	})
}

// options put a node at an address of the simulated network. Sockets that a
// node opens only to dial get a port of their own there.
func (s *simulation) options(ip string) []libp2p.Option {
	speed := simnet.LinkSettings{BitsPerSecond: 20_000_000}
	port := 40000
	self := net.ParseIP(ip)
	listen := func(_ string, a *net.UDPAddr) (net.PacketConn, error) {
		a = &net.UDPAddr{IP: self, Port: a.Port}
		if a.Port == 0 {
			port++
			a.Port = port
		}
		s.opening.Lock()
		defer s.opening.Unlock()
		return &counted{s.net.NewEndpoint(a, simnet.NodeBiDiLinkSettings{Downlink: speed, Uplink: speed}), &s.sent, ip}, nil
	}
	newManager := func(l fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (*quicreuse.ConnManager, error) {
		cm, err := quicreuse.NewConnManager(reset, token, opts...)
		if err == nil {
			l.Append(fx.StopHook(cm.Close)) // libp2p leaves one that was given to it open
		}
		return cm, err
	}
	return []libp2p.Option{
		libp2p.QUICReuse(newManager,
			quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return sourceIP(self), nil }),
			quicreuse.OverrideListenUDP(listen)),
		libp2p.DisableIdentifyAddressDiscovery(),
	}
}

type sourceIP net.IP

func (s sourceIP) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return net.IP(s), nil
}

// running is a worker or a controller that runs.
type running struct {
	*agent.Worker
	stop func()
}

func (s *simulation) worker(i int, cfg agent.WorkerConfig) running {
	s.t.Helper()
	ip := fmt.Sprintf("1.0.%d.%d", 10*(i/250), i%250) // the controllers have 1.0.1.x
	cfg.Name = fmt.Sprintf("rig-%02d", i)
	cfg.StateDir = filepath.Join(s.dir, cfg.Name)
	cfg.Listen = []string{"/ip4/" + ip + "/udp/4747/quic-v1"}
	cfg.Options, cfg.Net.NoAutoNAT = s.options(ip), true
	w, err := agent.NewWorker(cfg)
	s.must(err)
	s.must(w.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return running{w, func() {
		cancel()
		s.must(<-done)
		s.must(w.Close())
	}}
}

func (s *simulation) controller(
	ip string, kind func(agent.ControllerConfig) (*agent.Controller, error), cfg agent.ControllerConfig,
) *agent.Controller {
	s.t.Helper()
	cfg.StateDir = filepath.Join(s.dir, "controller")
	cfg.Options, cfg.Net.NoAutoNAT = s.options(ip), true
	c, err := agent.Started(kind(cfg))
	s.must(err)
	return c
}

// pass lets virtual time go by.
func (s *simulation) pass(d time.Duration) { time.Sleep(d) }

func (s *simulation) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Error(err)
		panic(err)
	}
}

func TestFleetForTenMinutes(t *testing.T) { fleet(t, 10, 10*time.Minute) }

// fleet runs workers and a controller for a while: all are found through one
// address, all push their stats all the time, and commands reach all of them,
// also after some were away.
func fleet(t *testing.T, workers int, long time.Duration) {
	simulate(t, func(s *simulation) {
		start := time.Now()
		key, err := identity.LoadOrCreate(filepath.Join(s.dir, "controller", "identity.pem"))
		s.must(err)
		id, err := peer.IDFromPrivateKey(key)
		s.must(err)
		allow := agent.WorkerConfig{Allow: []peer.ID{id}}
		var rigs []running
		for i := 1; i <= workers; i++ {
			cfg := allow
			if i > 1 {
				cfg.Bootstrap = addrsOf(s, rigs[0])
			}
			rigs = append(rigs, s.worker(i, cfg))
		}
		c := s.controller("1.0.1.1", agent.NewCommand, agent.ControllerConfig{Bootstrap: addrsOf(s, rigs[0])})
		watcher := s.controller("1.0.1.2", agent.NewWatch, agent.ControllerConfig{Bootstrap: addrsOf(s, rigs[0])})

		ctx, cancel := context.WithCancel(context.Background())
		heard := hear(ctx, s, watcher)
		found := s.asked(c, workers, time.Minute)
		t.Logf("%d workers answered %v after the start", workers, found.Sub(start))

		for time.Since(start) < long {
			time.Sleep(time.Minute)
			if sum := s.ask(c, "get_stats"); sum.OK != workers {
				t.Errorf("after %v: %+v, want %d ok", time.Since(start), sum, workers)
			}
		}
		// Two are away for a while: that is said, and ends with them back.
		rigs[3].stop()
		rigs[7].stop()
		if sum := s.ask(c, "get_stats"); sum.OK != workers-2 || sum.Unreachable != 2 {
			t.Errorf("with two away: %+v", sum)
		}
		for _, i := range []int{3, 7} {
			cfg := allow
			cfg.Bootstrap = addrsOf(s, rigs[0])
			rigs[i] = s.worker(i+1, cfg)
		}
		s.asked(c, workers, time.Minute)

		cancel()
		counts := heard()
		// One message every 5 s; the first minute is for finding one another.
		want := int(long/agent.DefaultStatsEvery) - 12
		for i, r := range rigs {
			if n := counts[r.Node.ID().String()]; n < want {
				t.Errorf("rig %d pushed %d times in %v, want %d", i+1, n, long, want)
			}
		}
		s.must(c.Close())
		s.must(watcher.Close())
		for _, r := range rigs {
			r.stop()
		}
	})
}

func addrsOf(s *simulation, r running) []string {
	addrs, err := r.Addrs()
	s.must(err)
	return addrs
}

// ask does one operation on all that are saved.
func (s *simulation) ask(c *agent.Controller, operation string) agent.Summary {
	op, err := agent.Operations().Find(operation)
	s.must(err)
	sum, err := c.Exec(context.Background(), agent.Job{Operation: op, Payload: []byte(`{}`), Timeout: 20 * time.Second},
		agent.Selection{All: true}, func(agent.Result) {})
	s.must(err)
	return sum
}

// asked asks again and again, with discovery, until n machines answer.
func (s *simulation) asked(c *agent.Controller, n int, most time.Duration) time.Time {
	op, err := agent.Operations().Find("get_stats")
	s.must(err)
	for start := time.Now(); ; {
		sum, err := c.Exec(context.Background(), agent.Job{Operation: op, Payload: []byte(`{}`), Timeout: 20 * time.Second},
			agent.Selection{All: true, Wait: time.Second}, func(agent.Result) {})
		if err != nil && !errors.Is(err, agent.ErrSelection) {
			s.must(err)
		}
		if sum.OK == n {
			return time.Now()
		}
		if time.Since(start) > most {
			s.must(fmt.Errorf("after %v: %+v, want %d ok", most, sum, n))
		}
	}
}

// hear counts the pushed stats by peer until ctx ends.
func hear(ctx context.Context, s *simulation, c *agent.Controller) (counts func() map[string]int) {
	pushed, err := c.Watch(ctx, agent.Selection{All: true})
	s.must(err)
	var (
		mu sync.Mutex
		wg sync.WaitGroup
		n  = make(map[string]int)
	)
	wg.Go(func() {
		for p, err := range pushed {
			if ctx.Err() != nil {
				return // what ends then, ends for that reason
			}
			if err != nil {
				s.t.Error(err)
				return
			}
			mu.Lock()
			n[p.Stats.Node]++
			mu.Unlock()
		}
	})
	return func() map[string]int {
		wg.Wait()
		return n
	}
}
