package runcli

import (
	"strings"
	"testing"
)

// What a program has switched on and not off is put back, however its output comes in pieces.
func TestModes(t *testing.T) {
	for _, tt := range []struct{ name, printed, undo string }{
		{"text", "hello\r\n\x1b[31mred\x1b[0m\x1b[2J\x1b[1;1H", ""},
		{"an editor that has ended", "\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h\x1b[?1000h\x1b[>4;2m text \x1b[?1000l\x1b[?2004l\x1b[?1l\x1b>\x1b[>4;m\x1b[?1049l", ""},
		{"an editor that was cut off", "\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h\x1b[>4;2mtext", "\x1b>\x1b[>4m\x1b[?1l\x1b[?1049l\x1b[?2004l"},
		{"the mouse, two modes at once", "\x1b[?1000;1006h", "\x1b[?1000l\x1b[?1006l"},
		{"no cursor", "\x1b[?25l", "\x1b[?25h"},
		{"no cursor, and again one", "\x1b[?25l\x1b[?25h", ""},
		{"a mode that nobody minds", "\x1b[?12h\x1b[4h", ""},
		{"all is reset", "\x1b[?1000h\x1bc", ""},
		{"half a sequence", "\x1b[?1000", ""},
		{"a sequence within another", "\x1b[?10\x1b[?1000h", "\x1b[?1000l"},
		{"a long sequence", "\x1b[?" + strings.Repeat("1;", maxSequence) + "h", ""},
		{"a number that is too large", "\x1b[?99999999999999999999h\x1b[?25l", "\x1b[?25h"},
		{"an empty one", "\x1b[?h\x1b[m\x1b[>m\x1b[>4h", ""},
	} {
		for _, size := range []int{1, 3, len(tt.printed)} {
			var m modes
			for printed := []byte(tt.printed); len(printed) > 0; {
				n := min(size, len(printed))
				m.see(printed[:n])
				printed = printed[n:]
			}
			if got := string(m.undo()); got != tt.undo {
				t.Errorf("%s by %d: got %q, want %q", tt.name, size, got, tt.undo)
			}
			if again := m.undo(); len(again) > 0 {
				t.Errorf("%s: undone twice: %q", tt.name, again)
			}
		}
	}
}

// FuzzModes: whatever a machine prints, what is kept of it is bounded.
func FuzzModes(f *testing.F) {
	f.Add([]byte("\x1b[?1049h\x1b[?25l\x1b[>4;2m\x1b="))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m modes
		m.see(b)
		if len(m.seq) > maxSequence || len(m.on) > 20 {
			t.Errorf("%d bytes and %d modes are kept", len(m.seq), len(m.on))
		}
		m.undo()
	})
}
