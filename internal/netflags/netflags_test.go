package netflags

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/health"
)

func TestBeacon(t *testing.T) {
	on := discovery.BeaconConfig{Port: discovery.DefaultBeaconPort, Period: discovery.DefaultBeaconPeriod}
	with := func(change func(*discovery.BeaconConfig)) *discovery.BeaconConfig {
		c := on
		change(&c)
		return &c
	}
	for _, tt := range []struct {
		args string
		want *discovery.BeaconConfig
		err  string
	}{
		{"", &on, ""},
		{"--mdns=false", nil, ""},
		{"--beacon false", nil, ""},
		{"--mdns=false --beacon multicast", with(func(c *discovery.BeaconConfig) { c.Mode = discovery.BeaconMulticast }), ""},
		{"--beacon broadcast --beacon-addr 192.168.1.255", with(func(c *discovery.BeaconConfig) {
			c.Mode, c.Addr = discovery.BeaconBroadcast, netip.MustParseAddr("192.168.1.255")
		}), ""},
		{"--beacon-port 5000 --beacon-interface eth0 --beacon-period 5s", with(func(c *discovery.BeaconConfig) {
			c.Port, c.Interface, c.Period = 5000, "eth0", 5*time.Second
		}), ""},
		{"--beacon true", nil, `--beacon "true": want multicast, broadcast or false`},
		{"--beacon FALSE", nil, "--beacon"},
		{"--beacon-addr fleet.example", nil, "--beacon-addr"},
		{"--beacon-addr 239.255.47.47:4748", nil, "--beacon-addr"},
		{"--mdns=false --beacon-addr fleet.example", nil, ""}, // there is no beacon to send anywhere
	} {
		var l Local
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		l.Flags(f, "find others by multicast DNS")
		if err := f.Parse(strings.Fields(tt.args)); err != nil {
			t.Errorf("%s: %v", tt.args, err)
			continue
		}
		got, err := l.Beacon()
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %v, want %q", tt.args, err, tt.err)
			}
		case err != nil, (got == nil) != (tt.want == nil), got != nil && *got != *tt.want:
			t.Errorf("%s: got %+v, %v, want %+v", tt.args, got, err, tt.want)
		}
	}
}

// Networks may be listed or repeated; addresses, which may hold anything but a comma, are repeated.
func TestLists(t *testing.T) {
	var c agent.NetConfig
	var listen []string
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	Net(f, &c)
	Listen(f, &listen, &c)
	args := "--allow-net 10.0.0.0/8,fd00::/8 --allow-net 192.168.0.0/16 --listen /ip4/0.0.0.0/tcp/1 --listen /ip4/0.0.0.0/tcp/2"
	if err := f.Parse(strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"10.0.0.0/8", "fd00::/8", "192.168.0.0/16"}; !slices.Equal(c.AllowNets, want) {
		t.Errorf("got %v, want %v", c.AllowNets, want)
	}
	if want := []string{"/ip4/0.0.0.0/tcp/1", "/ip4/0.0.0.0/tcp/2"}; !slices.Equal(listen, want) {
		t.Errorf("got %v, want %v", listen, want)
	}
	if c.FleetSize != agent.DefaultFleetSize || c.MaxPeers != 0 || c.PortMap || c.DenyNets != nil {
		t.Errorf("what was not given: %+v", c)
	}
}

func TestHealth(t *testing.T) {
	for args, want := range map[string]string{
		"":                        "",
		"--health":                health.Default,
		"--health=127.0.0.1:9999": "127.0.0.1:9999",
	} {
		var addr string
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		Health(f, &addr)
		if err := f.Parse(strings.Fields(args)); err != nil || addr != want {
			t.Errorf("%q: got %q, %v, want %q", args, addr, err, want)
		}
	}
}
