package runcli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops/run"
)

const (
	// maxLine is the longest line that is printed behind a machine's name, in bytes; what is longer is
	// several lines.
	maxLine = 8 << 10
	// mostNamed is how many machines the last line names.
	mostNamed = 20
)

// view prints what commands print: of one machine byte by byte, of several in lines, each behind the
// name of its machine.
type view struct {
	*results.Printer
	single, raw bool

	lines map[source]*bytes.Buffer // what has no end of line yet
	code  *int                     // of the one machine
	bad   []string                 // the machines where it did not end with 0, and how it did
	count int                      // of machines that are done
	good  int

	detached bool // what was started goes on alone
}

// source is a stream of a machine.
type source struct {
	peer   peer.ID
	stream run.Stream
}

func newView(r *results.Printer, single, raw bool) *view {
	return &view{Printer: r, single: single, raw: raw, lines: make(map[source]*bytes.Buffer)}
}

// note takes note of how the command ended on a machine.
func (v *view) note(res agent.Result) {
	if !res.Done {
		return
	}
	if err := v.flushOf(res.Target); err != nil { // of one that was lost in the middle of a line
		v.Log.Debug("a line could not be written", "err", err)
	}
	v.count++
	v.code = res.Code
	o, err := outputOf(res)
	switch {
	case err == nil && o.Started != nil && o.Started.ID != "": // it goes on alone
		v.good++
		v.code, v.detached = new(int), true
	case res.Code == nil:
		v.bad = append(v.bad, res.Target.Label()+" (not known)")
	case *res.Code == 0:
		v.good++
	default:
		how := fmt.Sprintf("exit code %d", *res.Code)
		if err == nil && o.Exit != nil {
			how = o.Exit.String()
		}
		v.bad = append(v.bad, res.Target.Label()+" ("+how+")")
	}
}

func outputOf(res agent.Result) (o run.Output, err error) {
	err = json.Unmarshal(res.Payload, &o)
	return o, err
}

// show prints one item.
func (v *view) show(res agent.Result) error {
	o, err := outputOf(res)
	switch {
	case err != nil:
		return err
	case len(o.Data) > 0 && v.single:
		return v.bytes(o)
	case len(o.Data) > 0:
		return v.add(res.Target, o)
	case o.Exit != nil:
		return v.ended(res.Target, *o.Exit)
	case o.Gap != nil:
		v.Stderr.Printf("swarm: %s: %d bytes of output are kept no more\n", res.Target.Label(), o.Gap.To-o.Gap.From)
	case o.Detached != nil:
		return v.list(o.Detached)
	case o.Started != nil && o.Started.ID != "" && res.Done && v.single:
		v.Stdout.Println(o.Started.ID)
	case o.Started != nil && o.Started.ID != "" && res.Done:
		v.Stdout.Printf("%s: %s\n", res.Target.Label(), o.Started.ID)
	}
	return nil
}

// list prints the detached commands of a machine.
func (v *view) list(all []run.Detached) error {
	t := v.Stdout.Table("ID", "STARTED", "BYTES", "STATE", "COMMAND")
	for _, d := range all {
		state := "running"
		if d.Exit != nil {
			state = d.Exit.String()
		}
		t.Row(d.ID, time.UnixMilli(d.Since).Format(time.DateTime), d.Bytes, state, d.Command)
	}
	return t.Flush()
}

// to is our output that stands for a stream.
func (v *view) to(s run.Stream) *output.Printer {
	if s == run.Stderr {
		return v.Stderr
	}
	return v.Stdout
}

// bytes prints what one machine sends, as it comes: as it is, but on a terminal, which a machine is not
// to steer.
func (v *view) bytes(o run.Output) error {
	to := v.to(o.Stream)
	if v.raw || !output.IsTerminal(to) {
		_, err := to.Bytes().Write(o.Data)
		return err
	}
	rest := v.line(source{"", o.Stream})
	rest.Write(o.Data)
	whole := wholeRunes(rest.Bytes())
	text := bytes.ReplaceAll(rest.Next(whole), []byte("\r\n"), []byte("\n"))
	_, err := to.Write(text)
	return err
}

