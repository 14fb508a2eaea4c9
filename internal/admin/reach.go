package admin

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/join"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/streams"
)

// Reach is from where a node's addresses can be reached, as far as the addresses
// themselves tell.
type Reach string

// The reaches, from the shortest.
const (
	ReachNone     Reach = "none"     // no address at all
	ReachMachine  Reach = "machine"  // loopback only
	ReachNetwork  Reach = "network"  // private addresses
	ReachInternet Reach = "internet" // a public address; a firewall may still be in the way
)

// ReachOf returns the longest reach of the addresses.
func ReachOf(addrs []multiaddr.Multiaddr) Reach {
	best := ReachNone
	for _, a := range addrs {
		best = slices.MaxFunc([]Reach{best, reachOne(a)}, func(a, b Reach) int { return a.rank() - b.rank() })
	}
	return best
}

func reachOne(a multiaddr.Multiaddr) Reach {
	switch {
	case manet.IsPublicAddr(a):
		return ReachInternet
	case manet.IsIPLoopback(a):
		return ReachMachine
	default:
		return ReachNetwork
	}
}

func (r Reach) rank() int {
	return slices.Index([]Reach{ReachNone, ReachMachine, ReachNetwork, ReachInternet}, r)
}

// Words says what a ticket with this reach is good for.
func (r Reach) Words(name string) string {
	const around = "run \"swarm join --wait\" there, and here: swarm invite %s --to MADDR"
	switch r {
	case ReachInternet:
		return "The ticket is good from everywhere, as far as firewalls let port 4747 through."
	case ReachNetwork:
		return fmt.Sprintf("The ticket is good for machines in the same network. For one elsewhere: "+around+".", name)
	case ReachMachine:
		return fmt.Sprintf("The ticket is good on this machine only: it has no other address. For another machine: "+around+".", name)
	default:
		return fmt.Sprintf("Nobody can bring the ticket here. Instead "+around+".", name)
	}
}

// BestAddrs sorts addresses by reach, those of loopback last, and leaves out
// loopback where there are others that fill a ticket.
func BestAddrs(info peer.AddrInfo) peer.AddrInfo {
	slices.SortStableFunc(info.Addrs, func(a, b multiaddr.Multiaddr) int { return reachOne(b).rank() - reachOne(a).rank() })
	const most = 6 // so that the QR code stays small
	info.Addrs = info.Addrs[:min(len(info.Addrs), most)]
	return info
}

// PutTicket has another member redeem a ticket, and returns where it does.
func PutTicket(
	ctx context.Context, cl *streams.Client, to peer.ID, inv *ticket.Invitation, secret []byte,
) ([]multiaddr.Multiaddr, error) {
	data, err := json.Marshal(inv)
	if err != nil {
		return nil, err
	}
	ack, err := join.PutTicket.Do(ctx, cl, to, join.TicketRequest{Invitation: data, Secret: secret})
	if err != nil {
		return nil, err
	}
	var out []multiaddr.Multiaddr
	for _, s := range ack.Addrs {
		if a, err := multiaddr.NewMultiaddr(s); err == nil {
			out = append(out, a)
		}
	}
	return BestAddrs(peer.AddrInfo{Addrs: out}).Addrs, nil
}

// Offer brings a ticket to a machine that waits for it at an address.
func Offer(ctx context.Context, n *node.Node, to peer.AddrInfo, ticket string) error {
	if err := n.Connect(ctx, to); err != nil {
		return err
	}
	_, err := join.Offer.Do(ctx, n.Client, to.ID, join.OfferRequest{Ticket: ticket})
	return err
}
