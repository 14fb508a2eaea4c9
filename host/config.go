package host

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/limits"
	"github.com/seed-b490fa12/swarm/host/names"
	"github.com/seed-b490fa12/swarm/host/reach"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/host/transport"
)

// What a Config means when a field is zero.
const (
	DefaultPort        = 4747 // TCP and UDP
	DefaultPrefix      = protocol.ID("/swarm")
	DefaultMaxPeers    = 1000
	DefaultConnections = 8
)

const (
	maxMaxPeers  = 100_000
	maxBootstrap = 256
)

// DHTMode says what part a host takes in the private DHT.
type DHTMode int

const (
	DHTAuto   DHTMode = iota // server for a host that listens, client for one that does not
	DHTOff                   // no DHT
	DHTClient                // asks, and does not answer
	DHTServer                // asks and answers
)

// Config says what kind of node New makes. The zero value with a StateDir (or an Identity) is a
// full node on port 4747 without mDNS and beacon.
type Config struct {
	// Identity is the node's key. Nil means the file identity.pem in StateDir, made if it is missing.
	Identity crypto.PrivKey
	// StateDir is where the identity, the port and the address book are kept. Empty means that
	// nothing is kept: then Identity is needed and the address book lives in memory.
	StateDir string

	// Listen are the addresses Listen opens: TCP, QUIC, WebSocket (/ip4/…/tcp/…/ws) and WebSocket in
	// TLS (/ip4/…/tcp/443/tls/ws). Empty means TCP and QUIC on
	// port 4747 of all interfaces, or, if that is taken, on a free port that is saved in StateDir
	// and used from then on.
	Listen []multiaddr.Multiaddr
	// NoListen is for command-line processes: Listen does nothing, and the node announces itself
	// nowhere.
	NoListen bool
	// NoQUIC leaves QUIC out. A node that moves much over lines that lose packets is quicker without.
	NoQUIC bool
	// Bootstrap are peers to stay connected with, and the first ones asked about others. See
	// ParsePeers.
	Bootstrap []peer.AddrInfo
	// MDNS looks for nodes in the local network and, unless NoListen, announces this one.
	MDNS bool
	// Beacon, if set, looks for nodes in the local network by datagrams, and announces this one
	// unless NoListen. Its Prefix, Announce and Logger are filled in.
	Beacon *discovery.BeaconConfig
	// DHT is the part taken in the private DHT.
	DHT DHTMode
	// ProtocolPrefix separates this network's DHT, mDNS and beacon from all others. Empty means
	// "/swarm".
	ProtocolPrefix protocol.ID

	// Certificate returns the certificate for WebSocket in TLS. Nil means one that the node makes
	// itself, with which all nodes are content: it is Noise inside that proves who is there.
	Certificate transport.Certificate
	// Proxy is what peers outside of the local network are dialled through, over TCP and WebSocket;
	// QUIC goes past it. Nil means none: see transport.ProxyFromEnvironment.
	Proxy *transport.Proxy

	// External are further addresses at which others reach this node, for instance that of a
	// forwarded port.
	External []multiaddr.Multiaddr
	// PortMap asks the router, by UPnP or NAT-PMP, to forward our port. It opens the port to the
	// internet.
	PortMap bool
	// AutoNAT asks connected members to dial back, to learn which of our addresses can be reached.
	AutoNAT bool
	// NoHolePunching leaves connections over a relay as they are.
	NoHolePunching bool
	// Relay passes connections on for the peers for which RelayFor returns true, without a limit;
	// with a nil RelayFor for none.
	Relay    bool
	RelayFor func(peer.ID) bool
	// AllowNets, if there are any, are the only networks that this node connects with; DenyNets are
	// those it never connects with. What comes through a relay is judged by the relay's address.
	AllowNets, DenyNets []netip.Prefix
	// NetworkKey keeps out all peers that do not have the same key, before anything else is
	// exchanged. It rules out QUIC.
	NetworkKey pnet.PSK

	// MaxPeers (n) is how many peers the connection and resource limits are sized for: above 1.25 n
	// + 16 connections the least useful ones are closed, down to n; others may open 2 n + 64. 0
	// means 1,000.
	MaxPeers int
	// Connections is up to how many connections peers found by discovery are dialled; beyond, they
	// are only remembered. 0 means 8, or none with NoListen; negative means none. Bootstrap and
	// kept peers are always dialled.
	Connections int
	// IdleCode is the code with which connections that are idle and not needed are closed.
	IdleCode network.ConnErrorCode
	// UserAgent is what the node calls itself to others. Empty means "swarm/" and the module's
	// version.
	UserAgent string
	// Gater, if set, is asked about every connection.
	Gater connmgr.ConnectionGater
	// Admit, if set, keeps the DHT to peers that it lets through, see limits.Guard.
	Admit limits.Admit
	// Member, if set, reports whether a peer is a member: members that were met are saved,
	// strangers not.
	Member func(peer.ID) bool

	// Hint, if set, returns what a person of this program does next about an error of this package, of
	// trust or of node, to be put behind its words, such as "; see: PROGRAM help"; or "".
	Hint func(error) string

	// OnSelf, if set, is called with addresses that are not of this machine, at which a node with
	// this one's own key is reported to be, or has answered a dial. source is the way of discovery,
	// or "dial". It must return quickly.
	OnSelf func(source string, addrs []multiaddr.Multiaddr)
	// OnFound, if set, is called for each peer that discovery finds, also again. It must return
	// quickly.
	OnFound func(discovery.Found)
	// Logger gets what happens. Nil means silent.
	Logger *slog.Logger
	// Metrics gets libp2p's numbers. Nil means a private registry, never the global one.
	Metrics prometheus.Registerer
	// Options are passed to libp2p last, for instance a simulated network in tests.
	Options []libp2p.Option

	machine func() ([]netip.Addr, error) // the addresses of the machine: others in tests
	dns     names.DNS                    // the same
}

