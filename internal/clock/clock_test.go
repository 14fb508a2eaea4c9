package clock

import (
	"strings"
	"testing"
	"time"
)

func TestFault(t *testing.T) {
	made := earliestClock()
	for _, tt := range []struct {
		name  string
		now   time.Time
		fault bool
	}{
		{"1970", time.Unix(0, 0), true},
		{"just before the program was made", made.Add(-time.Second), true},
		{"when it was made", made, false},
		{"long after", made.AddDate(30, 0, 0), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Fault(tt.now)
			if (got != "") != tt.fault || strings.Contains(got, "\n") {
				t.Errorf("got %q", got)
			}
			if tt.fault && !(strings.Contains(got, Text(tt.now)) && strings.Contains(got, "set it")) {
				t.Errorf("%q lacks what the clock says, or what to do", got)
			}
		})
	}
}

// What is signed on a machine that was never told the time is dated as the program, else as its
// clock says.
func TestMadeOrLater(t *testing.T) {
	made := earliestClock()
	if got := MadeOrLater(time.Unix(1, 0)); !got.Equal(made) {
		t.Errorf("in 1970: %v, want %v", got, made)
	}
	if now := made.AddDate(0, 0, 1); !MadeOrLater(now).Equal(now) {
		t.Errorf("later: %v, want %v", MadeOrLater(now), now)
	}
}
