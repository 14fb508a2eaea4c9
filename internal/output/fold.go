package output

import (
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"
)

// Screen is a writer that knows how many columns it has, as a terminal does.
type Screen interface {
	io.Writer
	Columns() int
}

// columns returns the width of the terminal behind w, or 0 if there is none.
func columns(w io.Writer) int {
	if c, ok := w.(*Checked); ok {
		w = c.w
	}
	width := 0
	switch w := w.(type) {
	case Screen:
		width = w.Columns()
	case *os.File:
		if !isatty.IsTerminal(w.Fd()) {
			return 0
		}
		width, _, _ = term.GetSize(int(w.Fd()))
	}
	if width <= 0 {
		return 0
	}
	return max(width, minColumns)
}

// folded folds the lines that are wider than the terminal.
func (p *Printer) folded(text string) string { return fold(text, columns(p.w)) }

// Folding returns a writer for whole lines, such as those of a log, that folds them to the width of
// the terminal behind w.
func Folding(w io.Writer) io.Writer { return folding{w} }

type folding struct{ w io.Writer }

// Write implements io.Writer.
func (f folding) Write(b []byte) (int, error) {
	if _, err := io.WriteString(f.w, fold(string(b), columns(f.w))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// fold breaks lines wider than width columns, at a blank if there is one. Each further piece begins
// with a mark, so it does not look like a line of its own.
func fold(text string, width int) string {
	if width == 0 {
		return text
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		line, ended := strings.CutSuffix(line, "\n")
		foldLine(&out, line, width)
		if ended {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

func foldLine(out *strings.Builder, line string, width int) {
	at := 0 // the column
	for line != "" {
		word := strings.TrimLeftFunc(line, blank)
		blanks := line[:len(line)-len(word)]
		if i := strings.IndexFunc(word, blank); i >= 0 {
			word = word[:i]
		}
		line = line[len(blanks)+len(word):]
		switch {
		case at+wide(blanks)+wide(word) <= width:
			out.WriteString(blanks)
			at += wide(blanks)
		case word == "":
			return
		case at > 0 || wide(blanks) >= width:
			out.WriteString("\n" + foldMark)
			at = wide(foldMark)
		default:
			out.WriteString(blanks)
			at = wide(blanks)
		}
		for _, r := range word {
			if at+wide(string(r)) > width {
				out.WriteString("\n" + foldMark)
				at = wide(foldMark)
			}
			out.WriteRune(r)
			at += wide(string(r))
		}
	}
}

// wide returns the most columns a text can take: a character that is not ASCII may take two.
func wide(s string) (n int) {
	for _, r := range s {
		switch {
		case r == '\t':
			n += 8
		case r < 0x80:
			n++
		default:
			n += 2
		}
	}
	return n
}
