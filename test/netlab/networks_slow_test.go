//go:build linux && slow

package netlab_test

import "testing"

// TestIPv6Alone is about networks whose router translates to IPv4.
func TestIPv6Alone(t *testing.T) {
	needLab(t)
	bin := buildSwarm(t)
	for _, where := range []string{"worker", "owner", "both"} {
		t.Run(where, func(t *testing.T) { scenario(t, "nat64", bin, where) })
	}
}

// TestCarrierNAT is about carriers with a pool of addresses and few ports for each customer.
func TestCarrierNAT(t *testing.T) {
	needLab(t)
	scenario(t, "carrier", buildSwarm(t))
}

// TestTCPIsCut is about firewalls that end TCP connections after some megabytes.
func TestTCPIsCut(t *testing.T) {
	needLab(t)
	scenario(t, "tcp_cut", buildSwarm(t), "reset")
}

// TestWrongNames is about a router that answers all questions for names with its own address.
func TestWrongNames(t *testing.T) {
	needLab(t)
	scenario(t, "wrong_dns", buildSwarm(t))
}

// TestClientIsolation is about a LAN in which machines hear one another and reach nobody but the router.
func TestClientIsolation(t *testing.T) {
	needLab(t)
	scenario(t, "isolation", buildSwarm(t))
}

// TestHandover is about a mobile network.
func TestHandover(t *testing.T) {
	needLab(t)
	scenario(t, "handover", buildSwarm(t))
}

// TestVPN is about a VPN that comes and goes.
func TestVPN(t *testing.T) {
	needLab(t)
	scenario(t, "vpn", buildSwarm(t))
}
