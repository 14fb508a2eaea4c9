package main

import (
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"
)

// screen is an output that knows how many columns it has.
type screen interface{ columns() int }

// columns returns how wide the terminal behind w is, and 0 where there is none.
func columns(w io.Writer) int {
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	width := 0
	switch w := w.(type) {
	case screen:
		width = w.columns()
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
func (p *printer) folded(text string) string { return fold(text, columns(p.w)) }

// folding folds what is written to a terminal in whole lines, as a log is.
type folding struct{ w io.Writer }

// Write implements io.Writer.
func (f folding) Write(b []byte) (int, error) {
	if _, err := io.WriteString(f.w, fold(string(b), columns(f.w))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// fold breaks lines that are wider than so many columns, at a blank where there is one.
// Each further piece begins with a mark, so that it looks like no line of its own.
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

// wide returns how many columns a text takes at most: what is not plain may take two.
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
