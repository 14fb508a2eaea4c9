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

func TestBeacon(t *testing.T) {
	needLab(t)
	scenario(t, "beacon", buildSwarm(t))
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
