// Package ask asks the person at the terminal, and reads the answers from a pipe where there is
// none.
package ask

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/seed-b490fa12/swarm/internal/output"
)

const maxAnswer = 8 << 10 // bytes of a line

// ErrNoTerminal is returned where only a person at a terminal could answer.
var ErrNoTerminal = errors.New("there is no terminal to ask on")

// ErrNoAnswer is returned where a question that needs a yes met the end of the input.
var ErrNoAnswer = errors.New("nobody answered, as the input has ended; to go on without being asked: --yes")

// Person answers questions by the standard input. The zero value is not usable.
type Person struct {
	in    io.Reader
	lines *bufio.Reader // over in, from the first question on
	out   *output.Printer
}

// New returns the person who reads out and answers by in.
func New(in io.Reader, out *output.Printer) *Person { return &Person{in: in, out: out} }

// Present reports whether the answers come from a terminal.
func (p *Person) Present() bool { return output.IsTerminal(p.in) }

// Line reads a line without its end, of 8 KiB at most. It returns io.EOF at the end of the input.
func (p *Person) Line() (string, error) {
	if p.lines == nil {
		p.lines = bufio.NewReader(io.LimitReader(p.in, 4*maxAnswer))
	}
	line, err := p.lines.ReadString('\n')
	if len(line) > maxAnswer {
		return "", fmt.Errorf("the line is longer than %d bytes", maxAnswer)
	}
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

// Rest is what is left of the input, for another process that goes on to ask.
func (p *Person) Rest() io.Reader {
	if p.lines == nil || p.lines.Buffered() == 0 {
		return p.in
	}
	return io.MultiReader(p.lines, p.in)
}

// Ask asks a question and returns the answer, or otherwise if the input has ended.
func (p *Person) Ask(question, otherwise string) (string, error) {
	p.out.Printf("%s", question)
	answer, err := p.Line()
	if errors.Is(err, io.EOF) {
		p.out.Println()
		return otherwise, nil
	}
	if !p.Present() {
		p.out.Println()
	}
	return strings.TrimSpace(answer), err
}

// Confirm asks a question that is answered by yes or no. Where the input has ended nobody has said
// yes: the answer is no, and the error ErrNoAnswer.
func (p *Person) Confirm(question string) (bool, error) {
	const nobody = "\n" // no line has one
	answer, err := p.Ask(question+" [y/N] ", nobody)
	switch strings.ToLower(answer) {
	case "y", "yes":
		return true, err
	case nobody:
		return false, ErrNoAnswer
	}
	return false, err
}

// Secret reads a line that is not shown. Without a terminal it returns ErrNoTerminal.
func (p *Person) Secret(question string) (string, error) {
	f, ok := p.in.(*os.File)
	if !ok || !p.Present() {
		return "", ErrNoTerminal
	}
	p.out.Printf("%s", question)
	b, err := term.ReadPassword(int(f.Fd()))
	p.out.Println()
	return string(b), err
}
