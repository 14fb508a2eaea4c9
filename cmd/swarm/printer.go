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
// terminal. What is written in another way keeps its line breaks and tabs, and
// nothing else of that kind.
type printer struct{ w io.Writer }

// printf prints a line of ours with values that may be anybody's.
func (p *printer) printf(format string, values ...any) (int, error) {
	return fmt.Fprintf(p, format, cells(values)...)
}

// println prints values that may be anybody's, and ends the line.
func (p *printer) println(values ...any) (int, error) {
	return fmt.Fprintln(p, cells(values)...)
}

// ours is for a library that draws what is ours.
func (p *printer) ours() io.Writer { return p }

// block prints lines that others have said, each behind the prefix.
func (p *printer) block(prefix, text string) error {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if _, err := p.printf("%s%s\n", prefix, line); err != nil {
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
	t := &table{tabwriter.NewWriter(p, 0, 8, 2, ' ', 0)}
	if len(header) > 0 {
		t.row(header...)
	}
	return t
}

type table struct{ w *tabwriter.Writer }

// row adds one row; a value is one cell of it, whatever it holds.
func (t *table) row(values ...any) {
	for i, v := range cells(values) {
		if i > 0 {
			io.WriteString(t.w, "\t")
		}
		fmt.Fprint(t.w, v)
	}
	io.WriteString(t.w, "\n")
}

func (t *table) flush() error { return t.w.Flush() }

// cells wraps values that are formatted into one cell each.
func cells(values []any) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = cell{v}
	}
	return out
}

// cell formats a value as usual, and cleans what came of it.
type cell struct{ value any }

// Format implements fmt.Formatter.
func (c cell) Format(f fmt.State, verb rune) {
	io.WriteString(f, oneLine(fmt.Sprintf(fmt.FormatString(f, verb), c.value)))
}

// oneLine makes what others have said fit to stand in a line: each character that
// would break the line or go to another column is a space, and each that cannot
// be seen is a replacement character. The number of characters stays.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\u0085' || r == '\u2028' || r == '\u2029' || r >= '\t' && r <= '\r' {
			return ' '
		}
		return shown(r)
	}, s)
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
