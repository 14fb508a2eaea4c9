package integration

import (
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// traffic counts what each address sends.
type traffic struct {
	mu      sync.Mutex
	bytes   map[string]int64
	packets map[string]int64
}

// counted is a socket of the simulated network whose packets are counted, with the 28 bytes of their IP and UDP headers.
type counted struct {
	net.PacketConn
	t  *traffic
	ip string
}

func (c *counted) WriteTo(b []byte, to net.Addr) (int, error) {
	c.t.mu.Lock()
	c.t.bytes[c.ip] += int64(len(b)) + 28
	c.t.packets[c.ip]++
	c.t.mu.Unlock()
	return c.PacketConn.WriteTo(b, to)
}

// take returns what was sent since the last time.
func (t *traffic) take() (bytes, packets []int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	bytes, packets = slices.Collect(maps.Values(t.bytes)), slices.Collect(maps.Values(t.packets))
	t.bytes, t.packets = make(map[string]int64), make(map[string]int64)
	slices.Sort(bytes)
	slices.Sort(packets)
	return bytes, packets
}

func sum[T int | int64](xs []T) (total T) {
	for _, x := range xs {
		total += x
	}
	return total
}

// idle lets a fleet be for an hour of virtual time, with nobody watching, and tells what that costs each node.
func idle(t *testing.T, members int) (mean, most int64) {
	simulate(t, func(s *simulation) {
		f := s.fleet()
		for i := 1; i <= members; i++ {
			f.member(fmt.Sprintf("rig-%02d", i), trust.RoleWorker, fmt.Sprintf("rig-%02d", i))
		}
		var rigs []running
		for i := 1; i <= members; i++ {
			var boot []string
			if i > 1 {
				boot = addrsOf(s, rigs[0])
			}
			rigs = append(rigs, f.rig(i, boot...))
		}
		s.pass(20 * time.Minute) // they find each other, which is not idleness
		began, _ := s.sent.take()
		held, connections := 0, []int(nil) // connections of all nodes at all times, and of each at the end
		for range 12 {
			s.pass(5 * time.Minute)
			connections = nil
			for _, r := range rigs {
				connections = append(connections, len(r.Node.Network().Conns()))
			}
			held += sum(connections)
		}
		bytes, packets := s.sent.take()
		slices.Sort(connections)
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		mean, most = sum(bytes)/int64(members), bytes[len(bytes)-1]
		t.Logf("%d members: %d bytes each to find one another in 20 min; then in an hour %d bytes and %d packets sent by each, %d at most; %d connections each, %d at most; %d KiB of heap each",
			members, sum(began)/int64(members), mean, sum(packets)/int64(members), most,
			held/12/members, connections[members-1], int(mem.HeapInuse)/1024/members)
		for _, r := range rigs {
			r.stop()
		}
	})
	return mean, most
}

// TestIdleBudget: a home line must not notice a fleet that nobody looks at.
func TestIdleBudget(t *testing.T) { idleWithin(t, 3, 64<<10, 256<<10) }

// idleWithin bounds what a node sends in an hour: on the average, and at most.
func idleWithin(t *testing.T, members int, mean, most int64) {
	if m, worst := idle(t, members); m > mean || worst > most {
		t.Errorf("a node has sent %d bytes in an hour, and one %d; want %d and %d at most", m, worst, mean, most)
	}
}
