package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
)

func TestClockFault(t *testing.T) {
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
			got := ClockFault(tt.now)
			if (got != "") != tt.fault || strings.Contains(got, "\n") {
				t.Errorf("got %q", got)
			}
			if tt.fault && !(strings.Contains(got, clockText(tt.now)) && strings.Contains(got, "set it")) {
				t.Errorf("%q lacks what the clock says, or what to do", got)
			}
		})
	}
}

// What is signed on a machine that was never told the time is dated as the program, else as its clock says.
func TestMadeOrLater(t *testing.T) {
	made := earliestClock()
	if got := madeOrLater(time.Unix(1, 0)); !got.Equal(made) {
		t.Errorf("in 1970: %v, want %v", got, made)
	}
	if now := made.AddDate(0, 0, 1); !madeOrLater(now).Equal(now) {
		t.Errorf("later: %v, want %v", madeOrLater(now), now)
	}
}

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

// The difference is named, with who is where, and the machine whose clock cannot be right is the one to mend.
func TestExamineClock(t *testing.T) {
	now := earliestClock().AddDate(0, 0, 1)
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
			examineClock(&d, "rig", tt.ahead, tt.now)
			f := d.Findings[0]
			if f.Level != tt.level || !strings.Contains(f.Text, tt.text) || !strings.Contains(f.Next, tt.next) {
				t.Errorf("got %+v, want %s, %q, next %q", f, tt.level, tt.text, tt.next)
			}
		})
	}
}

// Every machine that is off by more than a minute is named, and no more than so many.
func TestOtherClocks(t *testing.T) {
	lines := []PeerLine{{Member: host.Member{Name: "silent"}}}
	for i := range maxClocks + 3 {
		ahead := clockWarn.Milliseconds() + int64(i) // the first is within
		lines = append(lines, PeerLine{Member: host.Member{Name: "rig"}, ClockOffsetMs: &ahead})
	}
	got := otherClocks(lines)
	if len(got) != maxClocks || got[0].AheadMs != clockWarn.Milliseconds()+1 {
		t.Errorf("got %d machines, the first of them %+v", len(got), got[0])
	}
	behind := -2 * time.Hour.Milliseconds()
	d := Self{ClockFault: "it says 1970", Clocks: []ClockLine{{"rig", behind}}, ClockOffsetMs: &behind}.Diagnose(true)
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

// That an older program's certificate is not valid is a matter of clocks and of nothing else.
func TestDoctorClocksDiffer(t *testing.T) {
	c, err := NewController(ControllerConfig{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	addr := multiaddr.StringCast("/ip4/127.0.0.1/udp/4747/quic-v1")
	for kind, want := range map[error]string{host.ErrClocks: "THE CLOCKS DIFFER", host.ErrOtherPeer: "ANOTHER MACHINE", nil: "OFFLINE"} {
		var d Diagnosis
		c.examineOffline(&d, Target{Peer: identity(t), Name: "rig"}, []host.Tried{{Addr: addr, Err: "whatever it is there", Kind: kind}})
		if got := d.Findings[0].Text; !strings.HasPrefix(got, want) {
			t.Errorf("%v: got %q, want %q", kind, got, want)
		}
	}
}
