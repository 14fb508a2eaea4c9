//go:build linux && slow

package netlab_test

import "testing"

// TestUplinkFlips has an owner with two uplinks lose one of them in the middle of what it does.
func TestUplinkFlips(t *testing.T) {
	needLab(t)
	bin := buildSwarm(t)
	for _, how := range []string{"serve", "alone"} {
		t.Run(how, func(t *testing.T) { scenario(t, "uplink_flips", bin, how) })
	}
}

// TestFollowSurvives is about what goes on while relay and worker are restarted.
func TestFollowSurvives(t *testing.T) {
	needLab(t)
	scenario(t, "follow_survives", buildSwarm(t), "20")
}
