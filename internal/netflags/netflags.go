// Package netflags declares the flags by which every node of the program reaches others.
package netflags

import (
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/health"
	"github.com/seed-b490fa12/swarm/internal/usage"
)

// Net declares the flags of every node: which networks it talks to, and with which key.
func Net(f *pflag.FlagSet, c *agent.NetConfig) {
	usage.Group(f, usage.Network, func(f *pflag.FlagSet) { net(f, c) })
}

func net(f *pflag.FlagSet, c *agent.NetConfig) {
	f.StringSliceVar(&c.AllowNets, "allow-net", nil, "the only `NETWORK`, such as 10.0.0.0/8, to talk to; may be repeated")
	f.StringSliceVar(&c.DenyNets, "deny-net", nil, "`NETWORK` never to talk to; may be repeated")
	f.StringVar(&c.NetworkKey, "network-key", "",
		"`FILE` with a key that all nodes of the network must have; excludes QUIC")
	f.StringVar(&c.Proxy, "proxy", "",
		"`URL` of a proxy (http, https, socks5) for all outside of the local network but QUIC, or "+agent.NoProxy+
			" (default: that of HTTPS_PROXY, ALL_PROXY or HTTP_PROXY)")
}

// Listen declares the flags of nodes that others reach.
func Listen(f *pflag.FlagSet, listen *[]string, c *agent.NetConfig) {
	usage.Group(f, usage.Network, func(f *pflag.FlagSet) { listening(f, listen, c) })
}

func listening(f *pflag.FlagSet, listen *[]string, c *agent.NetConfig) {
	f.StringArrayVar(listen, "listen", nil, "`MADDR` to listen on; may be repeated (default: TCP and QUIC on port 4747)")
	f.StringVar(&c.TLSCert, "tls-cert", "",
		"PEM `FILE` with a certificate for --listen /ip4/0.0.0.0/tcp/443/tls/ws (default: one that the node makes; "+
			"other nodes take any)")
	f.StringVar(&c.TLSKey, "tls-key", "", "PEM `FILE` with the key of --tls-cert")
	f.StringArrayVar(&c.External, "external", nil,
		"`MADDR` at which others reach this node, for instance of a forwarded port; may be repeated")
	f.BoolVar(&c.PortMap, "port-map", false,
		"ask the router to forward the port (UPnP, NAT-PMP); this opens it to everybody")
	f.IntVar(&c.FleetSize, "fleet-size", agent.DefaultFleetSize, "the number of machines for which limits are made")
	f.IntVar(&c.MaxPeers, "max-peers", 0,
		"`N` peers for which limits are made: above 1.25 N + 16 connections the least useful are closed, down to "+
			"N; others may open 2 N + 64 (default: --fleet-size)")
}

// HealthName is the name of the flag that Health declares.
const HealthName = "health"

// Health declares the address at which a node answers whether it is ready; a flag without a value is
// the usual one.
func Health(f *pflag.FlagSet, addr *string) {
	f.StringVar(addr, HealthName, "",
		"answer GET /ping at this `ADDR` of loopback: 200 ready, 503 starting or stopping; write --health=ADDR, "+
			"with an equals sign (--health alone: "+health.Default+")")
	f.Lookup(HealthName).NoOptDefVal = health.Default
}
