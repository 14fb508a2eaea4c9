package logs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Query narrows what is read. The zero value asks for all that fits on a page.
type Query struct {
	Lines int   // most lines wanted, 0 for MaxLines
	Until int64 // leave out lines later than this, in Unix ms; 0 for no bound
}

func (q Query) lines() int {
	if q.Lines <= 0 {
		return MaxLines
	}
	return min(q.Lines, MaxLines)
}

// Page is a stretch of a log.
type Page struct {
	Lines []Line
	Next  int64 // where to read on
	// More is true when lines that match were left out because of a limit: later ones for Read,
	// earlier ones for Tail.
	More bool
	// Over is true when a line later than Until was met: nothing more will match.
	Over bool
	Gap  *Gap // what the reader missed before the first line, or nil
}

// Read returns the lines from offset on. An offset inside a line counts as that of the next one.
func (l *Log) Read(offset int64, q Query) (Page, error) {
	segments, end := l.snapshot()
	if offset < 0 || offset > end {
		return Page{}, fmt.Errorf("read log at %d, end is %d: %w", offset, end, ErrBeyondEnd)
	}
	page := Page{Next: offset}
	for _, s := range segments {
		if s.end() <= page.Next && s != segments[len(segments)-1] {
			continue
		}
		more, err := l.readSegment(&page, s, q)
		if err != nil {
			return Page{}, fmt.Errorf("read log: %w", err)
		}
		if !more {
			break
		}
	}
	return page, nil
}

// Tail returns the last lines.
func (l *Log) Tail(q Query) (Page, error) {
	segments, end := l.snapshot()
	if q.Until > 0 {
		var err error
		if end, err = l.OffsetAt(q.Until + 1); err != nil {
			return Page{}, err
		}
	}
	// A line costs more on a page than on disk, so that this window holds at least a page.
	oldest := segments[0].base
	page, kept := Page{Next: max(oldest, end-MaxPageBytes)}, []Line(nil)
	for page.Next < end {
		part, err := l.Read(page.Next, Query{})
		if err != nil {
			return Page{}, err
		}
		kept, page.Next = append(kept, part.Lines...), part.Next
		if len(part.Lines) == 0 {
			break
		}
	}
	page.Lines = lastThatFit(kept, end, q.lines())
	page.Next = end
	page.More = len(page.Lines) > 0 && page.Lines[0].Offset > oldest
	return page, nil
}

// lastThatFit returns the last n lines before end that fit on a page.
func lastThatFit(lines []Line, end int64, n int) []Line {
	for len(lines) > 0 && lines[len(lines)-1].Offset >= end {
		lines = lines[:len(lines)-1]
	}
	first, size := len(lines), 0
	for first > 0 && len(lines)-first < n {
		if size += lines[first-1].cost(); size > MaxPageBytes {
			break
		}
		first--
	}
	return lines[first:]
}

// OffsetAt returns the offset of the first line that is not earlier than the time in Unix ms, the
// end of the log when there is none.
func (l *Log) OffsetAt(ms int64) (int64, error) {
	segments, end := l.snapshot()
	from := segments[0].base
	for _, s := range segments[1:] {
		first, err := l.firstTime(s)
		if err != nil || first == 0 || first >= ms {
			break
		}
		from = s.base
	}
	for from < end {
		page, err := l.Read(from, Query{})
		if err != nil {
			return 0, err
		}
		for _, line := range page.Lines {
			if line.Time >= ms {
				return line.Offset, nil
			}
		}
		if page.Next == from {
			break
		}
		from = page.Next
	}
	return end, nil
}

// snapshot copies what a reader needs, so that it reads without the lock. Readers see whole lines
// only, because size grows after the bytes are written.
func (l *Log) snapshot() (segments []segment, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live != nil {
		l.refresh()
	}
	return append(segments, l.segments...), l.end()
}

// readSegment adds lines of s to the page; more is false when the page is complete.
func (l *Log) readSegment(page *Page, s segment, q Query) (more bool, err error) {
	f, err := durable.Open(l.path(s))
	if errors.Is(err, os.ErrNotExist) {
		return true, nil // dropped since the snapshot: the next one will show the gap
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if s.base > page.Next {
		if len(page.Lines) > 0 {
			return false, nil // a gap comes before the first line of a page only
		}
		page.Gap, page.Next = &Gap{From: page.Next, To: s.base}, s.base
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, page.Next-s.base, s.end()-page.Next), blockBytes)
	if err := toLineStart(f, r, page, s); err != nil {
		return false, err
	}
	return page.fill(r, q)
}

// toLineStart moves the page on when it stands inside a line.
func toLineStart(f io.ReaderAt, r *bufio.Reader, page *Page, s segment) error {
	if page.Next == s.base || page.Next >= s.end() {
		return nil
	}
	var before [1]byte
	if _, err := f.ReadAt(before[:], page.Next-s.base-1); err != nil {
		return ignoreEOF(err) // somebody has cut it
	}
	if before[0] != '\n' {
		_, n, err := readLine(r)
		page.Next += n
		return ignoreEOF(err)
	}
	return nil
}

// fill reads lines until the page is full; more is true when the reader ran out first.
func (p *Page) fill(r *bufio.Reader, q Query) (more bool, err error) {
	size := 0
	for i := range p.Lines {
		size += p.Lines[i].cost()
	}
	for {
		b, n, err := readLine(r)
		if err != nil {
			return true, ignoreEOF(err)
		}
		line, ok := parseRecord(bytes.TrimSuffix(b, []byte("\n")))
		if ok {
			line.Offset = p.Next
			p.Over = q.Until > 0 && line.Time > q.Until
			size += line.cost()
			p.More = !p.Over && (len(p.Lines) >= q.lines() || size > MaxPageBytes)
			if p.Over || p.More {
				return false, nil
			}
			p.Lines = append(p.Lines, line)
		}
		p.Next += n
	}
}

// readLine reads up to a line end and returns the number of bytes it took. A stretch longer than
// any line of ours, which only damage to the file can make, comes back as nothing.
func readLine(r *bufio.Reader) (line []byte, n int64, err error) {
	line, err = r.ReadSlice('\n')
	n = int64(len(line))
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.ReadSlice('\n')
		n += int64(len(line))
		line = nil
	}
	return line, n, err
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// firstTime reads the time of the first line of s, 0 when there is none.
func (l *Log) firstTime(s segment) (int64, error) {
	f, err := durable.Open(l.path(s))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := make([]byte, maxHeader)
	n, err := f.ReadAt(b, 0)
	return recordTime(b[:n]), ignoreEOF(err)
}

// cost bounds the size of the line as JSON: its keys and numbers, and its text with escapes.
func (l Line) cost() int {
	const keysAndNumbers = 100
	n := keysAndNumbers + len(l.Text)
	for i := range len(l.Text) {
		if c := l.Text[i]; c < ' ' || c == '"' || c == '\\' {
			n += len(`\u0000`) - 1
		}
	}
	return n
}
