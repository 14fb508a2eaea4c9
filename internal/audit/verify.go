package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// ErrBroken matches every [BrokenError].
var ErrBroken = errors.New("the audit log was tampered with or damaged")

// BrokenError says where a chain stops to hold.
type BrokenError struct {
	Segment string // the file's name; empty when a reader was verified
	Line    int    // in that file or reader, from 1; 0 when it is about the whole of it
	Seq     uint64 // the number of the entry that should be there
	Reason  string // in words
}

func (e *BrokenError) Error() string {
	where := fmt.Sprintf("entry %d", e.Seq)
	if e.Segment != "" {
		where += fmt.Sprintf(" (%s:%d)", e.Segment, e.Line)
	}
	return fmt.Sprintf("audit log: %s: %s", where, e.Reason)
}

// Is makes errors.Is(err, ErrBroken) true.
func (e *BrokenError) Is(target error) bool { return target == ErrBroken }

// Report is what a verification found to hold.
type Report struct {
	First   uint64 // the number of the oldest entry that is kept; 0 when there is none
	Entries uint64 // how many entries were read
	Head    Head   // the end of the chain
	// Torn is how many bytes follow the last whole line. A log in use has some for a moment, one
	// whose process was killed until it is opened again.
	Torn int64
	// Dropped is how many of the known heads are older than the oldest entry kept, so that nothing
	// can be said of them.
	Dropped int
}

// Verify reads the log in dir and returns a [BrokenError] for the first entry that was changed,
// removed, reordered or inserted, or the report when all is well. Each of known, a head that was
// told before, must be in the chain: that shows when the end was cut off, or the whole written
// anew. The log may be in use meanwhile.
func Verify(dir string, known ...Head) (Report, error) {
	// A segment may be dropped between the listing and the reading; a second look then finds what
	// is left.
	for try := 0; ; try++ {
		report, err := verifyDir(dir, known)
		if errors.Is(err, fs.ErrNotExist) && try < 3 {
			continue
		}
		return report, err
	}
}

func verifyDir(dir string, known []Head) (Report, error) {
	names, err := segments(dir)
	if err != nil {
		return Report{}, fmt.Errorf("verify audit log: %w", err)
	}
	if err := noDamaged(dir); err != nil {
		return Report{}, err
	}
	v := newVerifier(known)
	for i, n := range names {
		f, err := durable.Open(n.path)
		if err != nil {
			return v.report, fmt.Errorf("verify audit log: %w", err)
		}
		v.segment, v.first = filepath.Base(n.path), n.first
		err = errors.Join(v.read(f), f.Close())
		if err == nil && v.report.Torn > 0 && i < len(names)-1 {
			err = v.broken("its line has no end")
		}
		if err != nil {
			return v.report, err
		}
	}
	return v.report, v.finish()
}

// noDamaged finds segments that were put aside at an opening, and what is no file in
// place of one.
func noDamaged(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("verify audit log: %w", err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), damagedEnding) {
			return &BrokenError{Segment: f.Name(), Reason: "the segment has no good entry and was put aside"}
		}
		if strings.HasSuffix(f.Name(), segmentEnding) && !f.Type().IsRegular() && !f.IsDir() {
			return &BrokenError{Segment: f.Name(), Reason: "what is in place of the segment is no regular file"}
		}
	}
	return nil
}

// verifier follows one chain through its segments.
type verifier struct {
	report  Report
	known   map[uint64][]string // the hashes of known heads by number
	segment string              // the name of the file being read, if it is one
	first   uint64              // what that file is to begin with
	line    int
}

func newVerifier(known []Head) *verifier {
	v := &verifier{known: make(map[uint64][]string)}
	for _, h := range known {
		if h != (Head{}) {
			v.known[h.Count] = append(v.known[h.Count], h.Hash)
		}
	}
	return v
}

func (v *verifier) broken(format string, args ...any) error {
	return &BrokenError{Segment: v.segment, Line: v.line, Seq: v.report.Head.Count + 1, Reason: fmt.Sprintf(format, args...)}
}

// read follows the chain through the lines of r.
func (v *verifier) read(r io.Reader) error {
	v.line = 0
	lines := newLines(r)
	for {
		line, err := lines.next()
		if err == io.EOF {
			v.report.Torn = lines.torn
			if v.segment != "" && v.line == 0 && lines.torn == 0 {
				v.report.Torn = 1 // an empty segment: killed before its anchor
			}
			return nil
		}
		v.line++
		if errors.Is(err, errLong) {
			return v.broken("%v", err)
		}
		if err != nil {
			return fmt.Errorf("verify audit log: %w", err)
		}
		if err := v.next(line); err != nil {
			return err
		}
	}
}

// next checks one line against all before.
func (v *verifier) next(line []byte) error {
	e, err := unseal(line)
	if err != nil {
		return v.broken("%v", err)
	}
	if err := v.follows(e); err != nil {
		return err
	}
	if v.report.Entries == 0 {
		v.report.First = e.Seq
	}
	v.report.Entries++
	v.report.Head = Head{Count: e.Seq, Hash: e.Hash}
	for _, hash := range v.known[e.Seq] {
		if hash != e.Hash {
			return &BrokenError{Segment: v.segment, Line: v.line, Seq: e.Seq, Reason: "it is not the entry that was told before"}
		}
	}
	return nil
}

// follows returns why e cannot stand where it is.
func (v *verifier) follows(e Entry) error {
	head, begin := v.report.Head, v.report.Entries == 0
	switch {
	case begin && e.Kind != KindAnchor:
		return v.broken("the log begins without an anchor")
	case begin && (e.Seq == 0 || (e.Seq == 1) != (e.Prev == "")):
		return v.broken("the first anchor has no right place")
	case !begin && e.Seq != head.Count+1:
		return v.broken("entry %d stands there", e.Seq)
	case !begin && e.Prev != head.Hash:
		return v.broken("it does not follow the entry before it")
	case v.segment != "" && (v.line == 1) != (e.Kind == KindAnchor):
		return v.broken("an anchor, and only that, begins a segment")
	case v.segment != "" && v.line == 1 && e.Seq != v.first:
		return v.broken("the segment's name does not fit its anchor")
	}
	return nil
}

// finish looks for what was known and is not there.
func (v *verifier) finish() error {
	for count, hashes := range v.known {
		switch {
		case count > v.report.Head.Count:
			return &BrokenError{
				Seq: v.report.Head.Count + 1, Reason: fmt.Sprintf("the log ends before it, and had %d entries before", count),
			}
		case count < v.report.First:
			v.report.Dropped += len(hashes)
		}
	}
	return nil
}

var errLong = fmt.Errorf("the line has more than %d bytes", MaxLine)

// lines reads the lines of a log in bounded memory.
type lines struct {
	r    *bufio.Reader
	torn int64 // bytes after the last newline, known at io.EOF
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, MaxLine+1)} }

// next returns a line without its newline, which is valid until the next call. What follows the
// last newline is no line. A line that is too long is passed over, with errLong.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	switch {
	case err == nil:
		return bytes.TrimSuffix(line, []byte("\n")), nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, l.skip(int64(len(line)))
	case err == io.EOF:
		l.torn = int64(len(line))
	}
	return nil, err
}

// skip passes over the rest of a line, n bytes of which were read.
func (l *lines) skip(n int64) error {
	for {
		part, err := l.r.ReadSlice('\n')
		n += int64(len(part))
		switch {
		case err == nil:
			return errLong
		case err == io.EOF:
			l.torn = n
			return err
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