// wholeRunes is how many bytes there are without a character at the end that has not come whole, or a
// carriage return, which may be part of the end of a line.
func wholeRunes(b []byte) int {
	if len(b) > 0 && b[len(b)-1] == '\r' {
		return len(b) - 1
	}
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}

func (v *view) line(s source) *bytes.Buffer {
	b := v.lines[s]
	if b == nil {
		b = new(bytes.Buffer)
		v.lines[s] = b
	}
	return b
}

// add prints the lines that a machine has completed.
func (v *view) add(t agent.Target, o run.Output) error {
	rest := v.line(source{t.Peer, o.Stream})
	for data := o.Data; len(data) > 0; {
		line, more, ends := bytes.Cut(data, []byte("\n"))
		room := maxLine - rest.Len()
		if len(line) > room {
			line, more, ends = data[:room], data[room:], true
		}
		rest.Write(line)
		if ends || rest.Len() == maxLine {
			if len(more) > 0 && !ends && more[0] == '\n' {
				more = more[1:]
			}
			if err := v.print(t, o.Stream, rest); err != nil {
				return err
			}
		}
		data = more
	}
	return nil
}

// print prints a line behind the name of its machine.
func (v *view) print(t agent.Target, s run.Stream, line *bytes.Buffer) error {
	defer line.Reset()
	to := v.to(s)
	if v.raw {
		_, err := io.WriteString(to.Bytes(), output.OneLine(t.Label())+" | "+line.String()+"\n")
		return err
	}
	text := strings.ReplaceAll(strings.TrimSuffix(line.String(), "\r"), "\t", "    ")
	_, err := to.Printf("%s | %s\n", t.Label(), output.Whole(text))
	return err
}

// ended prints what has no end of line, and how the command ended, where that is not plain.
func (v *view) ended(t agent.Target, e run.Exit) error {
	err := v.flushOf(t)
	if e.OK() {
		return err
	}
	if !v.single || e.Code == nil || e.Why != "" {
		v.Stderr.Printf("swarm: %s: %s\n", t.Label(), e)
	}
	return err
}

// flushOf prints what a machine has sent without an end of line.
func (v *view) flushOf(t agent.Target) error {
	var all error
	for _, s := range []run.Stream{run.Stdout, run.Stderr} {
		if b := v.lines[source{t.Peer, s}]; b != nil && b.Len() > 0 {
			all = errors.Join(all, v.print(t, s, b))
		}
		delete(v.lines, source{t.Peer, s})
	}
	return all
}

// flush prints what is left of the one machine: a character that has not come whole.
func (v *view) flush() error {
	var all error
	for s, b := range v.lines {
		if b.Len() > 0 && s.peer == "" {
			_, err := v.to(s.stream).Write(b.Bytes())
			all = errors.Join(all, err)
		}
	}
	return all
}

// outcome says how the command ended on several machines, and returns what the exit code is to be.
func (v *view) outcome(ctx context.Context, sum agent.Summary) error {
	if v.single && v.count == 1 {
		switch {
		case v.code == nil:
			return &console.Exit{Code: OwnFailure}
		case *v.code == 0:
			return nil
		}
		return &console.Exit{Code: *v.code}
	}
	if ctx.Err() == nil && !v.JSON && v.count > 1 {
		what := "exit code 0"
		if v.detached {
			what = "started"
		}
		text := fmt.Sprintf("%s on %d of %d machines", what, v.good, v.count)
		if named := v.bad[:min(len(v.bad), mostNamed)]; len(named) > 0 {
			text += "; not on " + strings.Join(named, ", ")
		}
		if more := len(v.bad) - mostNamed; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		v.Stderr.Printf("swarm: %s\n", output.Whole(text))
	}
	return console.Judged(ctx, sum)
}
