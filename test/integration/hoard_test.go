//go:build linux

package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

const (
	hoarders    = 280
	hoarderNets = 8
	hoarded     = 64 << 20               // bytes that strangers may cost a worker
	slowestCall = 500 * time.Millisecond // of a member meanwhile
)

// Strangers who send as much as they may, and never the last byte, once took 675 MB of a worker with the defaults.
func TestStrangersHoardMemory(t *testing.T) {
	strangersHoard(t, 5*time.Second,
		hoarding{"handshakes of the largest frame", "/swarm/lifecycle/1.0.0", 1 << 20, false},
		hoarding{"handshakes that a stranger may send over QUIC", "/swarm/lifecycle/1.0.0", 64 << 10, true},
	)
}

// hoarding is what strangers send on each of four streams.
type hoarding struct {
	name     string
	protocol protocol.ID
	announce int // bytes of the frame
	quic     bool
}

func strangersHoard(t *testing.T, during time.Duration, cases ...hoarding) {
	if raceDetector {
		t.Skip("MEMORY IS NOT MEASURED UNDER THE RACE DETECTOR: it is run without by make slow")
	}
	f := newFleet(t)
	g := f.letIn("rig-01")
	g.stop()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	must(t, udp.Close())
	overQUIC := fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", udp.LocalAddr().(*net.UDPAddr).Port)
	g.args = []string{"--listen", overQUIC}
	g.run(t)
	target, err := host.ParsePeers(g.addr)
	must(t, err)
	member, err := agent.Started(agent.NewCommand(agent.ControllerConfig{StateDir: f.state, Bootstrap: []string{g.addr}}))
	must(t, err)
	defer member.Close()
	first, cancel := context.WithTimeout(t.Context(), time.Second)
	call(first, t, member, target[0].ID) // so that the member's own connection is in the figure before
	cancel()
	before := residentMemory(t, g.cmd.Process.Pid)

	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), during)
			defer cancel()
			var strangers, others sync.WaitGroup
			var opened atomic.Int64
			at := target[0]
			if tc.quic {
				at.Addrs = []multiaddr.Multiaddr{multiaddr.StringCast(overQUIC)}
			}
			for i := range hoarders {
				h := newHoarder(t, net.IPv4(127, 0, byte(1+i%hoarderNets), 1))
				strangers.Go(func() { hoard(ctx, h, at, tc.protocol, tc.announce, &opened) })
			}
			var times []time.Duration
			others.Go(func() { times = call(ctx, t, member, target[0].ID) })
			peak := before
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				<-tick.C
				peak = max(peak, residentMemory(t, g.cmd.Process.Pid))
			}
			strangers.Wait()
			others.Wait()
			if len(times) == 0 {
				t.Fatal("no call of a member was answered")
			}
			slowest := slices.Max(times)
			t.Logf("%d streams were opened; the worker grew from %d to %d MiB; %d calls of a member, the slowest %v", opened.Load(), before>>20, peak>>20, len(times), slowest)
			if peak-before > hoarded {
				t.Errorf("the worker grew by %d MiB, want %d at most", (peak-before)>>20, hoarded>>20)
			}
			if slowest > slowestCall {
				t.Errorf("a member waited %v, want %v at most", slowest, slowestCall)
			}
			if opened.Load() < hoarders {
				t.Errorf("only %d streams were opened: this is no attack", opened.Load())
			}
		})
	}
}

// newHoarder is a stranger that dials from an address of its own on loopback.
func newHoarder(t *testing.T, from net.IP) corehost.Host {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/"+from.String()+"/udp/0/quic-v1"), libp2p.DisableMetrics(), libp2p.ResourceManager(nil),
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport(),
			tcp.WithDialerForAddr(func(multiaddr.Multiaddr) (tcp.ContextDialer, error) { return dialer, nil })),
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.QUICReuse(quicreuse.NewConnManager, quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return sourceIP(from), nil })),
	)
	must(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

// hoard connects again and again, announces a frame on each of four streams, and sends all of it but one byte.
func hoard(ctx context.Context, h corehost.Host, worker peer.AddrInfo, id protocol.ID, announce int, opened *atomic.Int64) {
	frame := append(binary.AppendUvarint(nil, uint64(announce)), bytes.Repeat([]byte(" "), announce-1)...)
	again := rate.NewLimiter(rate.Every(3*time.Second), 1) // it is about memory, and the attack shares two processors with its victim
	for again.Wait(ctx) == nil {
		if h.Connect(ctx, worker) != nil {
			continue
		}
		var streams sync.WaitGroup
		for range 4 {
			streams.Go(func() {
				s, err := h.NewStream(ctx, worker.ID, id)
				if err != nil {
					return
				}
				defer s.Reset()
				stop := context.AfterFunc(ctx, func() { s.Reset() })
				defer stop()
				opened.Add(1)
				s.Write(frame)
				io.Copy(io.Discard, s) // until it is sent away
			})
		}
		streams.Wait()
	}
}

// residentMemory is how many bytes of a process are in memory.
func residentMemory(t *testing.T, pid int) (bytes int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rest, &bytes); err != nil {
		t.Fatal(err)
	}
	return bytes << 10
}
