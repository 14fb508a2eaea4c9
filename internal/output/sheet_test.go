package output

import (
	"strings"
	"testing"
)

// A narrow terminal has the columns that matter most, a wide one and a file have all.
func TestSheet(t *testing.T) {
	lines := func(width int, wide bool) string {
		out := &terminal{width: width}
		s := New(out).Sheet(wide, Column{Title: "NAME"}, Column{Title: "CPU", Rank: 2, Right: true}, Column{Title: "STATE"}, Column{Title: "POOL", Rank: 3})
		s.Row("rig-01", "7%", "running", "pool.example.org:3333")
		s.Note("rig-02", "offline since 44s")
		s.Row("rig-3", "100%", "x\ny", "")
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	const all = "NAME     CPU  STATE    POOL\nrig-01    7%  running  pool.example.org:3333\nrig-02  offline since 44s\nrig-3   100%  x y\n"
	for _, tt := range []struct {
		name  string
		width int
		wide  bool
		want  string
	}{
		{"a file", 0, false, all},
		{"a wide terminal", 44, false, all},
		{"one column less", 43, false, "NAME     CPU  STATE\nrig-01    7%  running\nrig-02  offline since 44s\nrig-3   100%  x y\n"},
		{"two columns less", 20, false, "NAME    STATE\nrig-01  running\nrig-02  offline\n  … since 44s\nrig-3   x y\n"},
	} {
		if got := lines(tt.width, tt.wide); got != tt.want {
			t.Errorf("%s: got\n%s", tt.name, got)
		}
	}
	if got := lines(30, true); !strings.Contains(got, "POOL") {
		t.Errorf("--wide: got\n%s", got)
	}
}
