// Package output prints what a command has found: lines, tables and JSON, in which a value that
// came from a peer can neither break a line, nor reach another column, nor steer the terminal.
package output

import (
	"cmp"
	"io"
	"os"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/mattn/go-isatty"
)

// Std is the standard output and error of a command.
type Std struct {
	Stdout, Stderr *Printer
	JSON           bool // results are printed as one JSON object a line
}

// Print prints v as a line of JSON if JSON is set, and calls text otherwise.
func (s *Std) Print(v any, text func() error) error {
	if !s.JSON {
		return text()
	}
	return s.PrintJSON(v)
}

// PrintJSON prints v as a line of JSON, its moments in RFC 3339.
func (s *Std) PrintJSON(v any) error {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err == nil {
		b, err = withMoments(b)
	}
	if err != nil {
		return err
	}
	_, err = s.Stdout.Write(append(escapeJSON(b), '\n'))
	return err
}

// PrintList prints each value as a line of JSON if JSON is set, and calls text otherwise.
func PrintList[T any](s *Std, values []T, text func() error) error {
	if !s.JSON {
		return text()
	}
	for _, v := range values {
		if err := s.PrintJSON(v); err != nil {
			return err
		}
	}
	return nil
}

// Checked passes on what is written and keeps the first error: results that could not be written
// are no success.
type Checked struct {
	w io.Writer

	mu  sync.Mutex // guards err
	err error
}

// NewChecked returns a writer to w that keeps the first error.
func NewChecked(w io.Writer) *Checked { return &Checked{w: w} }

// Write implements io.Writer.
func (c *Checked) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.err = cmp.Or(c.err, err)
	}
	return n, err
}

// Err returns the first error of a write.
func (c *Checked) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// IsTerminal reports whether an input, or an output of this package, is a terminal.
func IsTerminal(w any) bool {
	if p, ok := w.(*Printer); ok {
		w = p.w
	}
	f := file(w)
	return f != nil && isatty.IsTerminal(f.Fd())
}

// file is the file behind a writer of this package; nil where there is none.
func file(w any) *os.File {
	if c, ok := w.(*Checked); ok {
		w = c.w
	}
	f, _ := w.(*os.File)
	return f
}
