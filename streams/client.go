package streams

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"
)

// Client sends requests. It keeps the streams it opened and uses them again, one
// request at a time on each. Its methods may be called concurrently.
type Client struct {
	host Host
	cfg  Config
	self sender
	kept pools
}

// NewClient returns a client that opens its streams on h.
func NewClient(h Host, cfg Config) *Client {
	cfg = cfg.withDefaults()
	c := &Client{host: h, cfg: cfg, self: newSender(h.ID())}
	c.kept.limits = cfg.Limits
	c.kept.notifiee = &network.NotifyBundle{
		ConnectedF:    func(_ network.Network, conn network.Conn) { c.kept.connected(conn) },
		DisconnectedF: func(_ network.Network, conn network.Conn) { c.kept.disconnected(conn) },
	}
	h.Network().Notify(c.kept.notifiee)
	return c
}

// Close closes the kept streams. Calls under way are not touched; they end
// with their contexts.
func (c *Client) Close() error {
	c.host.Network().StopNotify(c.kept.notifiee)
	c.kept.close()
	return nil
}

// clientStream is a stream to a peer, with its read buffer.
type clientStream struct {
	network.Stream
	key     poolKey
	remote  sender
	br      *bufio.Reader
	in      []byte
	expires *time.Timer // set while the stream is idle in its pool
	used    bool        // carried an exchange before
}

// request is one request of the client.
type request struct {
	c     *Client
	to    peer.ID
	spec  Spec
	id    uuid.UUID
	began time.Time
	st    *clientStream
	stop  func() bool // unties st from the context
	reply Message     // the last message received; its payload aliases st.in
}

func (c *Client) newRequest(p peer.ID, s Spec) *request {
	return &request{c: c, to: p, spec: s, id: uuid.New(), began: time.Now()}
}

// call does one exchange and retries it once on a new stream, with the same
// ID, when a kept stream turns out to be dead.
func (c *Client) call(ctx context.Context, p peer.ID, s Spec, req, res any) (err error) {
	r := c.newRequest(p, s)
	defer func() { err = r.done(ctx, err) }()
	release, err := c.kept.slot(ctx, r.key())
	if err != nil {
		return err
	}
	defer release()
	for attempt := 0; ; attempt++ {
		if err := r.open(ctx, attempt == 0); err != nil {
			return err
		}
		stale, err := r.roundTrip(req, res)
		r.release(err)
		if !stale || attempt > 0 || ctx.Err() != nil {
			return err
		}
	}
}

// callOn does one exchange on a stream of its own, over conn.
func (c *Client) callOn(ctx context.Context, conn network.Conn, s Spec, req, res any) (t Timing, err error) {
	r := c.newRequest(conn.RemotePeer(), s)
	defer func() { err = r.done(ctx, err) }()
	stream, err := openOn(ctx, conn, s.Family.proposals())
	if err != nil {
		return t, err
	}
	r.use(ctx, &clientStream{Stream: stream, key: r.key(), remote: newSender(r.to), br: getReader(stream)})
	t.Sent = time.Now()
	_, err = r.roundTrip(req, res)
	t.Received, t.Answered = time.Now(), r.reply.Timestamp
	r.discard(err)
	return t, err
}

func (r *request) key() poolKey { return poolKey{r.to, r.spec.Family.Name} }

// open takes a kept stream or opens a new one, and ties it to ctx.
func (r *request) open(ctx context.Context, keptToo bool) error {
	if keptToo {
		if st := r.c.kept.take(r.key()); st != nil {
			r.use(ctx, st)
			return nil
		}
	}
	st, err := r.c.newStream(ctx, r.to, r.spec.Family)
	if err != nil {
		return err
	}
	r.use(ctx, st)
	return nil
}

func (r *request) use(ctx context.Context, st *clientStream) {
	r.st = st
	r.stop = context.AfterFunc(ctx, func() { st.Reset() })
}

func (c *Client) newStream(ctx context.Context, p peer.ID, f Family) (*clientStream, error) {
	// Our own relays carry control messages without a limit.
	s, err := c.host.NewStream(network.WithAllowLimitedConn(ctx, f.Name), p, c.propose(p, f)...)
	if err != nil {
		return nil, openError{err}
	}
	if f.Name != lifecycleName {
		if err := c.cfg.Ready(ctx, s.Conn()); err != nil {
			s.Reset()
			return nil, err
		}
	}
	return &clientStream{Stream: s, key: poolKey{p, f.Name}, remote: newSender(p), br: getReader(s)}, nil
}

