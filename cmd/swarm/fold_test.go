package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// terminal is an output of so many columns.
type terminal struct {
	bytes.Buffer
	width int
}

func (t *terminal) columns() int { return t.width }

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

// However long a value is made, and with what, its end does not stand where a line of another machine would begin.
func TestPrintersAndLongValues(t *testing.T) {
	for _, p := range printers() {
		t.Run(p.name, func(t *testing.T) {
			for _, filler := range []string{" ", "\u3000", "\u00a0", "\u3164", "\u2800", "\u115f", "\u1160", "\uffa0", "\t", "a", "a "} {
				for n := range 130 {
					s := "a" + strings.Repeat(filler, n) + forged + "  9d  1%  2%  0.10  xmrig  mining  99.9 GH/s"
					out := &terminal{width: 100}
					a := &app{stdin: strings.NewReader("\n"), stdout: &printer{out}, stderr: &printer{out}, terminal: out, log: slog.New(slog.DiscardHandler)}
					if err := p.print(a, s); err != nil {
						t.Fatal(err)
					}
					for _, row := range out.rows() {
						if strings.HasPrefix(strings.TrimLeftFunc(row, blank), forged) {
							t.Fatalf("%d times %q make a row: %q\n%s", n, filler, row, out)
						}
					}
				}
			}
		})
	}
}

// A field has one blank where it had many, and is cut in a table. Nothing else is.
func TestLongFields(t *testing.T) {
	var out bytes.Buffer
	p := &printer{&out}
	long := strings.Repeat("x", 2*maxField)
	address := "/ip4/192.0.2.7/udp/4747/quic-v1/p2p/12D3KooWGMTVTxNTBgJa8MapA3zpoiaCYd8XbZEBDsvDZmofk6Hp"
	p.printf("%-6s|%.4s|%s|%s|%d\n", "a\u3164 \u2800\u00a0b", "abcdef", long, whole("a  b"), 7)
	p.println("a  b", long)
	w := p.table()
	w.row("a   b", long, whole("a  b"+long), address)
	if err := w.flush(); err != nil {
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
	fmt.Fprintf(folding{out}, "20:35:06 WRN a machine said err=%q\n", "x"+strings.Repeat(" ", 11)+forged+" 9d mining")
	for _, row := range out.rows() {
		if strings.HasPrefix(row, forged) {
			t.Errorf("a row: %q", row)
		}
	}
}
