package output

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// Printer prints lines whose format is ours and whose values may come from a peer. Through Printf,
// Println and Table a value can neither break a line, nor reach another column, nor steer the
// terminal. A line wider than the terminal is folded: otherwise a value could be made long enough
// for its end to appear where a line begins. Write keeps line breaks and tabs, and drops all other
// control characters.
type Printer struct{ w io.Writer }

const (
	maxField = 60 // characters of a cell
	// maxAddress is the characters of a cell that begins as an address:
	// /ip4/…/p2p/…/p2p-circuit/p2p/…
	maxAddress = 200

	foldMark   = "  … "
	minColumns = 20 // of a terminal that reports fewer
)

// New returns a printer that writes to w.
func New(w io.Writer) *Printer { return &Printer{w} }

// Printf prints a line of ours with values that may come from a peer.
func (p *Printer) Printf(format string, values ...any) (int, error) {
	text := fmt.Sprintf(format, cells(values)...)
	_, err := io.WriteString(p, p.folded(text))
	return len(text), err
}

// Println prints values and ends the line. The line is not folded, so an address or a command in it
// can be copied.
func (p *Printer) Println(values ...any) (int, error) {
	for i, v := range values {
		values[i] = Whole(fmt.Sprint(v))
	}
	return fmt.Fprintln(p, cells(values)...)
}

// Raw returns the printer as a plain writer, for a library that draws what we give it.
func (p *Printer) Raw() io.Writer { return p }

// Bytes returns what is printed to, for bytes that are to arrive as they are.
func (p *Printer) Bytes() io.Writer { return p.w }

// Block prints the lines of a text from elsewhere, each behind the prefix.
func (p *Printer) Block(prefix, text string) error {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if _, err := p.Printf("%s%s\n", Whole(prefix), Whole(line)); err != nil {
			return err
		}
	}
	return nil
}

// Write lets through what a terminal shows, line breaks and tabs.
func (p *Printer) Write(b []byte) (int, error) {
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

// Table begins a table whose first row, if any, is header. Nothing is printed before Flush.
func (p *Printer) Table(header ...any) *Table {
	t := &Table{p: p}
	t.w = tabwriter.NewWriter(&t.rows, 0, 8, 2, ' ', 0)
	if len(header) > 0 {
		t.Row(header...)
	}
	return t
}

// Table lines its rows up in columns.
type Table struct {
	p    *Printer
	rows bytes.Buffer
	w    *tabwriter.Writer
}

// Row adds a row. Each value is one cell, cut to 60 characters (200 for an address) unless it is
// Whole.
func (t *Table) Row(values ...any) {
	for i, v := range values {
		if i > 0 {
			io.WriteString(t.w, "\t")
		}
		io.WriteString(t.w, cellText(v))
	}
	io.WriteString(t.w, "\n")
}

// Flush prints the table.
func (t *Table) Flush() error {
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

// Whole is a value that keeps its runs of blanks and its length: a line of a log, or a sentence in
// a table.
type Whole string

// cell formats a value as usual and cleans the result.
type cell struct{ value any }

// Format implements fmt.Formatter. Text is cleaned first, then cut and padded to its column.
func (c cell) Format(f fmt.State, verb rune) {
	if !strings.ContainsRune("svq", verb) {
		io.WriteString(f, OneLine(fmt.Sprintf(fmt.FormatString(f, verb), c.value)))
		return
	}
	var format strings.Builder
	format.WriteString("%")
	for _, flag := range "+#" {
		if f.Flag(int(flag)) {
			format.WriteString(string(flag))
		}
	}
	text := OneLine(fmt.Sprintf(format.String()+string(verb), c.value))
	if _, ok := c.value.(Whole); !ok {
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

// cut returns at most so many characters of a text, ending in "…" if there were more.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:max(0, most-1)]) + "…"
}

// OneLine makes a text from elsewhere fit for one line: a character that would break the line or
// reach another column, or looks like a blank, becomes a blank; one that cannot be seen becomes the
// replacement character. The number of characters stays.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if blank(r) {
			return ' '
		}
		return shown(r)
	}, s)
}

// oneBlank joins runs of blanks, by which the end of a field could be moved to any column.
func oneBlank(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

// blank reports whether a character is a blank or looks like one. The fillers of Hangul are
// letters, and the empty pattern of Braille is a symbol.
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

// hidden reports whether a character steers a terminal, breaks a line or takes no place: the
// categories Cc, Cf, Zl and Zp.
func hidden(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// escapeJSON writes the hidden characters of compact JSON, all of which are in strings, as \u.
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
