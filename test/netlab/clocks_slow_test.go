//go:build linux && slow

package netlab_test

import (
	"testing"

	"github.com/seed-b490fa12/swarm/test/skewed"
)

// TestWrongClocks has all meet whose clocks are wrong, by each transport.
func TestWrongClocks(t *testing.T) {
	needLab(t)
	bin := skewed.Build(t)
	for _, transport := range []string{"tcp", "ws", "quic"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			scenario(t, "clocks", bin, transport)
		})
	}
}
