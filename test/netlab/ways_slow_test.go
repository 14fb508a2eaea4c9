//go:build linux && slow

package netlab_test

import "testing"

// TestOnlyHTTPSPasses is about networks that let nothing out but what begins like HTTPS.
func TestOnlyHTTPSPasses(t *testing.T) {
	needLab(t)
	scenario(t, "only443", buildSwarm(t))
}

// TestProxyIsTheOnlyWay is about networks that can be left by a proxy alone, and have no names.
func TestProxyIsTheOnlyWay(t *testing.T) {
	needLab(t)
	scenario(t, "proxy", buildSwarm(t))
}

// TestLossyLine is about a long line that loses packets.
func TestLossyLine(t *testing.T) {
	needLab(t)
	scenario(t, "lossy", buildSwarm(t))
}
