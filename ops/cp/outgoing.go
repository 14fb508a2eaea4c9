package cp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/seed-b490fa12/swarm/streams"
)

// outgoing are the files of a session that are sent, one after the other.
type outgoing struct {
	*source
	*wire
	buf     []byte
	told    func(bytes int64) // is told of contents as they leave
	failing func(fault error) // is told of a fault before the other side is
}

func newOutgoing(s *source, w *wire) *outgoing {
	return &outgoing{source: s, wire: w, buf: make([]byte, MaxPiece), told: func(int64) {}, failing: func(error) {}}
}

// sending is one file that is sent.
type sending struct {
	*outgoing
	f    *os.File
	info fs.FileInfo
	path string
	hash hash.Hash // of what is before from
	from int64
}

// begin opens a file that is to be as it was looked at, and finds how much of it the other side has. The
// error is a [*changedError] where it is another one by now. tell is called now and then.
func (o *outgoing) begin(ctx context.Context, e Entry, kept []Mark, tell func(int64) error) (*sending, error) {
	f, info, err := o.source.open(e.Path)
	if err != nil {
		return nil, err
	}
	s := &sending{outgoing: o, f: f, info: info, path: e.Path}
	if now := entryOf(e.Path, info); !now.same(e) {
		err = &changedError{now}
	} else {
		err = s.match(ctx, kept, tell)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (s *sending) close() error { return s.f.Close() }

// match compares what the other side has kept, and goes to where that is not the same any more.
func (s *sending) match(ctx context.Context, kept []Mark, tell func(int64) error) error {
	s.hash = sha256.New()
	h := sha256.New()
	at := int64(0)
	for _, m := range kept {
		n, err := hashOn(ctx, h, s.f, m.At-at, at, tell)
		if at += n; err == io.EOF {
			break // it is shorter now, as sending it will show
		}
		if err != nil {
			return err
		}
		if Sum(h.Sum(nil)) != m.SHA256 {
			break
		}
		known, err := clone(h, at)
		if err != nil {
			return err
		}
		s.hash, s.from = known.hash, at
	}
	_, err := s.f.Seek(s.from, io.SeekStart)
	return err
}

// send sends the contents, from where they are not known on, and the hash of the whole file. A fault is of
// the file, and the other side knows of it; an err ends the session.
func (s *sending) send(ctx context.Context) (fault, err error) {
	for left := s.info.Size() - s.from; left > 0 && fault == nil; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var n int
		n, fault = io.ReadFull(s.f, s.buf[:min(left, MaxPiece)])
		left -= int64(n)
		if fault == nil {
			s.hash.Write(s.buf[:n])
			if err := s.piece(s.buf[:n]); err != nil {
				return nil, err
			}
			s.told(int64(n))
		}
	}
	now, statErr := s.f.Stat()
	switch ended := errors.Is(fault, io.EOF) || errors.Is(fault, io.ErrUnexpectedEOF); {
	case statErr != nil:
		fault = statErr
	case ended || now.Size() != s.info.Size() || !now.ModTime().Equal(s.info.ModTime()):
		fault = &changedError{entryOf(s.path, now)}
	}
	if fault != nil {
		s.failing(fault)
		return fault, s.pieces(tail{Error: newFault(fault)})
	}
	sum := Sum(s.hash.Sum(nil))
	return nil, s.pieces(tail{SHA256: &sum})
}

// take takes the contents of a file, which begin at from. A fault is of the file, and err ends the session;
// with either it was abandoned.
func (w *wire) take(in *incoming, from int64, buf []byte, told func(bytes int64)) (sum Sum, fault, err error) {
	if from < 0 || from > in.want.Size {
		in.abandon(true)
		return sum, nil, broke("contents from %d on, of %d bytes", from, in.want.Size)
	}
	fault = in.begin(from)
	t, refused, err := w.contents(in.want.Size-from, buf, func(b []byte, hole bool) error {
		if fault != nil {
			return fault
		}
		told(int64(len(b)))
		return in.write(b, hole)
	})
	if err != nil {
		in.abandon(streams.Interrupted(err))
		return sum, nil, err
	}
	if fault = cmp.Or(fault, refused); fault == nil && t.Error != nil {
		fault = t.Error.err()
		if t.Error.Now != nil {
			fault = &changedError{*t.Error.Now}
		}
	}
	if fault != nil {
		in.abandon(false)
		return sum, fault, nil
	}
	return *t.SHA256, nil, nil
}

// newFault is an error for the other side.
func newFault(err error) *fault {
	e := explained(err)
	f := &fault{Code: e.Code, Message: e.Message}
	if changed, ok := errors.AsType[*changedError](err); ok {
		f.Now = &changed.now
	}
	return f
}

const maxWords = 1 << 10 // bytes of a message of the other side

// err is what the other side says.
func (f *fault) err() error {
	words := f.Message
	if len(words) > maxWords {
		words = words[:maxWords]
	}
	return streams.Errorf(f.Code, "%s", words)
}
