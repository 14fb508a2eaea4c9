package addrs

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/streams"
)

// maxSeedPages is how many answers are taken from one seed.
const maxSeedPages = 4

const askTimeout = 10 * time.Second // for all that one seed says

// answerSeed answers newcomers of an open network with the peers that are connected now and can be
// dialled.
func (d *Directory) answerSeed(_ context.Context, p streams.Peer, r AddrRequest) (Addr, error) {
	var all []membership.Contact
	for _, other := range d.host.Network().Peers() {
		if other <= r.After || other == p.ID || d.host.Network().Connectedness(other) != network.Connected {
			continue
		}
		if rec := d.host.SignedRecord(other); len(rec) > 0 {
			all = append(all, membership.Contact{Peer: other, Record: rec})
		}
	}
	slices.SortFunc(all, func(a, b membership.Contact) int { return strings.Compare(string(a.Peer), string(b.Peer)) })
	return Addr{all[:min(len(all), membership.MaxContacts)], len(all) > membership.MaxContacts}, nil
}

// AskSeed asks the peer of a connection, in an open network, for others, if the peer is a seed: if
// the families that it has named are served by one.
func (d *Directory) AskSeed(conn network.Conn, families []streams.FamilyInfo) {
	p := conn.RemotePeer()
	tells := slices.ContainsFunc(families, func(f streams.FamilyInfo) bool { return f.Name == Family.Name })
	if d.fleet != nil || !tells {
		return
	}
	d.own(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		after := peer.ID("")
		for range maxSeedPages {
			got, err := GetAddr.Do(ctx, d.client, p, AddrRequest{After: after})
			if err != nil {
				d.log.Debug("a seed did not tell of others", "peer", p, "err", err)
				return
			}
			for _, m := range got.Members {
				if rec, err := discovery.OpenRecord(m.Record); err == nil {
					d.host.Report(fromSeed(rec, p, manet.IsIPLoopback(conn.RemoteMultiaddr())))
				}
			}
			if !got.More || len(got.Members) == 0 || got.Members[len(got.Members)-1].Peer <= after {
				return
			}
			after = got.Members[len(got.Members)-1].Peer
		}
	})
}

// fromSeed keeps the addresses of a seed's answer that are worth a dial: plain IP addresses (of the
// loopback only when the seed is on this machine) and the circuit through the seed itself. Any peer
// may call itself a seed, so its answer cannot make this node look up names or ask other relays.
func fromSeed(rec *peer.PeerRecord, seed peer.ID, sameMachine bool) peer.AddrInfo {
	out := peer.AddrInfo{ID: rec.PeerID}
	bySeed := false
	for _, a := range rec.Addrs {
		switch {
		case discovery.Usable(a, sameMachine):
			out.Addrs = append(out.Addrs, a)
		case route.RelayOf(a) == seed && !bySeed:
			bySeed = true // over the connection that we have, whatever address of the seed it names
			out.Addrs = append(out.Addrs, multiaddr.StringCast("/p2p/"+seed.String()+"/p2p-circuit"))
		}
	}
	return out
}
