package host

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-b490fa12/swarm/host/discovery"
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
	maxAddrs     = 16 // addresses kept for one peer; more are a mistake or an attack
)

// DHTMode says what part a host takes in the private DHT.
type DHTMode int

const (
	DHTAuto   DHTMode = iota // server for a host that listens, client for one that does not
	DHTOff                   // no DHT
	DHTClient                // asks, answers nobody
	DHTServer                // asks and answers
)

// Config says what kind of node New makes. The zero value with a StateDir (or an Identity) is a full node on port 4747
// without mDNS and beacon.
type Config struct {
	// Identity is the node's key. Nil means the file identity.pem in StateDir, made if it is missing.
	Identity crypto.PrivKey
	// StateDir is where the identity, the port and the address book are kept. Empty means that nothing is
	// kept: then Identity is needed and the address book lives in memory.
	StateDir string

	// Listen are the addresses Listen opens: TCP, QUIC and WebSocket. Empty means TCP and QUIC on port 4747 of all
	// interfaces, or, if that is taken, on a free port that is saved in StateDir and used from then on.
	Listen []multiaddr.Multiaddr
	// NoListen is for command-line processes: Listen does nothing, and the node announces itself nowhere.
	NoListen bool
	// Bootstrap are peers to stay connected with, and the first ones asked about others. See ParsePeers.
	Bootstrap []peer.AddrInfo
	// MDNS looks for nodes in the local network and, unless NoListen, announces this one.
	MDNS bool
	// Beacon, if set, looks for nodes in the local network by datagrams, and announces this one unless NoListen. Its
	// Prefix, Announce and Logger are filled in.
	Beacon *discovery.BeaconConfig
	// DHT is the part taken in the private DHT.
	DHT DHTMode
	// ProtocolPrefix separates this network's DHT, mDNS and beacon from all others. Empty means "/swarm".
	ProtocolPrefix protocol.ID

	// External are further addresses at which others reach this node, for instance that of a forwarded port.
	External []multiaddr.Multiaddr
	// PortMap asks the router, by UPnP or NAT-PMP, to forward our port. It opens the port to everybody.
	PortMap bool
	// AutoNAT has connected members dial back, to learn which of our addresses can be reached.
	AutoNAT bool
	// NoHolePunching leaves connections over a relay as they are.
	NoHolePunching bool
	// Relay passes connections on for those whom RelayFor names, without a limit. Nil is nobody.
	Relay    bool
	RelayFor func(peer.ID) bool
	// AllowNets, if there are any, are the only networks that this node speaks with; DenyNets are those it never does. What
	// comes by way of a relay is judged by the relay's address.
	AllowNets, DenyNets []netip.Prefix
	// NetworkKey keeps out all who do not have the same key, before anything else is said. It rules out QUIC.
	NetworkKey pnet.PSK

	// MaxPeers is how many peers the connection and resource limits are sized for: a quarter and 16 above it the least
	// useful connections are closed, down to it; others may open twice as many and 64. 0 means 1,000.
	MaxPeers int
	// Connections is up to how many connections peers found by discovery are dialled; beyond, they are only
	// remembered. 0 means 8, or none with NoListen; negative means none. Bootstrap and kept peers are always dialled.
	Connections int
	// UserAgent is what the node calls itself to others. Empty means "swarm/" and the module's version.
	UserAgent string
	// Gater, if set, is asked about every connection.
	Gater connmgr.ConnectionGater
	// Admit, if set, keeps the DHT to peers that it lets through, see Guard.
	Admit Admit
	// Member, if set, says whom to save: members that were met, and no strangers.
	Member func(peer.ID) bool

	// Hint, if set, returns what a person of this program does next about an error of this package, of trust or of node,
	// to be put behind its words, such as "; see: PROGRAM help"; or "".
	Hint func(error) string

	// OnSelf, if set, is told of addresses that are not of this machine at which somebody says, or a dial has shown, that a
	// node with this one's own key is, and by which way. It must return quickly.
	OnSelf func(source string, addrs []multiaddr.Multiaddr)
	// OnFound, if set, is called for each peer that discovery finds, also again. It must return quickly.
	OnFound func(discovery.Found)
	// Logger gets what happens. Nil means silent.
	Logger *slog.Logger
	// Metrics gets libp2p's numbers. Nil means a private registry, never the global one.
	Metrics prometheus.Registerer
	// Options are passed to libp2p last, for instance a simulated network in tests.
	Options []libp2p.Option
}

// ParsePeers turns multiaddrs that end in /p2p/<peer ID> into peers, joining those of one peer. An address without
// a peer ID is an error, because one would not know whom it should be.
func ParsePeers(addrs ...string) ([]peer.AddrInfo, error) {
	parsed := make([]multiaddr.Multiaddr, 0, len(addrs))
	for _, s := range addrs {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", s, err)
		}
		if transport, id := peer.SplitAddr(a); id == "" || len(transport) == 0 {
			return nil, fmt.Errorf("address %q: it must look like /ip4/192.0.2.1/tcp/%d/p2p/<peer ID>", s, DefaultPort)
		}
		parsed = append(parsed, a)
	}
	return peer.AddrInfosFromP2pAddrs(parsed...)
}

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
	case slices.ContainsFunc(c.External, func(a multiaddr.Multiaddr) bool { return !legible(a) }):
		return fmt.Errorf("host config: external address: want %d printable ASCII characters at most; of a name the form that begins with xn--", maxAddrText)
	case len(c.External) > maxAddrs:
		return fmt.Errorf("host config: %d external addresses, at most %d are allowed", len(c.External), maxAddrs)
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

// Errors by which Config.Hint is asked what to do about an address that could not be dialled.
var (
	// ErrForbidden comes when this node's own settings forbid an address.
	ErrForbidden = errors.New("this machine's own settings forbid it")
	// ErrDeniedNet comes when an address is in one of DenyNets, and ErrOtherNet when it is in none of AllowNets.
	ErrDeniedNet = errors.New("this machine denies that network")
	ErrOtherNet  = errors.New("this machine allows other networks only")
	// ErrNetworkKey comes when the other side may have a NetworkKey and this one not, or the other way round.
	ErrNetworkKey = errors.New("its network has a key")
)

// hint is what the program knows to do about an error, to be put behind its words.
func (c *Config) hint(err error) string {
	if c.Hint == nil {
		return ""
	}
	return c.Hint(err)
}
