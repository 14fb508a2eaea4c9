package agent

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"os"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/transport"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

// DefaultFleetSize is for how many machines limits are made.
const DefaultFleetSize = host.DefaultMaxPeers

// maxNetworkKey is the size of a network key's file; real ones have 95 bytes.
const maxNetworkKey = 4 << 10

// NetConfig says how a node gets to others, and they to it. The zero value is good for most.
type NetConfig struct {
	// External are further addresses at which this node is reached from outside.
	External []string
	// PortMap asks the router to forward our port.
	PortMap bool
	// Relay passes connections on for other members.
	Relay bool
	// Seed tells newcomers where others are, where there is no fleet.
	Seed bool
	// AllowNets and DenyNets are networks, like 10.0.0.0/8, to speak with only, or never.
	AllowNets, DenyNets []string
	// NetworkKey is a file with a key that all nodes of the network have.
	NetworkKey string
	// TLSCert and TLSKey are the PEM files of a certificate for WebSocket in TLS. Without them the
	// node makes one itself.
	TLSCert, TLSKey string
	// Proxy is the URL of what addresses outside of the local network are dialled through: NoProxy
	// for nothing, empty for what HTTPS_PROXY, ALL_PROXY or HTTP_PROXY say.
	Proxy string
	// FleetSize is for how many machines limits are made; 0 means 1,000. MaxPeers, if set, counts
	// instead; see host.Config.
	FleetSize, MaxPeers int
	// Hint is what a person does next about an error, see host.Config.
	Hint func(error) string
	// NoAutoNAT keeps others from dialling back, for simulated networks.
	NoAutoNAT bool
}

// Apply fills in what the configuration means for a host.
func (c NetConfig) Apply(h *host.Config) (err error) {
	if h.External, err = ParseListen(c.External); err != nil {
		return fmt.Errorf("external address: %w", err)
	}
	if h.AllowNets, err = parseNets(c.AllowNets); err != nil {
		return err
	}
	if h.DenyNets, err = parseNets(c.DenyNets); err != nil {
		return err
	}
	if h.NetworkKey, err = readNetworkKey(c.NetworkKey); err != nil {
		return err
	}
	if h.Certificate, err = readCertificate(c.TLSCert, c.TLSKey); err != nil {
		return err
	}
	if h.Proxy, err = proxyOf(c.Proxy); err != nil {
		return err
	}
	if c.FleetSize < 0 || c.MaxPeers < 0 {
		return fmt.Errorf("fleet size %d, most peers %d: want 1 or more", c.FleetSize, c.MaxPeers)
	}
	h.MaxPeers = c.FleetSize
	if c.MaxPeers > 0 {
		h.MaxPeers = c.MaxPeers
	}
	h.Hint = c.Hint
	h.PortMap, h.Relay, h.AutoNAT = c.PortMap, c.Relay, !c.NoAutoNAT
	return nil
}

// NoProxy is a NetConfig.Proxy that has a node dial everything directly.
const NoProxy = "none"

func proxyOf(text string) (*transport.Proxy, error) {
	switch text {
	case "":
		return transport.ProxyFromEnvironment()
	case NoProxy:
		return nil, nil
	}
	return transport.NewProxy(text, cmp.Or(os.Getenv("NO_PROXY"), os.Getenv("no_proxy")))
}

func parseNets(words []string) (out []netip.Prefix, err error) {
	for _, w := range words {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			addr, addrErr := netip.ParseAddr(w)
			if addrErr != nil {
				return nil, fmt.Errorf("network %q: want for example 192.168.0.0/16 or fd00::/8", w)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func readNetworkKey(path string) (pnet.PSK, error) {
	if path == "" {
		return nil, nil
	}
	data, err := durable.ReadLinked(path, maxNetworkKey) // mounted secrets are links
	if err != nil {
		return nil, fmt.Errorf("network key: %w", err)
	}
	if data, err = durable.Text(data); err != nil {
		return nil, fmt.Errorf("network key %s: %w", path, err)
	}
	key, err := pnet.DecodeV1PSK(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("network key %s: %w; its three lines are /key/swarm/psk/1.0.0/, /base16/ and 64 hexadecimal digits", path, err)
	}
	return key, nil
}

// hostConfig reads how a node of any kind listens, begins and gets to others.
func hostConfig(listen, bootstrap []string, net NetConfig) (hc host.Config, err error) {
	if hc.Bootstrap, err = host.ParsePeers(bootstrap...); err != nil {
		return hc, err
	}
	if hc.Listen, err = ParseListen(listen); err != nil {
		return hc, err
	}
	return hc, net.Apply(&hc)
}

// tickets opens the tickets that a node in a fleet redeems. Without a fleet there are none.
func tickets(f *trust.Fleet, stateDir string) (*ticket.Book, error) {
	if f == nil {
		return nil, nil
	}
	return fleetdir.OpenTickets(stateDir)
}

// ParseListen reads multiaddrs to listen on.
func ParseListen(words []string) (out []multiaddr.Multiaddr, err error) {
	for _, s := range words {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("listen address %q: it must look like /ip4/0.0.0.0/tcp/4747", s)
		}
		out = append(out, a)
	}
	return out, nil
}

// AddrsOf returns the addresses of a node, each with its peer ID.
func AddrsOf(n *node.Node) ([]string, error) {
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.ID(), Addrs: n.Addrs()})
	if err != nil {
		return nil, err
	}
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out, nil
}
