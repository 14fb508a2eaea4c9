//go:build linux && slow

package netlab_test

import (
	"os/exec"
	"testing"
)

func TestFleetBehindNAT(t *testing.T) {
	needLab(t)
	scenario(t, "fleet_nat", buildSwarm(t), "20")
}

// TestBeacon is about machines that only the UDP beacon brings together.
func TestBeacon(t *testing.T) {
	needLab(t)
	scenario(t, "beacon", buildSwarm(t))
}

// TestTwoNATs has owner and worker behind NATs of all kinds meet by way of a
// relay in the open, directly where the NATs let them.
func TestTwoNATs(t *testing.T) {
	needLab(t)
	bin := buildSwarm(t)
	for name, args := range map[string][]string{
		"cone":               {"cone", "cone", "direct"},
		"full cone":          {"fullcone", "symmetric", "direct"},
		"symmetric":          {"symmetric", "symmetric", "relay"},
		"two NATs in a row":  {"cone", "cone", "direct", "double"},
		"UDP does not pass":  {"cone", "cone", "relay", "noudp"},
		"symmetric, no UDP":  {"symmetric", "symmetric", "relay", "noudp"},
		"symmetric in a row": {"cone", "symmetric", "relay", "double"},
		"a worker relays":    {"symmetric", "symmetric", "relay", "member"},
	} {
		t.Run(name, func(t *testing.T) { scenario(t, "nat_pair", append([]string{bin}, args...)...) })
	}
}

// TestRelayGivesWayToLAN is about machines of one network that met through a relay.
func TestRelayGivesWayToLAN(t *testing.T) {
	needLab(t)
	scenario(t, "lan_pair", buildSwarm(t))
}

// TestForwardedPort is about a machine that does not know at which address others
// can dial it, and is told by those who have.
func TestForwardedPort(t *testing.T) {
	needLab(t)
	scenario(t, "forwarded", buildSwarm(t))
}

// TestCopiedCard is about two machines that run with one identity: in one LAN, and by way of a relay only.
func TestCopiedCard(t *testing.T) {
	needLab(t)
	bin := buildSwarm(t)
	for _, where := range []string{"lan", "relay"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			scenario(t, "clone", bin, where)
		})
	}
}

// TestPortMap has a router forward a port. It needs a router's program, miniupnpd.
func TestPortMap(t *testing.T) {
	needLab(t)
	if _, err := exec.LookPath("miniupnpd"); err != nil {
		t.Skipf("PORT MAPPING CANNOT BE TESTED ON THIS MACHINE: %v; see README.md for what to install", err)
	}
	bin := buildSwarm(t)
	for _, protocol := range []string{"upnp", "natpmp"} {
		t.Run(protocol, func(t *testing.T) { scenario(t, "port_map", bin, protocol) })
	}
}

// TestManyBehindOneNAT has a whole fleet come back at once.
func TestManyBehindOneNAT(t *testing.T) {
	needLab(t)
	scenario(t, "many", buildSwarm(t), "50")
}

// TestFaults breaks everything once, and bounds the time until commands work.
func TestFaults(t *testing.T) {
	needLab(t)
	bin := buildSwarm(t)
	for _, kind := range []string{"cone", "symmetric"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			scenario(t, "faults", bin, kind)
		})
	}
}

func TestRestartOfAll(t *testing.T) {
	needLab(t)
	scenario(t, "restart_all", buildSwarm(t), "12")
}

// TestRig checks that the faults are what they say.
func TestRig(t *testing.T) {
	for _, program := range []string{"ping", "conntrack", "ethtool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("THE RIG CANNOT BE TESTED ON THIS MACHINE: %v; see README.md for what to install", err)
		}
	}
	scenario(t, "selftest")
}
