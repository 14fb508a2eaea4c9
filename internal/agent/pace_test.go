package agent

import (
	"testing"
	"time"
)

// On a link that loses what it is sent stats come less and less often, and as often as wanted when it
// no longer does.
func TestPace(t *testing.T) {
	p := pace{wanted: 5 * time.Second}
	for i, tt := range []struct {
		sent, lost uint64
		want       time.Duration
	}{
		{0, 0, 5 * time.Second},
		{100, 10, 5 * time.Second}, // a tenth is what radio loses
		{200, 30, 10 * time.Second},
		{300, 90, 20 * time.Second},
		{400, 150, 40 * time.Second},
		{500, 250, 40 * time.Second},
		{50, 10, 20 * time.Second}, // a connection has ended
		{50, 10, 10 * time.Second},
		{60, 10, 5 * time.Second},
		{70, 10, 5 * time.Second},
	} {
		if got := p.next(tt.sent, tt.lost); got != tt.want {
			t.Errorf("step %d: %v, want %v", i, got, tt.want)
		}
	}
}
