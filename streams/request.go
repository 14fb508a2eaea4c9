package streams

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams/late"
)

// clientStream is a stream to a peer, with its read buffer.
type clientStream struct {
	network.Stream
	key      poolKey
	versions []string // those that were proposed; the stream has one of them
	remote   sender
	relayed  bool
	br       *bufio.Reader
	in       []byte
	expires  *time.Timer // set while the stream is idle in its pool
	used     bool        // carried an exchange before
	late     late.Answer // of the answer that is awaited
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

func (r *request) key() poolKey { return poolKey{r.to, r.spec.Family.Name} }

// open takes a kept stream or opens a new one, and ties it to ctx.
func (r *request) open(ctx context.Context, keptToo bool) error {
	if err := r.permitted(false); err != nil {
		return err
	}
	if keptToo {
		if st := r.c.kept.take(r.key(), r.spec.Family.Versions); st != nil {
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

// begin opens a stream and runs exchange on it, which ends with the first answer. A kept stream that
// turns out to be dead before it gave any is replaced once by a new one, and so is a new one whose
// connection was closed here because it was found dead; the request keeps its ID. After an error the
// stream has been given up.
func (r *request) begin(ctx context.Context, exchange func() error) error {
	for attempt := 0; ; attempt++ {
		if err := r.open(ctx, attempt == 0); err != nil {
			return err
		}
		r.awaits()
		err := exchange()
		slow := r.st.late.Answered()
		if err == nil {
			return nil
		}
		stale := r.stale(err) && (r.st.used || slow && r.foundDead(err))
		r.release(err)
		if !stale || attempt > 0 || ctx.Err() != nil {
			return err
		}
	}
}

// roundTrip sends the request and reads its reply into res.
func (r *request) roundTrip(req, res any) error {
	if err := r.send(req); err != nil {
		return err
	}
	m, err := r.receive()
	if err != nil {
		return err
	}
	return r.decode(m, res)
}

// awaits has the application told when the answer is late.
func (r *request) awaits() {
	st := r.st
	if st.late.Tell == nil {
		conn, tell := st.Conn(), r.c.cfg.Late
		st.late.Tell = func() { tell(conn) }
	}
	st.late.Expect()
}

// stale reports whether err says no more than that the stream has died.
func (r *request) stale(err error) bool {
	return !errors.As(err, new(answerError)) && !errors.As(err, new(localError)) && !errors.Is(err, ErrBadReply)
}

// foundDead reports whether it was this node that closed the connection, and the request may be sent
// again: the peer still knows of it, and answers one with an effect as it did, unless that had items.
func (r *request) foundDead(err error) bool {
	remote, ok := errors.AsType[*network.ConnError](err)
	return r.st.Conn().IsClosed() && !(ok && remote.Remote) &&
		!((r.spec.Shape == ShapeFeed || r.spec.Shape == ShapeBidi) && r.spec.Verb.HasEffect())
}

// permitted returns why a request must not leave.
func (r *request) permitted(leaving bool) error {
	if r.c.cfg.Permit == nil || r.spec.Verb == VerbPublic {
		return nil
	}
	if err := r.c.cfg.Permit(r.to, leaving); err != nil {
		return localError{err}
	}
	return nil
}

func (r *request) send(req any) error {
	if err := r.permitted(true); err != nil {
		return err
	}
	h := header{id: r.id, typ: r.spec.Request, sender: r.c.self.text, timestamp: time.Now()}
	out := frames.Get().(*frame)
	defer out.release()
	b, err := out.encodeFrame(h, req, MaxFrame)
	if err != nil {
		return localError{err}
	}
	_, err = r.st.Write(b)
	return err
}

// ErrBadReply is in the chain of an error about a reply that breaks the protocol: it is not JSON,
// not from the peer, or not an answer to the request.
var ErrBadReply = errors.New("bad reply")

// receive reads one message that answers the request. An error message is returned as the error it
// carries.
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
	if err := decodeEnvelope(in, m, r.st.remote, maxDepth); err != nil {
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
	if err := parsePayload(m.Payload, res, r.c.readings.of(reflect.TypeOf(res))); err != nil {
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

// release ends the use of the stream: it is kept for the next request when this one left it clean.
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
	err = callerError(ctx, r.to, r.spec.Family, r.c.cfg, err)
	r.c.cfg.Observe(Outcome{
		Peer: r.to, Family: r.spec.Family.Name, Type: r.spec.Request,
		Err: err, Duration: time.Since(r.began),
	})
	return err
}
