package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// printer is where a command prints. The format of a line is ours, and what
// fills it may be what somebody else has said: it goes through printf, println
// or a table, whose values make neither a line nor a column, and steer no
// terminal. On a terminal a line that is wider is folded, as a value could else be
// made long enough for its end to stand where a line begins. What is written in
// another way keeps its line breaks and tabs, and nothing else of that kind.
type printer struct{ w io.Writer }

const (
	maxField   = 60  // characters of a field of a table
	maxAddress = 200 // and of one that begins as an address does: /ip4/…/p2p/…/p2p-circuit/p2p/…

	foldMark   = "  … "
	minColumns = 20 // a terminal that says less has at least these
)

// printf prints a line of ours with values that may be anybody's.
func (p *printer) printf(format string, values ...any) (int, error) {
	text := fmt.Sprintf(format, cells(values)...)
	_, err := io.WriteString(p, p.folded(text))
	return len(text), err
}

// println prints values of ours, and ends the line. It is not folded: an address or a
// command in it is there to be copied.
func (p *printer) println(values ...any) (int, error) {
	for i, v := range values {
		values[i] = whole(fmt.Sprint(v))
	}
	return fmt.Fprintln(p, cells(values)...)
}

// ours is for a library that draws what is ours.
func (p *printer) ours() io.Writer { return p }

// block prints lines that others have said, each behind the prefix.
func (p *printer) block(prefix, text string) error {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if _, err := p.printf("%s%s\n", whole(prefix), whole(line)); err != nil {
			return err
		}
	}
	return nil
}

// Write lets through what a terminal shows, line breaks and tabs.
func (p *printer) Write(b []byte) (int, error) {
	clean := bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return shown(r)
	}, b)
	if _, err := p.w.Write(clean); err != nil {
		return 0, err
	}
	return len(b), nil
}

// table prints rows in columns of one width. Its flush must be called in the end.
func (p *printer) table(header ...any) *table {
	t := &table{p: p}
	t.w = tabwriter.NewWriter(&t.rows, 0, 8, 2, ' ', 0)
	if len(header) > 0 {
		t.row(header...)
	}
	return t
}

type table struct {
	p    *printer
	rows bytes.Buffer
	w    *tabwriter.Writer
}

// row adds one row; a value is one cell of it, whatever it holds, and cut if it is long.
func (t *table) row(values ...any) {
	for i, v := range values {
		if i > 0 {
			io.WriteString(t.w, "\t")
		}
		text := fmt.Sprint(cell{v})
		if _, ok := v.(whole); !ok {
			most := maxField
			if strings.HasPrefix(text, "/") {
				most = maxAddress
			}
			text = cut(text, most)
		}
		io.WriteString(t.w, text)
	}
	io.WriteString(t.w, "\n")
}

func (t *table) flush() error {
	if err := t.w.Flush(); err != nil {
		return err
	}
	defer t.rows.Reset()
	_, err := io.WriteString(t.p, t.p.folded(t.rows.String()))
	return err
}

// cells wraps values that are formatted into one cell each.
func cells(values []any) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = cell{v}
	}
	return out
}

// whole is a value that keeps its runs of blanks and its length: a line of a log, or a
// sentence in a table.
type whole string

// cell formats a value as usual, and cleans what came of it.
type cell struct{ value any }

// Format implements fmt.Formatter. What is formatted as text is cleaned first, and then
// cut and filled up to its column.
func (c cell) Format(f fmt.State, verb rune) {
	if !strings.ContainsRune("svq", verb) {
		io.WriteString(f, oneLine(fmt.Sprintf(fmt.FormatString(f, verb), c.value)))
		return
	}
	var format strings.Builder
	format.WriteString("%")
	for _, flag := range "+#" {
		if f.Flag(int(flag)) {
			format.WriteString(string(flag))
		}
	}
	text := oneLine(fmt.Sprintf(format.String()+string(verb), c.value))
	if _, ok := c.value.(whole); !ok {
		text = oneBlank(text)
	}
	if most, ok := f.Precision(); ok {
		text = cut(text, most)
	}
	width, _ := f.Width()
	fill := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
	if f.Flag('-') {
		text, fill = fill, text
	}
	io.WriteString(f, fill)
	io.WriteString(f, text)
}

// cut returns at most so many characters of a text; "…" says that there were more.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:max(0, most-1)]) + "…"
}

// oneLine makes what others have said fit to stand in a line: each character that
// would break the line or go to another column, or looks like a blank, is a blank, and
// each that cannot be seen is a replacement character. The number of characters stays.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if blank(r) {
			return ' '
		}
		return shown(r)
	}, s)
}

// oneBlank makes one blank of many: with as many as one likes the end of a field could
// stand anywhere.
func oneBlank(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

// blank reports whether a character is a blank, or looks like one: also the fillers of
// Hangul, which are letters, and the empty pattern of Braille, which is a symbol.
func blank(r rune) bool {
	return r == '\u0085' || r == '\u2028' || r == '\u2029' || r >= '\t' && r <= '\r' || r == '\u2800' ||
		unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) && !hidden(r)
}

// shown returns r, or the replacement character for what a person does not see.
func shown(r rune) rune {
	if hidden(r) {
		return utf8.RuneError
	}
	return r
}

// hidden reports whether a character steers a terminal, breaks a line or takes
// no place: the categories Cc, Cf, Zl and Zp.
func hidden(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// escapeJSON writes the hidden characters of compact JSON, which are all in
// strings, as \u.
func escapeJSON(b []byte) []byte {
	if bytes.IndexFunc(b, hidden) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for _, r := range string(b) {
		switch {
		case !hidden(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
