package bulk

import (
	"testing"
	"time"
)

// A packet that is lost makes one echo late, and what may be under way stays; a queue makes all late.
func TestLossIsNoQueue(t *testing.T) {
	const trip = 300 * time.Millisecond
	for _, tt := range []struct {
		name string
		next time.Duration // what the echoes after the late one take
		cut  bool
	}{
		{"lost", trip, false},
		{"queued", 3 * trip, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, now := window{size: firstWindow}, time.Unix(0, 0)
			for range 8 {
				now = now.Add(trip)
				w.add(now.Add(-trip), now, 0)
			}
			before := w.size
			for _, took := range []time.Duration{3 * trip, tt.next} {
				asked := now.Add(time.Millisecond)
				now = asked.Add(took)
				w.add(asked, now, 0)
			}
			if (w.size < before) != tt.cut {
				t.Errorf("from %d to %d bytes under way", before, w.size)
			}
		})
	}
}

// Where loss alone makes echoes late, what may be under way grows as fast as if none were lost.
func TestLossLetsTheWindowGrow(t *testing.T) {
	const trip = 300 * time.Millisecond
	size := func(took, excused time.Duration) int {
		w, now := window{size: firstWindow}, time.Unix(0, 0)
		w.add(now.Add(-trip), now, 0)
		for range parts * int(4*trip/took) {
			now = now.Add(took / parts)
			w.add(now.Add(-took), now, excused)
		}
		return w.size
	}
	if whole, lossy := size(trip, 0), size(2*trip, trip); lossy < whole {
		t.Errorf("with loss %d bytes are under way, without %d", lossy, whole)
	}
	if late := size(2*trip, 0); late > firstWindow*2 {
		t.Errorf("with a queue %d bytes are under way", late)
	}
}
