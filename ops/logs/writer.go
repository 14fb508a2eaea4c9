package logs

import (
	"bytes"
	"sync"
	"unicode/utf8"
)

// Writer makes lines of what is written to it. It is safe for concurrent use; Close ends a last
// line that has no line end.
type Writer struct {
	log    *Log
	stream Stream

	mu   sync.Mutex
	rest []byte // guarded by mu: a line that is not complete yet, at most MaxText bytes
}

// Writer returns a writer for one stream of the log.
func (l *Log) Writer(stream Stream) *Writer { return &Writer{log: l, stream: stream} }

// Write appends the complete lines in p to the log and keeps what is left for the next call. A line
// longer than MaxText is split, between two characters if it can be.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	total := len(p)
	var lines [][]byte
	if len(w.rest) > 0 {
		p = append(w.rest, p...)
	}
	for {
		line, rest, ok := nextLine(p)
		if !ok {
			break
		}
		lines, p = append(lines, line), rest
	}
	if len(lines) > 0 {
		w.log.append(w.stream, lines...)
	}
	w.rest = append(w.rest[:0], p...)
	return total, nil
}

// Close writes what is left as a line. The writer can be used again after it.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) == 0 {
		return nil
	}
	w.log.append(w.stream, w.rest)
	w.rest = nil
	return nil
}

// nextLine cuts one line off p; false when there is no complete one.
func nextLine(p []byte) (line, rest []byte, ok bool) {
	head := p[:min(len(p), MaxText+1)]
	if i := bytes.IndexByte(head, '\n'); i >= 0 {
		return bytes.TrimSuffix(p[:i], []byte("\r")), p[i+1:], true
	}
	if len(p) <= MaxText {
		return nil, p, false
	}
	cut := splitAt(p)
	return p[:cut], p[cut:], true
}

// splitAt finds where to split a line that is too long: at the start of a character, if one starts
// near.
func splitAt(p []byte) int {
	for cut := MaxText; cut > MaxText-utf8.UTFMax; cut-- {
		if utf8.RuneStart(p[cut]) {
			return cut
		}
	}
	return MaxText
}
