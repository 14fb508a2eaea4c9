package run

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	// maxSpool is how much of a command's output is kept on the disk, and partSize how much of it goes at a
	// time when there is more.
	maxSpool = 64 << 20
	partSize = 4 << 20
	// recordHead is what stands before each piece of output: the stream, and how many bytes follow.
	recordHead = 1 + 4
)

// spool keeps what a command prints, in the order in which it came. Of more than it may keep the oldest
// part goes, and so does all where it cannot be written: a reader is told of the gap.
type spool struct {
	dir       string
	most, cut int64 // maxSpool and partSize

	mu    sync.Mutex
	parts []part        // guarded by mu: the oldest first
	out   *os.File      // guarded by mu: the last part; nil where there is none
	from  int64         // guarded by mu: bytes up to here are gone
	next  int64         // guarded by mu: bytes that were printed
	over  bool          // guarded by mu: no more comes
	grown chan struct{} // guarded by mu: closed, and replaced, when something has changed
}

// part is a file of the spool.
type part struct{ from, size int64 }

func (s *spool) path(p part) string { return filepath.Join(s.dir, fmt.Sprintf("%016x", p.from)) }

func newSpool(dir string) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &spool{dir: dir, most: maxSpool, cut: partSize, grown: make(chan struct{})}, nil
}

// write keeps a piece of output.
func (s *spool) write(stream Stream, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.append(stream, data); err != nil {
		s.drop(len(s.parts))
		s.from = s.next + int64(len(data))
	}
	s.next += int64(len(data))
	s.wake()
}

// append writes a record; s.mu is held.
func (s *spool) append(stream Stream, data []byte) error {
	if n := len(s.parts); s.out == nil || s.parts[n-1].size >= s.cut {
		p := part{from: s.next}
		f, err := durable.OpenFile(s.path(p), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		if s.out != nil {
			s.out.Close()
		}
		s.out, s.parts = f, append(s.parts, p)
	}
	record := append(make([]byte, 0, recordHead+len(data)), 0)
	if stream == Stderr {
		record[0] = 1
	}
	record = append(binary.BigEndian.AppendUint32(record, uint32(len(data))), data...)
	if _, err := s.out.Write(record); err != nil {
		return err
	}
	s.parts[len(s.parts)-1].size += int64(len(record))
	sum := int64(0)
	for _, p := range s.parts {
		sum += p.size
	}
	for sum > s.most && len(s.parts) > 1 {
		sum -= s.parts[0].size
		s.drop(1)
		s.from = s.parts[0].from
	}
	return nil
}

// drop removes the oldest parts; s.mu is held.
func (s *spool) drop(n int) {
	if n == len(s.parts) && s.out != nil {
		s.out.Close()
		s.out = nil
	}
	for _, p := range s.parts[:n] {
		_ = os.Remove(s.path(p)) // what is left of it goes with the directory
	}
	s.parts = s.parts[n:]
}

// wake tells the readers; s.mu is held.
func (s *spool) wake() {
	close(s.grown)
	s.grown = make(chan struct{})
}

// end says that no more comes.
func (s *spool) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.out != nil {
		s.out.Close()
	}
	s.wake()
}

// bytes is how many were printed.
func (s *spool) bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// spoolReader reads a spool from an offset on, beside its writer. It is for one goroutine.
type spoolReader struct {
	s   *spool
	at  int64    // bytes that were read
	f   *os.File // nil where none is open
	pos int64    // bytes up to the next record in it
}

// reader returns one that begins behind so many bytes.
func (s *spool) reader(offset int64) (*spoolReader, error) {
	if n := s.bytes(); offset > n {
		return nil, fmt.Errorf("offset: %d bytes are said to be there already, and %d were printed", offset, n)
	}
	return &spoolReader{s: s, at: offset}, nil
}

func (r *spoolReader) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
}

// next returns the next piece, when there is one; io.EOF behind the last one.
func (r *spoolReader) next(ctx context.Context) (Output, error) {
	for {
		gap, wait, err := r.find()
		switch {
		case err != nil:
			return Output{}, err
		case gap != nil:
			return Output{Gap: gap, Next: r.at}, nil
		case wait != nil:
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return Output{}, context.Cause(ctx)
			}
		}
		stream, data, err := r.record()
		if errors.Is(err, io.EOF) {
			r.close() // the next part has more
			continue
		}
		if err != nil {
			return Output{}, fmt.Errorf("read the output: %w", err)
		}
		if skip := r.at - (r.pos - int64(len(data))); skip < int64(len(data)) {
			r.at = r.pos
			return Output{Stream: stream, Data: data[skip:], Next: r.at}, nil
		}
	}
}

// find opens the part that has what comes next, or returns what is gone, or what to wait for.
func (r *spoolReader) find() (gap *Gap, wait <-chan struct{}, err error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.f != nil && r.at < s.next: // it is read to its end, also where it has no name any more
		return nil, nil, nil
	case r.at < s.from:
		gap = &Gap{r.at, s.from}
		r.at = s.from
		return gap, nil, nil
	case r.at == s.next && s.over:
		return nil, nil, io.EOF
	case r.at == s.next:
		return nil, s.grown, nil
	}
	i := len(s.parts) - 1
	for s.parts[i].from > r.at {
		i--
	}
	r.pos = s.parts[i].from
	if r.f, err = durable.Open(s.path(s.parts[i])); err != nil {
		r.f = nil
	}
	return nil, nil, err
}

// record reads the next record of the part that is open; io.EOF where there is none.
func (r *spoolReader) record() (Stream, []byte, error) {
	var head [recordHead]byte
	if _, err := io.ReadFull(r.f, head[:]); err != nil {
		return "", nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxData {
		return "", nil, errors.New("it is damaged")
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r.f, data); err != nil {
		return "", nil, errors.New("it is cut")
	}
	r.pos += int64(n)
	if head[0] == 1 {
		return Stderr, data, nil
	}
	return Stdout, data, nil
}
