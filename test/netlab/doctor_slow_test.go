//go:build linux && slow

package netlab_test

import "testing"

// TestPortal has something answer in the place of all machines, in HTTP or not at all.
func TestPortal(t *testing.T) {
	needLab(t)
	bin := buildSwarm(t)
	for _, args := range [][]string{{"http", "owner"}, {"mute", "owner"}, {"http", "worker"}, {"mute", "worker"}} {
		t.Run(args[0]+" at the "+args[1], func(t *testing.T) { scenario(t, "portal", append([]string{bin}, args...)...) })
	}
}

// TestOnlyDialsOut is about a worker that nobody may dial.
func TestOnlyDialsOut(t *testing.T) {
	needLab(t)
	scenario(t, "only_dials_out", buildSwarm(t))
}
