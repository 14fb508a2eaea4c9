package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/identity"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

func TestStrangersAmongMembers(t *testing.T) { amongStrangers(t, 20) }

// amongStrangers is about strangers who know the fleet's ID and the address of a member, take part in what they take for its
// DHT, and announce themselves there. Members find each other all the same, and keep nothing of them.
func amongStrangers(t *testing.T, strangers int) {
	simulate(t, func(s *simulation) {
		const members = 8
		f := s.fleet()
		ids := map[peer.ID]bool{}
		for i := 1; i <= members; i++ {
			ids[f.member(fmt.Sprintf("rig-%02d", i), trust.RoleWorker, fmt.Sprintf("rig-%02d", i))] = true
		}
		first := f.rig(1)
		boot, err := host.ParsePeers(addrsOf(s, first)...)
		s.must(err)
		var others []*host.Host
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, strangers)
		for i := range strangers {
			ip := fmt.Sprintf("1.0.100.%d", i+1)
			key, err := identity.New()
			s.must(err)
			h, err := host.New(host.Config{
				Identity: key, Bootstrap: boot, Listen: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/" + ip + "/udp/4747/quic-v1")},
				ProtocolPrefix: node.FleetPrefix(f.admin.Fleet.ID()), Options: s.options(ip),
			})
			s.must(err)
			s.must(h.Listen())
			go func() { done <- h.Run(ctx) }()
			others = append(others, h)
		}
		s.pass(10 * time.Second)
		rigs := []running{first}
		for i := 2; i <= members; i++ {
			rigs = append(rigs, f.rig(i, addrsOf(s, first)...))
		}
		s.pass(time.Minute)

		c := s.controller("1.0.1.1", agent.NewCommand, agent.ControllerConfig{Bootstrap: addrsOf(s, first)})
		s.asked(c, members, time.Minute)
		for _, r := range rigs {
			for _, m := range r.Node.Book().All() {
				if !ids[m.Peer] && m.Peer != f.admin.Fleet.Self().Grant.Subject {
					t.Errorf("%s has saved the stranger %s", r.Node.ID(), m.Peer)
				}
			}
			for _, h := range others {
				if len(r.Node.SignedRecord(h.ID())) > 0 {
					t.Errorf("%s keeps the record of the stranger %s", r.Node.ID(), h.ID())
				}
			}
			for _, found := range r.Node.Found() {
				if !ids[found.ID] && found.ID != f.admin.Fleet.Self().Grant.Subject {
					t.Errorf("%s was told of the stranger %s by %s", r.Node.ID(), found.ID, found.Source)
				}
			}
		}
		stop()
		for range others {
			s.must(<-done)
		}
		for _, h := range others {
			s.must(h.Close())
		}
		s.must(c.Close())
		for _, r := range rigs {
			r.stop()
		}
	})
}