// ParsePeers turns multiaddrs that end in /p2p/<peer ID> into peers, joining those of one peer. An
// address without a peer ID is an error: the peer that answers could not be verified.
func ParsePeers(addrs ...string) ([]peer.AddrInfo, error) {
	parsed := make([]multiaddr.Multiaddr, 0, len(addrs))
	for _, s := range addrs {
		a, err := multiaddr.NewMultiaddr(s)
		transport, id := peer.SplitAddr(a) // both are empty after an error
		if err != nil || id == "" || len(transport) == 0 {
			return nil, fmt.Errorf("address %q%s: it must look like /ip4/192.0.2.1/tcp/%d/p2p/<peer ID>", s, wrongPart(s, err), DefaultPort)
		}
		parsed = append(parsed, a)
	}
	return peer.AddrInfosFromP2pAddrs(parsed...)
}

// wrongPart says which part of a multiaddr is wrong, in front of how it must look; err is that of parsing
// it.
func wrongPart(s string, err error) string {
	if err == nil {
		return " names no peer at an address"
	}
	parts := strings.Split(s, "/")
	for i := 1; i < len(parts); i++ {
		p := multiaddr.ProtocolWithName(parts[i])
		switch {
		case i == 1 && parts[0] != "":
			return ""
		case p.Code == 0:
			return fmt.Sprintf(": there is no protocol %q", parts[i])
		case p.Size == 0:
			continue
		case i+1 == len(parts):
			return fmt.Sprintf(": nothing stands behind %q", parts[i])
		}
		i++
		if _, err := multiaddr.NewComponent(p.Name, parts[i]); err != nil {
			return fmt.Sprintf(": %q is no value of %s", parts[i], p.Name)
		}
	}
	return ""
}

// isMember reports whether a peer is a member; no peer is where there are none.
func (c Config) isMember(p peer.ID) bool { return c.Member != nil && c.Member(p) }

