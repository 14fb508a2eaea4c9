package span

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "7d": Week, "2w": 2 * Week, "1d12h": 36 * time.Hour,
		"1w1d1h": Week + Day + time.Hour, "1.5d": 36 * time.Hour, " 1d ": Day, "-1d": -Day, "-10m": -10 * time.Minute,
		"0": 0, "0s": 0, "100ms": 100 * time.Millisecond,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "such as 30s", "soon": "such as 30s", "d": "such as 30s", "1d1w": "such as 30s", "1d-1h": "such as 30s", "99999999w": "such as",
		"NaNd": "such as", "5": "5s, 5m, 5h or 5d", "2 days": "such as 30s",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want %q", text, got, err, want)
		}
	}
}

func TestFlag(t *testing.T) {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	var day, minute, none time.Duration
	Var(f, &day, "day", Day, "x")
	Var(f, &minute, "minute", time.Minute, "x")
	Var(f, &none, "none", 0, "x")
	text := f.FlagUsages()
	if !strings.Contains(text, "(default 24h)") || !strings.Contains(text, "(default 1m)") || strings.Count(text, "default") != 2 {
		t.Errorf("got\n%s", text)
	}
	if err := f.Parse([]string{"--none", "2w"}); err != nil || none != 2*Week {
		t.Errorf("got %v, %v", none, err)
	}
	if d, err := f.GetDuration("day"); err != nil || d != Day {
		t.Errorf("got %v, %v", d, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1w2d3h")
	f.Add("NaNd")
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := Parse(text); err == nil && d < 0 && !strings.Contains(text, "-") {
			t.Errorf("%q: %v", text, d)
		}
	})
}
