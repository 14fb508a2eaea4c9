package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams/bulk"
)

// Sized is a payload that announces raw bytes. Its JSON has them as "size".
type Sized interface {
	// UploadSize is how many raw bytes follow the frame.
	UploadSize() int64
}

// Upload is a message type whose request is followed by raw bytes, as many as its payload says, and
// answered by one reply.
type Upload[Req Sized, Res any] struct {
	Family         Family
	Request, Reply Type
	Verb           Verb
}

// Spec returns the declaration without its payload types.
func (u Upload[Req, Res]) Spec() Spec {
	return Spec{u.Family, ShapeUpload, u.Request, u.Reply, u.Verb}
}

// Do sends req and then req.UploadSize() bytes of body to p, and returns the reply. The peer may
// answer before it has read all; then the rest is not sent.
func (u Upload[Req, Res]) Do(ctx context.Context, cl *Client, p peer.ID, req Req, body io.Reader) (Res, error) {
	var res Res
	err := cl.upload(ctx, p, u.Spec(), req, io.LimitReader(body, req.UploadSize()), req.UploadSize(), &res)
	return res, err
}

// Handle registers fn as the handler of this type. body yields exactly req.UploadSize() bytes, or
// io.ErrUnexpectedEOF when the peer sent fewer; fn need not read all of it. The context ends also
// when the peer resets the stream, at the latest when all of the body was read: a sender that has
// gone takes back what it has not seen the end of. It ends, too, when the peer loses its right (which
// is looked at again every 10 s). body has a method CloseRead() error, which ends a read under way
// and all later ones; another goroutine may call it until fn returns.
func (u Upload[Req, Res]) Handle(
	m *Mux, fn func(ctx context.Context, p Peer, req Req, body io.Reader) (Res, error)) error {
	return m.register(u.Spec(), func(ctx context.Context, x *exchange) error {
		x.spent = true // until the body was read
		req, err := payloadOf[Req](x)
		if err != nil {
			return err
		}
		size := req.UploadSize()
		if size < 0 {
			return Errorf(CodeInvalid, "payload: size %d is negative", size)
		}
		return x.once(ctx, req, func() (any, error) {
			ctx, cancel := context.WithCancelCause(ctx)
			var asking sync.WaitGroup
			defer asking.Wait()
			defer cancel(nil)
			asking.Go(func() { cancel(x.whilePermitted(ctx)) })
			body := &bodyReader{x: x, left: size, cancel: cancel}
			defer body.end()
			body.watch()
			res, err := fn(ctx, x.peer, req, body)
			x.spent = body.left > 0
			if gone, ok := errors.AsType[*Error](context.Cause(ctx)); ok && err != nil {
				err = gone // the sender, or its right
			}
			return res, err
		})
	})
}

// errSenderGone ends the handler of an upload whose sender went away.
var errSenderGone = &Error{Code: CodeUnavailable, Message: "the sender of the upload is gone"}

// bodyReader reads the raw bytes behind a request; each read may take Limits.Stall. After the last
// one it looks whether the sender is still there.
type bodyReader struct {
	x      *exchange
	left   int64
	err    error // of an earlier read
	cancel context.CancelCauseFunc

	watching sync.WaitGroup
	watched  bool
	ending   atomic.Bool
}

// watch cancels the handler when the peer resets the stream, once there is no body left to read.
func (b *bodyReader) watch() {
	if b.left > 0 || b.watched {
		return
	}
	b.watched = true
	b.watching.Go(func() {
		// The end of the peer's writing side is no reset, and a next request stays in the buffer.
		if _, err := b.x.br.Peek(1); err != nil && !errors.Is(err, io.EOF) && !b.ending.Load() {
			b.cancel(errSenderGone)
		}
	})
}

// end stops watching, so that others may read the stream, also after CloseRead: the sender is still
// to see the answer.
func (b *bodyReader) end() {
	if b.watched {
		b.ending.Store(true)
		b.x.SetReadDeadline(past)
		b.watching.Wait()
	}
	b.x.SetReadDeadline(time.Time{})
}

// CloseRead ends a read under way, and all later ones.
func (b *bodyReader) CloseRead() error { return b.x.SetReadDeadline(past) }

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.left == 0 || b.err != nil {
		return 0, cmp.Or(b.err, io.EOF)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	b.x.dog.arm(b.x.mux.cfg.Limits.Stall)
	n, err := b.x.br.Read(p)
	b.x.dog.disarm()
	b.left -= int64(n)
	defer b.watch()
	switch {
	case err == io.EOF && b.left > 0:
		err = io.ErrUnexpectedEOF
	case err != nil && b.x.late():
		err = Errorf(CodeTimeout, "no byte of the upload arrived for %v", b.x.mux.cfg.Limits.Stall)
	}
	b.err = err
	return n, err
}

// upload sends one request and its raw bytes while it waits for the reply, which may come before
// all bytes are sent. The stream is not kept.
func (c *Client) upload(
	ctx context.Context, p peer.ID, s Spec, req any, body io.Reader, size int64, res any) (err error) {
	r := c.newRequest(p, s)
	defer func() { err = r.done(ctx, err) }()
	if err := r.open(ctx, false); err != nil {
		return err
	}
	if err := r.send(req); err != nil {
		r.discard(err)
		return err
	}
	link := c.bulks.Begin(r.st.Conn())
	defer c.bulks.End(r.st.Conn())
	sending, stop := context.WithCancel(ctx)
	defer stop()
	sent := make(chan error, 1)
	go func() { sent <- r.sendBody(bulk.NewWriter(sending, r.st, link), body, size) }()
	m, err := r.receive()
	r.discard(errStopped) // unblocks the sender
	stop()
	fault := <-sent
	switch {
	case err == nil:
		return r.decode(m, res)
	case fault != nil && !errors.As(err, new(answerError)):
		return localError{fault}
	}
	return err
}

// sendBody sends the raw bytes of an upload. It returns, and resets the stream for, an error of
// body itself; an error of the stream is reported by the receiver.
func (r *request) sendBody(to io.Writer, body io.Reader, size int64) error {
	src := &source{Reader: body}
	n, err := io.Copy(to, src)
	switch {
	case src.err != nil:
		err = fmt.Errorf("read the body: %w", src.err)
	case err == nil && n < size:
		err = fmt.Errorf("the body has %d bytes, %d were announced: %w", n, size, io.ErrUnexpectedEOF)
	default:
		return nil
	}
	r.st.Reset()
	return err
}

// source keeps the error of a reader apart from that of the writer it is copied to.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != io.EOF {
		s.err = err
	}
	return n, err
}
