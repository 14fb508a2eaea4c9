package netflags

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/internal/span"
	"github.com/seed-b490fa12/swarm/internal/usage"
)

// Local is how others are found in the local network.
type Local struct {
	MDNS            bool
	mode, addr, nic string
	port            int
	period          time.Duration
}

// Flags declares the flags; mdns is the text of --mdns.
func (l *Local) Flags(f *pflag.FlagSet, mdns string) {
	usage.Group(f, usage.Network, func(f *pflag.FlagSet) { l.flags(f, mdns) })
}

func (l *Local) flags(f *pflag.FlagSet, mdns string) {
	f.BoolVar(&l.MDNS, "mdns", true, mdns)
	f.StringVar(&l.mode, "beacon", "",
		"find each other in the local network by UDP datagrams: `HOW` is multicast, broadcast or false (default: "+
			"multicast if --mdns is on, else false)")
	f.StringVar(&l.addr, "beacon-addr", "",
		"`ADDR` the beacon sends to (default: the group "+discovery.DefaultBeaconGroup+", or each network's broadcast address)")
	f.IntVar(&l.port, "beacon-port", discovery.DefaultBeaconPort, "UDP `PORT` of the beacon, the same on all machines")
	f.StringVar(&l.nic, "beacon-interface", "",
		"`NAME` of the only network interface for the beacon (default: all but the loopback)")
	span.Var(f, &l.period, "beacon-period", discovery.DefaultBeaconPeriod,
		"time between two datagrams of the beacon; at the start there are more")
}

// Beacon returns the configuration of the beacon, or nil if there is to be none.
func (l *Local) Beacon() (*discovery.BeaconConfig, error) {
	cfg := &discovery.BeaconConfig{Mode: discovery.BeaconMode(l.mode), Port: l.port, Interface: l.nic, Period: l.period}
	switch {
	case l.mode == "false", l.mode == "" && !l.MDNS:
		return nil, nil
	case l.mode != "" && cfg.Mode != discovery.BeaconMulticast && cfg.Mode != discovery.BeaconBroadcast:
		return nil, fmt.Errorf("--beacon %q: want multicast, broadcast or false", l.mode)
	}
	if l.addr != "" {
		addr, err := netip.ParseAddr(l.addr)
		if err != nil {
			return nil, fmt.Errorf("--beacon-addr %q: not an IP address; want for example %s",
				l.addr, discovery.DefaultBeaconGroup)
		}
		cfg.Addr = addr
	}
	return cfg, nil
}
