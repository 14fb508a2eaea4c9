//go:build linux && slow

package netlab_test

import "testing"

// TestSilentNameServer is about relays with an IP address and a name that nobody resolves.
func TestSilentNameServer(t *testing.T) {
	needLab(t)
	scenario(t, "dns_silent", buildSwarm(t))
}

// TestSmallMTU is about links that carry 1,280 bytes and do not say so.
func TestSmallMTU(t *testing.T) {
	needLab(t)
	bin := buildSwarm(t)
	for _, version := range []string{"4", "6"} {
		t.Run("IPv"+version, func(t *testing.T) { scenario(t, "mtu_blackhole", bin, version) })
	}
}

// TestRelayNameMoves has the one relay that is left get another address.
func TestRelayNameMoves(t *testing.T) {
	needLab(t)
	scenario(t, "relay_name_moves", buildSwarm(t), "30", "6")
}
