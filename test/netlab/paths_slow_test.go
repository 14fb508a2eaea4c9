//go:build linux && slow

package netlab_test

import "testing"

// TestPathReturns is about direct paths that are lost, and have to come back by themselves.
func TestPathReturns(t *testing.T) {
	needLab(t)
	scenario(t, "path_returns", buildSwarm(t))
}

// TestFirstStart has both ends of a path through NATs start at once.
func TestFirstStart(t *testing.T) {
	needLab(t)
	scenario(t, "first_start", buildSwarm(t), "20")
}

// TestDefaultRoute moves what goes to other networks from one uplink to another.
func TestDefaultRoute(t *testing.T) {
	needLab(t)
	scenario(t, "default_route", buildSwarm(t))
}

// TestBeaconOfIPv6 is about a LAN without IPv4.
func TestBeaconOfIPv6(t *testing.T) {
	needLab(t)
	scenario(t, "ipv6_beacon", buildSwarm(t))
}

// TestCable pulls cables.
func TestCable(t *testing.T) {
	needLab(t)
	scenario(t, "cable", buildSwarm(t))
}

// TestLateAddress is about machines that have no address when they start.
func TestLateAddress(t *testing.T) {
	needLab(t)
	bin := buildSwarm(t)
	for _, version := range []string{"4", "6"} {
		t.Run("IPv"+version, func(t *testing.T) { scenario(t, "late_address", bin, version) })
	}
}
