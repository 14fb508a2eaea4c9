//go:build linux && slow

package integration

import (
	"testing"
	"time"
)

func TestStrangersHoardMemoryEverywhere(t *testing.T) {
	strangersHoard(t, 12*time.Second,
		hoarding{"handshakes of the largest frame", "/swarm/lifecycle/1.0.0", 1 << 20, false},
		hoarding{"handshakes that a stranger may send", "/swarm/lifecycle/1.0.0", 64 << 10, false},
		hoarding{"requests to join", "/swarm/join/1.0.0", 64 << 10, false},
		hoarding{"handshakes of the largest frame over QUIC", "/swarm/lifecycle/1.0.0", 1 << 20, true},
		hoarding{"handshakes that a stranger may send over QUIC", "/swarm/lifecycle/1.0.0", 64 << 10, true},
		hoarding{"commands", "/swarm/ops/1.0.0", 64 << 10, false},
	)
}
