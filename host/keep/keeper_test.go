package keep

import (
	"testing"
	"time"
)

func TestRedialDelay(t *testing.T) {
	tests := []struct {
		away  time.Duration
		relay bool
		least time.Duration
		most  time.Duration
	}{
		{0, false, 3 * time.Second, 4 * time.Second},
		{redialPatient - 1, false, 3 * time.Second, 4 * time.Second},
		{redialPatient, false, 24 * time.Second, 30 * time.Second},
		{100 * time.Hour, false, 24 * time.Second, 30 * time.Second},
		{0, true, time.Second, 1500 * time.Millisecond},
		{redialPatient, true, 24 * time.Second, 30 * time.Second},
	}
	for _, tt := range tests {
		for range 100 {
			if d := redialDelay(tt.away, tt.relay); d < tt.least || d > tt.most {
				t.Errorf("away for %v: %v, want %v to %v", tt.away, d, tt.least, tt.most)
			}
		}
	}
}
