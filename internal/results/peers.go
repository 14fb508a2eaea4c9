package results

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// Peers prints the table of known machines, sorted by name. Without wide the columns are those for
// which the terminal has room.
func Peers(p *output.Printer, wide bool, peers []agent.PeerLine) error {
	s := p.Sheet(wide, output.Column{Title: "NAME"}, output.Column{Title: "STATE"}, output.Column{Title: "SINCE", Rank: 3, Right: true},
		output.Column{Title: "PATH"}, output.Column{Title: "RTT", Rank: 1, Right: true}, output.Column{Title: "SEEN", Rank: 1, Right: true},
		output.Column{Title: "ROLE", Rank: 4}, output.Column{Title: "LABELS", Rank: 2}, output.Column{Title: "VERSION", Rank: 5},
		output.Column{Title: "CALLS ITSELF", Rank: 6}, output.Column{Title: "PEER", Rank: 7}, output.Column{Title: "ADDRESS", Rank: 8})
	peers = slices.SortedFunc(slices.Values(peers), func(a, b agent.PeerLine) int {
		return cmp.Or(natural(peerName(a), peerName(b)), cmp.Compare(a.Peer, b.Peer))
	})
	for _, l := range peers {
		rtt := output.Unknown
		if l.RTTMs != nil {
			rtt = fmt.Sprintf("%.1f ms", *l.RTTMs)
		}
		s.Row(peerName(l), StateText(l), output.Since(l.Since), output.OrDash(PathText(l.Path, l.Relay)), rtt, seen(l),
			output.OrDash(l.Role), output.Labels(l.Labels), output.OrDash(l.Version), output.Quoted(l.ClaimedName), l.Peer, output.OrDash(address(l)))
	}
	return s.Flush()
}

// peerName is what a person calls a machine, or what it calls itself with its peer ID.
func peerName(l agent.PeerLine) string {
	return agent.Target{Peer: l.Peer, Name: l.Name, Claimed: l.ClaimedName}.Label()
}

// StateText is a machine's state, and that there are two of it.
func StateText(l agent.PeerLine) string {
	if l.Twin != "" {
		return output.OrDash(string(l.State)) + ", TWO"
	}
	return output.OrDash(string(l.State))
}

// PathText is a path in a word or two.
func PathText(p route.Path, relay string) string {
	if relay != "" {
		return "relay " + relay
	}
	return string(p)
}

// seen is how long ago a machine was there.
func seen(l agent.PeerLine) string {
	switch {
	case l.RTTMs != nil:
		return "now"
	case l.LastSeen == 0:
		return "never"
	}
	return output.Seconds(time.Since(time.UnixMilli(l.LastSeen)).Seconds()) + " ago"
}

// address is where a machine is dialled: where it is connected, else an address that others can use too.
func address(l agent.PeerLine) string {
	if l.Addr != "" {
		return l.Addr
	}
	all := slices.Concat(l.Addrs, l.Announced)
	for _, text := range all {
		if a, err := multiaddr.NewMultiaddr(text); err == nil && !manet.IsIPLoopback(a) {
			return text
		}
	}
	return cmp.Or(all...)
}
