//go:build linux && slow

package netlab_test

import "testing"

// TestFullUplink has 20 machines share a link that is too slow for them: commands come through, and
// nothing is taken for dead because it is slow.
func TestFullUplink(t *testing.T) {
	needLab(t)
	for _, nats := range []string{"cone", "symmetric"} {
		t.Run(nats, func(t *testing.T) { scenario(t, "full_uplink", buildSwarm(t), "20", "128000", nats) })
	}
}

// TestIdleUplink bounds what machines send to stay connected.
func TestIdleUplink(t *testing.T) {
	needLab(t)
	scenario(t, "idle_uplink", buildSwarm(t), "20", "60")
}
