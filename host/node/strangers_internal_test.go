package node

import "testing"

// A worker keeps as many strangers in a fleet of ten as in one of ten thousand.
func TestSlots(t *testing.T) {
	for _, tt := range []struct {
		role     string
		fleet    bool
		maxPeers int
		want     int
	}{
		{"worker", true, 10, 64},
		{"worker", true, 10_000, 64},
		{"controller", true, 256, 64},
		{"controller", true, 260, 65},
		{"relay", true, 10_000, 2500},
		{"worker", false, 300, 300},
	} {
		if got := slotsFor(tt.role, tt.fleet, tt.maxPeers); got != tt.want {
			t.Errorf("%s, fleet %v, %d peers: %d slots, want %d", tt.role, tt.fleet, tt.maxPeers, got, tt.want)
		}
	}
}