// propose returns the protocol IDs to open a stream to p with, the highest
// version first. libp2p prefers an ID that p announced letter by letter to a
// higher one that p accepts, so where p announced what it speaks, the choice is
// made here.
func (c *Client) propose(p peer.ID, f Family) []protocol.ID {
	ids := f.proposals()
	if len(ids) < 2 {
		return ids
	}
	announced, err := c.host.Network().Peerstore().GetProtocols(p)
	if err != nil {
		return ids // negotiation finds out
	}
	for i, id := range ids {
		if slices.ContainsFunc(announced, func(theirs protocol.ID) bool { return f.matches(id, theirs) }) {
			return ids[i : i+1]
		}
	}
	return ids
}

// openOn opens a stream over this connection and no other.
func openOn(ctx context.Context, conn network.Conn, ids []protocol.ID) (network.Stream, error) {
	s, err := conn.NewStream(network.WithAllowLimitedConn(ctx, "swarm"))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	id, err := msmux.SelectOneOf(ids, s)
	if !stop() {
		return nil, ctx.Err()
	}
	if err == nil {
		err = s.SetProtocol(id)
	}
	if err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

// roundTrip sends the request and reads its reply into res. stale tells that
// the stream had been kept and died before it gave any answer: the request may
// be sent again on another one.
func (r *request) roundTrip(req, res any) (stale bool, err error) {
	if err := r.send(req); err != nil {
		return r.stale(err), err
	}
	m, err := r.receive()
	if err != nil {
		return r.stale(err), err
	}
	return false, r.decode(m, res)
}

// stale tells whether err says no more than that a kept stream had died.
func (r *request) stale(err error) bool {
	answered := errors.As(err, new(answerError)) || errors.As(err, new(localError)) || errors.Is(err, ErrBadReply)
	return r.st.used && !answered
}

func (r *request) send(req any) error {
	h := header{id: r.id, typ: r.spec.Request, sender: r.c.self.text, timestamp: time.Now()}
	out := frames.Get().(*frame)
	defer out.release()
	b, err := out.encodeFrame(h, req, r.c.cfg.Limits.Frame)
	if err != nil {
		return localError{err}
	}
	_, err = r.st.Write(b)
	return err
}

// ErrBadReply is in the chain of an error about a reply that breaks the
// protocol: it is not JSON, not from the peer, or not an answer to the request.
var ErrBadReply = errors.New("bad reply")

// receive reads one message that answers the request. An error message is
// returned as the error it carries.
func (r *request) receive() (*Message, error) {
	in, err := readFrame(r.st.br, r.st.in, MaxFrame, nil)
	r.st.in = in
	if err != nil {
		if errors.As(err, new(tooLargeError)) || errors.Is(err, ErrInvalid) {
			err = fmt.Errorf("%w: %s", ErrBadReply, err.Error())
		}
		return nil, err
	}
	m := &r.reply
	*m = Message{}
	if err := decodeEnvelope(in, m, r.st.remote, r.c.cfg.Limits.Depth); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrBadReply, err.Error())
	}
	err = ValidateResponse(&Message{ID: r.id}, m, r.to, r.spec.Reply)
	if e, ok := errors.AsType[*Error](err); ok {
		return nil, answerError{e}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadReply, err)
	}
	return m, nil
}

func (r *request) decode(m *Message, res any) error {
	if err := m.ParsePayload(res); err != nil {
		return fmt.Errorf("%w: %s", ErrBadReply, err.Error())
	}
	return nil
}

// answerError is an error that the peer answered with: the stream is fine.
type answerError struct{ err *Error }

func (e answerError) Error() string { return e.err.Error() }
func (e answerError) Unwrap() error { return e.err }

// localError is an error of ours from before anything was sent.
type localError struct{ err error }

func (e localError) Error() string { return e.err.Error() }
func (e localError) Unwrap() error { return e.err }

// openError is an error of opening a stream: the peer was not reached.
type openError struct{ err error }

func (e openError) Error() string { return e.err.Error() }
func (e openError) Unwrap() error { return e.err }