// withDefaults fills in what is zero and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.ProtocolPrefix == "" {
		c.ProtocolPrefix = DefaultPrefix
	}
	if c.UserAgent == "" {
		c.UserAgent = "swarm/" + moduleVersion()
	}
	if c.MaxPeers == 0 {
		c.MaxPeers = DefaultMaxPeers
	}
	if c.Connections == 0 && !c.NoListen {
		c.Connections = DefaultConnections
	}
	if c.machine == nil {
		c.machine = reach.OwnAddrs
	}
	if c.dns == nil {
		c.dns = net.DefaultResolver
	}
	if c.DHT == DHTAuto {
		c.DHT = DHTServer
		if c.NoListen {
			c.DHT = DHTClient
		}
	}
	return c, c.check()
}

func (c Config) check() error {
	switch {
	case c.Identity == nil && c.StateDir == "":
		return errors.New("host config: a StateDir or an Identity is needed")
	case c.MaxPeers < 0 || c.MaxPeers > maxMaxPeers:
		return fmt.Errorf("host config: MaxPeers is %d, it must be 1 to %d", c.MaxPeers, maxMaxPeers)
	case len(c.Bootstrap) > maxBootstrap:
		return fmt.Errorf("host config: %d bootstrap peers, at most %d are allowed", len(c.Bootstrap), maxBootstrap)
	case c.NoListen && len(c.Listen) > 0:
		return errors.New("host config: Listen and NoListen exclude each other")
	case c.NoListen && c.Relay:
		return errors.New("host config: a relay has to listen")
	case slices.ContainsFunc(c.External, func(a multiaddr.Multiaddr) bool { return !route.Legible(a) }):
		return fmt.Errorf("host config: external address: want %d printable ASCII characters at most; "+
			"of a name the form that begins with xn--", route.MaxText)
	case len(c.External) > book.MaxAddrs:
		return fmt.Errorf("host config: %d external addresses, at most %d are allowed", len(c.External), book.MaxAddrs)
	}
	if len(c.NetworkKey) > 0 {
		for _, a := range c.Listen {
			if _, err := a.ValueForProtocol(multiaddr.P_UDP); err == nil {
				return fmt.Errorf("host config: listen address %s: QUIC cannot be used with a network key", a)
			}
		}
	}
	for _, p := range c.Bootstrap {
		if p.ID.Validate() != nil || len(p.Addrs) == 0 {
			return fmt.Errorf("host config: bootstrap peer %s needs a peer ID and an address (/ip4/…/tcp/…/p2p/<peer ID>)", p)
		}
	}
	return nil
}

// moduleVersion is the version of this module in the running program.
func moduleVersion() string {
	const path = "github.com/seed-b490fa12/swarm"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	mods := append([]*debug.Module{&info.Main}, info.Deps...)
	i := slices.IndexFunc(mods, func(m *debug.Module) bool { return m.Path == path })
	if i < 0 || mods[i].Version == "" || mods[i].Version == "(devel)" {
		return "devel"
	}
	return mods[i].Version
}

// hint returns what the program knows to do about an error, to be put behind its words.
func (c Config) hint(err error) string {
	if c.Hint == nil {
		return ""
	}
	return c.Hint(err)
}

// forbids returns in words why this node does not dial an address; nothing where it does.
func (c Config) forbids(a multiaddr.Multiaddr, p peer.ID) string {
	gater := c.Gater
	switch {
	case !(&limits.Networks{Deny: c.DenyNets}).Permits(a):
		return "not tried: this machine denies that network" + c.hint(ErrDeniedNet)
	case !(&limits.Networks{Allow: c.AllowNets}).Permits(a):
		return "not tried: it is in none of the networks that this machine allows" + c.hint(ErrOtherNet)
	case gater != nil && !(gater.InterceptPeerDial(p) && gater.InterceptAddrDial(p, a)):
		return "not tried: this machine does not connect there"
	}
	return ""
}

// mdnsService makes a DNS-SD service name of a protocol prefix: "/swarm" is "_swarm._udp". A label
// has at most 15 letters, digits and hyphens.
func mdnsService(prefix string) string {
	const maxLabel = 15
	label := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, prefix)
	return "_" + label[:min(len(label), maxLabel)] + "._udp"
}
