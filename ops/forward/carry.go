package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/streams"
)

const (
	// firstPiece is how many bytes are carried at a time to begin with: most connections are idle. One that
	// fills it gets twice as many, up to mostPiece.
	firstPiece = 16 << 10
	mostPiece  = 128 << 10
	// lookEvery is how often a side that takes no bytes makes the other one be looked at: nobody reads
	// from that meanwhile, and it may be gone.
	lookEvery = time.Second
)

// carry carries bytes both ways between a TCP connection and one of the swarm until both sides have
// closed them, and closes both. What is not the proper end of one, and the end of ctx, resets both; err
// says why.
func carry(ctx context.Context, near *net.TCPConn, far *streams.Conn) (in, out int64, err error) {
	reset := sync.OnceFunc(func() {
		near.SetLinger(0) // its end is then told as a reset
		near.Close()
		far.Reset()
	})
	defer context.AfterFunc(ctx, reset)()
	var (
		inErr, outErr error
		inward        sync.WaitGroup
	)
	inward.Go(func() {
		if in, inErr = oneWay(near, far, far.Lost); inErr != nil {
			reset()
		}
	})
	if out, outErr = oneWay(far, near, func() error { return lost(near) }); outErr != nil {
		reset()
	}
	inward.Wait()
	if err = errors.Join(outErr, inErr); err == nil {
		err = errors.Join(near.Close(), far.Close())
	}
	return in, out, err
}

// end is what is written to.
type end interface {
	io.Writer
	CloseWrite() error
	SetWriteDeadline(time.Time) error
}

// oneWay carries bytes until the end of those of from, and passes that on.
func oneWay(to end, from io.Reader, lost func() error) (n int64, err error) {
	w := patient{end: to, lost: lost}
	buf := make([]byte, firstPiece)
	for {
		got, err := from.Read(buf)
		if got > 0 {
			written, fault := w.write(buf[:got])
			n += int64(written)
			if fault != nil {
				return n, fault
			}
		}
		switch {
		case err == io.EOF:
			return n, to.CloseWrite()
		case err != nil:
			return n, err
		case got == len(buf) && got < mostPiece:
			buf = make([]byte, 2*got)
		}
	}
}

// patient writes to one who may take as long as there is somebody to write for.
type patient struct {
	end
	lost  func() error
	until time.Time // the deadline that is set
}

func (p *patient) write(b []byte) (n int, err error) {
	for {
		if now := time.Now(); now.Add(lookEvery).After(p.until) {
			p.until = now.Add(2 * lookEvery)
			if err := p.SetWriteDeadline(p.until); err != nil {
				return n, err
			}
		}
		written, err := p.Write(b[n:])
		n += written
		switch {
		case err == nil && n == len(b):
			return n, nil
		case err == nil:
			return n, io.ErrShortWrite
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		}
		p.until = time.Time{}
		if err := p.lost(); err != nil {
			return n, err
		}
	}
}
