//go:build linux && slow

package netlab_test

import "testing"

// TestServeEnds is about what goes on while the controller that serves is replaced by another one.
func TestServeEnds(t *testing.T) {
	needLab(t)
	scenario(t, "serve_ends", buildSwarm(t))
}
