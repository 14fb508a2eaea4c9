package agent

import (
	"testing"

	"github.com/seed-b490fa12/swarm/host/book"
)

// Every machine that is off by more than a minute is named, and no more than so many.
func TestOtherClocks(t *testing.T) {
	lines := []PeerLine{{Entry: book.Entry{Name: "silent"}}}
	for i := range maxClocks + 3 {
		ahead := clockWarn.Milliseconds() + int64(i) // the first is within
		lines = append(lines, PeerLine{Entry: book.Entry{Name: "rig"}, ClockOffsetMs: &ahead})
	}
	got := otherClocks(lines)
	if len(got) != maxClocks || got[0].AheadMs != clockWarn.Milliseconds()+1 {
		t.Errorf("got %d machines, the first of them %+v", len(got), got[0])
	}
}
