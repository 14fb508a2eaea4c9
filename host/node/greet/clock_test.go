package greet

import (
	"testing"
	"time"
)

// A clock is seen to be set once each time, whichever way; that one goes a little fast is nothing.
func TestSetClock(t *testing.T) {
	var clock setClock
	for i, at := range []struct {
		byClock, passed time.Duration
		seen            bool
	}{
		{time.Second, time.Second, false},
		{time.Hour + time.Second, time.Hour, false},
		{-time.Hour, time.Hour + time.Second, true}, // 2 h back
		{-time.Hour + time.Second, time.Hour + 2*time.Second, false},
		{time.Hour + time.Minute, time.Hour + 3*time.Second, true}, // and right again
		{time.Hour + 2*time.Minute, time.Hour + time.Minute, false},
	} {
		if seen := clock.seen(at.byClock, at.passed); seen != at.seen {
			t.Errorf("look %d: seen is %v", i, seen)
		}
	}
}
