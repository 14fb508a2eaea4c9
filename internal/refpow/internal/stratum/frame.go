package stratum

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxHeld is over how many lines a message may be spread.
	maxHeld = 128
	// maxResume is how often reading begins anew inside of one line.
	maxResume = 8
	// blank is what may stand around a message: white space, ends of C strings, byte order marks.
	blank = " \t\r\n\x00\ufeff"
)

// framer finds the messages in what was read. One stands in each line, as a rule; there may also be
// several in one, a list of them, one spread over several lines, or one without the end of its line.
type framer struct {
	buf   []byte // the line that has not ended yet
	skip  bool   // the rest of a line that was too long comes
	held  []byte // lines that may be the beginning of a message
	lines int    // in held
	ready []item
}

// item is a message, or what was wrong with a line.
type item struct {
	m   Message
	err error
}

// next takes the first message that is ready, or the reason why there is none in a line.
func (f *framer) next() (m Message, err error, ok bool) {
	if len(f.ready) == 0 {
		return Message{}, nil, false
	}
	first := f.ready[0]
	f.ready = f.ready[1:]
	return first.m, first.err, true
}

func (f *framer) tooLong() { f.bad(fmt.Errorf("%w: longer than %d bytes", ErrLine, MaxLine)) }

func (f *framer) bad(err error) { f.ready = append(f.ready, item{err: err}) }

// feed takes what was read.
func (f *framer) feed(b []byte) {
	f.buf = append(f.buf, b...)
	for {
		line, rest, ended := bytes.Cut(f.buf, []byte{'\n'})
		if !ended {
			break
		}
		f.buf = rest
		switch {
		case f.skip:
			f.skip = false
		case len(line) > MaxLine:
			f.tooLong()
		default:
			f.line(line)
		}
	}
	switch {
	case f.skip:
		f.buf = nil
	case len(f.buf) > MaxLine:
		f.buf, f.skip = nil, true
		f.tooLong()
	default:
		f.unended()
	}
}

// line takes one that has ended.
func (f *framer) line(line []byte) {
	line = bytes.Trim(line, blank)
	if len(line) == 0 {
		return
	}
	found, err := messages(line)
	switch {
	case len(f.held) > 0 && len(found) == 0:
		line = f.joined(line)
		found, err = messages(line)
	case len(f.held) > 0:
		f.bad(fmt.Errorf("%w: %.100q is cut off", ErrLine, f.held))
	}
	if len(found) == 0 && errors.Is(err, io.ErrUnexpectedEOF) && f.lines < maxHeld && len(line) < MaxLine {
		f.held, f.lines = bytes.Clone(line), f.lines+1
		return
	}
	f.held, f.lines = nil, 0
	for _, m := range found {
		f.ready = append(f.ready, item{m: m})
	}
	if err != nil {
		f.bad(err)
	}
}

// joined is a line with those before it that may belong to it.
func (f *framer) joined(line []byte) []byte {
	if len(f.held) == 0 {
		return line
	}
	return slices.Concat(f.held, []byte{'\n'}, line)
}

// unended takes a line without end when it is whole messages: a pool that leaves out the ends of
// lines would be waited for in vain.
func (f *framer) unended() {
	line := bytes.Trim(f.buf, blank)
	if len(line) == 0 || line[len(line)-1] != '}' && line[len(line)-1] != ']' {
		return
	}
	if found, err := messages(f.joined(line)); err == nil && len(found) > 0 {
		f.line(line)
		f.buf = nil
	}
}

// messages reads all that stand in a line. The error is about what is no message; it is
// [io.ErrUnexpectedEOF] when the line ends inside of one.
func messages(line []byte) (found []Message, wrong error) {
	for range maxResume {
		line = bytes.TrimLeft(line, blank+",;")
		if len(line) == 0 {
			return found, wrong
		}
		d := jsontext.NewDecoder(bytes.NewBuffer(line), lenient)
		v, err := d.ReadValue()
		for ; err == nil; v, err = d.ReadValue() {
			more, err := messagesOf(v)
			found = append(found, more...)
			wrong = errors.Join(wrong, err)
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return found, wrong
		}
		wrong = fmt.Errorf("%w: %.100q: %w", ErrLine, line, err)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return found, wrong
		}
		// What begins behind the place of the error may be one: a line cut off, and the next one joined.
		rest := line[d.InputOffset():]
		next := bytes.IndexByte(rest[min(1, len(rest)):], '{')
		if next < 0 {
			return found, wrong
		}
		line = rest[1+next:]
	}
	return found, wrong
}

// messagesOf reads a message, or a list of them.
func messagesOf(v jsontext.Value) ([]Message, error) {
	if v.Kind() != '[' {
		m, err := Parse(v)
		if err != nil {
			return nil, err
		}
		return []Message{m}, nil
	}
	var found []Message
	var wrong error
	for _, v := range Values(v) {
		m, err := Parse(v)
		if err != nil {
			wrong = err
			continue
		}
		found = append(found, m)
	}
	return found, wrong
}