// release ends the use of the stream: it is kept for the next request when
// this one left it clean.
func (r *request) release(err error) {
	untied := r.stop()
	answered := err == nil || errors.As(err, new(answerError)) || errors.As(err, new(localError))
	if !untied || !answered {
		r.st.Reset()
		putReader(r.st.br)
		return
	}
	r.st.used = true
	r.c.kept.put(r.st)
}

// discard ends the use of a stream that is not kept.
func (r *request) discard(err error) {
	if untied := r.stop(); !untied || err != nil {
		r.st.Reset()
	} else {
		r.st.Close()
	}
	putReader(r.st.br)
}

// done turns err into what the caller gets, and reports the outcome.
func (r *request) done(ctx context.Context, err error) error {
	err = callerError(ctx, r.to, r.spec.Family, err)
	r.c.cfg.Observe(Outcome{
		Peer: r.to, Family: r.spec.Family.Name, Type: r.spec.Request,
		Err: err, Duration: time.Since(r.began),
	})
	return err
}

// notify sends one message on a stream of its own and waits for its end.
func (c *Client) notify(ctx context.Context, p peer.ID, s Spec, v any) (err error) {
	r := c.newRequest(p, s)
	defer func() { err = r.done(ctx, err) }()
	if err := r.open(ctx, false); err != nil {
		return err
	}
	defer func() { r.discard(err) }()
	if err := r.send(v); err != nil {
		return err
	}
	if err := r.st.CloseWrite(); err != nil {
		return err
	}
	_, err = r.receive()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// feed sends one request and hands each item to next, which tells whether it
// wants more.
func (c *Client) feed(ctx context.Context, p peer.ID, s Spec, req any, next func(*Message) (bool, error)) (err error) {
	r := c.newRequest(p, s)
	defer func() { err = r.done(ctx, err) }()
	first, err := r.begin(ctx, req)
	if err != nil {
		return err
	}
	wanted, ended := true, false
	defer func() {
		if err == nil && !ended {
			err, wanted = errStopped, false
		}
		r.release(err)
		if errors.Is(err, errStopped) {
			err = nil
		}
	}()
	for m := first; ; {
		if wanted, err = next(m); err != nil {
			return fmt.Errorf("%w: %s", ErrBadReply, err.Error())
		}
		if ended = m.End; ended || !wanted {
			return nil
		}
		if m, err = r.receive(); err != nil {
			return err
		}
	}
}

// errStopped says that the caller of a feed wants no more items.
var errStopped = errors.New("no more items wanted")

// begin sends the request of a feed and returns its first item; a kept stream
// that turns out to be dead is replaced once.
func (r *request) begin(ctx context.Context, req any) (*Message, error) {
	for attempt := 0; ; attempt++ {
		if err := r.open(ctx, attempt == 0); err != nil {
			return nil, err
		}
		var m *Message
		err := r.send(req)
		if err == nil {
			m, err = r.receive()
		}
		if err == nil {
			return m, nil
		}
		stale := r.stale(err)
		r.release(err)
		if !stale || attempt > 0 || ctx.Err() != nil {
			return nil, err
		}
	}
}

// upload sends one request and its raw bytes while it waits for the reply,
// which may come before all bytes are sent. The stream is not kept.
func (c *Client) upload(ctx context.Context, p peer.ID, s Spec, req any, body io.Reader, size int64, res any) (err error) {
	r := c.newRequest(p, s)
	defer func() { err = r.done(ctx, err) }()
	if err := r.open(ctx, false); err != nil {
		return err
	}
	if err := r.send(req); err != nil {
		r.discard(err)
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- r.sendBody(body, size) }()
	m, err := r.receive()
	r.discard(errStopped) // unblocks the sender
	fault := <-sent
	switch {
	case err == nil:
		return r.decode(m, res)
	case fault != nil && !errors.As(err, new(answerError)):
		return localError{fault}
	}
	return err
}

// sendBody sends the raw bytes of an upload. It returns, and resets the stream
// for, an error of body itself; one of the stream is for the receiver to tell.
func (r *request) sendBody(body io.Reader, size int64) error {
	src := &source{Reader: body}
	n, err := io.Copy(r.st.Stream, src)
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

// source keeps the error of a reader apart from that of the writer it is
// copied to.
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
