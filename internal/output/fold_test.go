package output

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// terminal is an output of so many columns.
type terminal struct {
	bytes.Buffer
	width int
}

func (t *terminal) Columns() int { return t.width }

// rows are the lines as a terminal shows them.
func (t *terminal) rows() (out []string) {
	for line := range strings.Lines(t.String()) {
		runes := []rune(strings.TrimSuffix(line, "\n"))
		for len(runes) > t.width {
			out, runes = append(out, string(runes[:t.width])), runes[t.width:]
		}
		out = append(out, string(runes))
	}
	return out
}

// A field has one blank where it had many, and is cut in a table. Nothing else is.
func TestLongFields(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	long := strings.Repeat("x", 2*maxField)
	address := "/ip4/192.0.2.7/udp/4747/quic-v1/p2p/12D3KooWGMTVTxNTBgJa8MapA3zpoiaCYd8XbZEBDsvDZmofk6Hp"
	p.Printf("%-6s|%.4s|%s|%s|%d\n", "a\u3164 \u2800\u00a0b", "abcdef", long, Whole("a  b"), 7)
	p.Println("a  b", long)
	w := p.Table()
	w.Row("a   b", long, Whole("a  b"+long), address)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "a b   |abc…|" + long + "|a  b|7\na  b " + long + "\na b  " + long[:maxField-1] + "…  a  b" + long + "  " + address + "\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestFold(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"short\n", "short\n"},
		{"exactly twenty chars\n", "exactly twenty chars\n"},
		{"one two three four five six\n", "one two three four\n  … five six\n"},
		{"no end of a line here", "no end of a line\n  … here"},
		{"  indented and longer than it\n", "  indented and\n  … longer than it\n"},
		{"abcdefghijklmnopqrstuvwxyz\n", "abcdefghijklmnopqrst\n  … uvwxyz\n"},
		{"a" + strings.Repeat(" ", 40) + "b\n", "a\n  … b\n"},
		{strings.Repeat(" ", 40) + "b\nc\n", "\n  … b\nc\n"},
		{"a" + strings.Repeat("\u3164", 40) + "b\n", "a\n  … b\n"},
		{"漢漢漢漢漢漢漢漢漢漢漢漢\n", "漢漢漢漢漢漢漢漢漢漢\n  … 漢漢\n"},
		{"trailing blanks are no line" + strings.Repeat(" ", 40) + "\n", "trailing blanks are\n  … no line\n"},
	} {
		if got := fold(tt.text, 20); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
		if got := fold(tt.text, 0); got != tt.text {
			t.Errorf("no terminal: %q became %q", tt.text, got)
		}
	}
}

// The log of this program goes to the same terminal.
func TestLogsFold(t *testing.T) {
	out := &terminal{width: 40}
	fmt.Fprintf(Folding(out), "20:35:06 WRN a machine said err=%q\n", "x"+strings.Repeat(" ", 11)+"box-99"+" 9d mining")
	for _, row := range out.rows() {
		if strings.HasPrefix(row, "box-99") {
			t.Errorf("a row: %q", row)
		}
	}
}
