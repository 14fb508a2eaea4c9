package diagnose

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

func TestSpan(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		-time.Second: "1 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min", 2*time.Hour - time.Minute: "119 min", 2*time.Hour - time.Second: "2 h",
		47 * time.Hour: "47 h", 2*day - time.Second: "2 days", 365*day - time.Second: "365 days", 730*day - time.Second: "2 years", 56 * 365 * day: "56 years",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

// The difference is named, with who is where, and the machine whose clock cannot be right is the
// one to mend.
func TestExamineClock(t *testing.T) {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 1)
	for _, tt := range []struct {
		name       string
		ahead      time.Duration
		now        time.Time
		level      Level
		text, next string
	}{
		{"as here", clockWorth, now, LevelOK, "as here", ""},
		{"a little", -clockWorth - 1, now, LevelWarn, "differ by 5 s: that of rig is behind", "set the clock of rig, or that of this machine"},
		{"over a minute", 61 * time.Second, now, LevelWarn, "differ by 61 s: that of rig is ahead", "set the clock of rig, or"},
		{"two hours", 2 * time.Hour, now, LevelFail, "differ by 2 h: that of rig is ahead", "set the clock of rig, or"},
		{"it is in 1970", -now.Sub(time.Unix(0, 0)), now, LevelFail, "years: that of rig is behind, at 1970-01-01", "set the clock of rig: it cannot be right"},
		{"we are in 1970", now.Sub(time.Unix(0, 0)), time.Unix(0, 0), LevelFail, "years: that of rig is ahead", "set the clock of this machine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d Diagnosis
			d.addClock("rig", tt.ahead, tt.now)
			f := d.Findings[0]
			if f.Level != tt.level || !strings.Contains(f.Text, tt.text) || !strings.Contains(f.Next, tt.next) {
				t.Errorf("got %+v, want %s, %q, next %q", f, tt.level, tt.text, tt.next)
			}
		})
	}
}

// Every clock that differs is named, and on which side it is.
func TestClocksHere(t *testing.T) {
	behind := -2 * time.Hour.Milliseconds()
	d := Here(agent.Self{ClockFault: "it says 1970", Clocks: []agent.ClockLine{{Name: "rig", AheadMs: behind}}, ClockOffsetMs: &behind}, true)
	var text strings.Builder
	for _, f := range d.Findings {
		if f.Check == "clock" {
			text.WriteString(f.Text + "\n")
		}
	}
	for _, want := range []string{"it says 1970", "those of most machines are behind", "2 h: that of rig is behind"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

// The value of an error decides, not its words. That an older program's certificate is not valid is
// a matter of clocks and of nothing else.
func TestOffline(t *testing.T) {
	addr := multiaddr.StringCast("/ip4/127.0.0.1/udp/4747/quic-v1")
	for kind, want := range map[error]string{
		host.ErrClocks: "THE CLOCKS DIFFER", host.ErrOtherPeer: "ANOTHER MACHINE", host.ErrDenied: "DENIED HERE", host.ErrNoRoute: "THIS MACHINE is cut off",
		errors.New("unreachable"): "OFFLINE",
	} {
		x := examination{target: agent.Target{Name: "rig"}}
		x.offline(surroundings{tried: []dial.Tried{{Addr: addr, Err: fmt.Errorf("whatever it is there, unreachable: %w", kind)}}})
		if got := x.Findings[0].Text; !strings.HasPrefix(got, want) {
			t.Errorf("%v: got %q, want %q", kind, got, want)
		}
	}
}
