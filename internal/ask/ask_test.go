package ask

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed-b490fa12/swarm/internal/output"
)

// person answers by in; the questions go to the buffer.
func person(in io.Reader) (*Person, *bytes.Buffer) {
	var out bytes.Buffer
	return New(in, output.New(&out)), &out
}

func TestLine(t *testing.T) {
	longest := strings.Repeat("x", maxAnswer-1)
	for _, tt := range []struct {
		name, in string
		want     []string
		err      error // after them
	}{
		{"nothing", "", nil, io.EOF},
		{"an empty line", "\n", []string{""}, io.EOF},
		{"two lines", "one\ntwo\n", []string{"one", "two"}, io.EOF},
		{"without an end", "one\ntwo", []string{"one", "two"}, io.EOF},
		{"of Windows", "one\r\ntwo\r\n", []string{"one", "two"}, io.EOF},
		{"the longest", longest + "\nnext\n", []string{longest, "next"}, io.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := person(iotest.OneByteReader(strings.NewReader(tt.in)))
			for i, want := range tt.want {
				if got, err := p.Line(); err != nil || got != want {
					t.Fatalf("line %d: got %.20q, %v, want %.20q", i, got, err, want)
				}
			}
			if got, err := p.Line(); !errors.Is(err, tt.err) || got != "" {
				t.Errorf("then got %q, %v, want %v", got, err, tt.err)
			}
		})
	}
}

// Whatever is on the other end of a pipe, little of it is read into memory.
func TestLineIsBounded(t *testing.T) {
	for name, in := range map[string]string{"a line": strings.Repeat("x", maxAnswer) + "\n", "no line": strings.Repeat("x", 1<<20)} {
		source := strings.NewReader(in)
		p, _ := person(source)
		if _, err := p.Line(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s that is too long: %v", name, err)
		}
		if read := len(in) - source.Len(); read > 4*maxAnswer {
			t.Errorf("%s: %d bytes were read", name, read)
		}
	}
}

// Only a clear yes is one, and the end of the input is none.
func TestConfirm(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want bool
		err  error
	}{
		{"y\n", true, nil},
		{"YES\n", true, nil},
		{" yes \n", true, nil},
		{"y", true, nil},
		{"n\n", false, nil},
		{"\n", false, nil},
		{"yes please\n", false, nil},
		{"ja\n", false, nil},
		{"", false, ErrNoAnswer},
	} {
		p, out := person(strings.NewReader(tt.in))
		if got, err := p.Confirm("Really?"); !errors.Is(err, tt.err) || got != tt.want {
			t.Errorf("%q: got %v, %v", tt.in, got, err)
		}
		if !strings.HasPrefix(out.String(), "Really? [y/N] ") || !strings.HasSuffix(out.String(), "\n") {
			t.Errorf("%q: asked %q", tt.in, out.String())
		}
	}
}

// An input that fails is no answer.
func TestBrokenInput(t *testing.T) {
	broken := errors.New("broken")
	p, _ := person(io.MultiReader(strings.NewReader("n"), iotest.ErrReader(broken)))
	if yes, err := p.Confirm("Really?"); yes || !errors.Is(err, broken) {
		t.Errorf("got %v, %v", yes, err)
	}
}

// A secret comes from a person at a terminal, and from nowhere else.
func TestSecretNeedsATerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for name, in := range map[string]io.Reader{"a reader": strings.NewReader("secret\n"), "a pipe": r} {
		p, out := person(in)
		if got, err := p.Secret("Passphrase: "); got != "" || !errors.Is(err, ErrNoTerminal) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if p.Present() || out.Len() > 0 {
			t.Errorf("%s: somebody is asked: %q", name, out)
		}
	}
}

// Several questions read on where the one before stopped.
func TestAskGoesOn(t *testing.T) {
	p, _ := person(strings.NewReader(" rig-01 \nyes\nleft"))
	name, err := p.Ask("Name: ", "none")
	if err != nil || name != "rig-01" {
		t.Errorf("got %q, %v", name, err)
	}
	if yes, err := p.Confirm("Right?"); err != nil || !yes {
		t.Errorf("got %v, %v", yes, err)
	}
	if line, err := p.Line(); err != nil || line != "left" {
		t.Errorf("got %q, %v", line, err)
	}
	if last, err := p.Ask("More: ", "none"); err != nil || last != "none" {
		t.Errorf("at the end: %q, %v", last, err)
	}
}
