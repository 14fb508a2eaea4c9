package streams

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/network"
)

// serverStream is one inbound stream while it is served.
type serverStream struct {
	network.Stream
	mux    *Mux
	family *family
	ss     *session
	peer   Peer
	br     *bufio.Reader
	in     []byte
	dog    *watchdog
	idle   atomic.Bool // waiting for a next request
}

// strangerIdle is how long a stranger's stream is kept between requests: a process of a controller whose grant has ended
// holds two, of the four that all of its processes have.
const strangerIdle = time.Second

// past is a deadline that is over: it wakes a blocked read or write.
var past = time.Unix(1, 0)

// watchdog ends a blocked read or write of its stream after a time. It is one timer for each
// stream, because to set a deadline for each frame costs more than the codec.
type watchdog struct {
	timer *time.Timer
	fired atomic.Bool
}

func newWatchdog(s network.Stream) *watchdog {
	w := new(watchdog)
	w.timer = time.AfterFunc(time.Hour, func() {
		w.fired.Store(true)
		s.SetDeadline(past)
	})
	w.timer.Stop()
	return w
}

func (w *watchdog) arm(d time.Duration) { w.timer.Reset(d) }
func (w *watchdog) disarm()             { w.timer.Stop() }

func (m *Mux) serveStream(f *family, s network.Stream) {
	ss := m.sessions.of(m.base, s.Conn())
	member := m.cfg.Member(ss.id)
	if !m.open.Add(ss.id, f.Name, member) {
		s.ResetWithError(network.StreamResourceLimitExceeded)
		m.cfg.Observe(
			Outcome{Peer: ss.id, Family: f.Name, Inbound: true, Err: Errorf(CodeTooMany, "too many open streams")})
		return
	}
	defer m.open.Remove(ss.id, f.Name)
	version, _ := f.version(s.Protocol())
	st := &serverStream{
		Stream: s, mux: m, family: f, ss: ss,
		peer: Peer{ID: ss.id, Version: version, Member: member, Conn: s.Conn()},
		br:   getReader(s), dog: newWatchdog(s),
	}
	defer putReader(st.br)
	defer st.dog.disarm()
	if !m.enter(st) {
		s.ResetWithError(network.StreamShutdown)
		return
	}
	defer m.leave(st)
	st.loop()
}

func (m *Mux) enter(s *serverStream) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining {
		return false
	}
	m.running.Add(1)
	m.streams[s] = struct{}{}
	return true
}

func (m *Mux) leave(s *serverStream) {
	m.mu.Lock()
	delete(m.streams, s)
	m.mu.Unlock()
	m.running.Done()
}

func (m *Mux) isDraining() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.draining
}

// readers are reused: a node with many peers opens streams all the time.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

func getReader(r io.Reader) *bufio.Reader {
	br := readers.Get().(*bufio.Reader)
	br.Reset(r)
	return br
}

func putReader(br *bufio.Reader) {
	br.Reset(nil)
	readers.Put(br)
}

// loop serves one request after the other until the stream ends.
func (s *serverStream) loop() {
	wait := s.mux.cfg.Limits.FirstByte
	for s.await(wait) {
		if !s.serveFrame() {
			return
		}
		wait = keptIdle
		if s.mux.cfg.members && !s.peer.Member && !s.mux.cfg.Member(s.peer.ID) {
			wait = strangerIdle
		}
	}
}

// await waits for the first byte of a frame. It ends the stream and returns false when there will
// be none.
func (s *serverStream) await(wait time.Duration) bool {
	if s.br.Buffered() > 0 {
		return true
	}
	s.dog.arm(wait)
	s.idle.Store(true)
	if s.mux.isDraining() {
		s.Close()
		return false
	}
	_, err := s.br.Peek(1)
	s.idle.Store(false)
	switch {
	case err == nil:
		return true
	case errors.Is(err, io.EOF), s.dog.fired.Load(), s.mux.isDraining():
		s.Close()
	default:
		s.Reset()
	}
	return false
}

// wake ends the stream's wait for a next request.
func (s *serverStream) wake() {
	if s.idle.Load() {
		s.SetReadDeadline(past)
	}
}

// serveFrame reads and answers one request. It returns false when the stream has ended.
func (s *serverStream) serveFrame() bool {
	x := exchange{serverStream: s, started: time.Now()}
	if !s.peer.Member && s.mux.rates.cutOff(s.peer.ID) {
		x.cutOff()
		return false
	}
	var reserved reservation
	s.dog.arm(s.mux.cfg.Limits.Header)
	in, err := readFrame(s.br, s.in, s.largest(), func(n int) error { return s.reserve(&reserved, n) })
	s.dog.disarm()
	s.in = in
	defer s.release(&reserved)
	if err != nil {
		x.refuseFrame(err)
		return false
	}
	keep := x.answer()
	if cap(s.in) > growStep || !s.peer.Member {
		s.in = nil // a kept stream does not hold on to a large buffer, and a stranger's to none
	}
	return keep
}

// largest is the largest frame that the peer may send.
func (s *serverStream) largest() int {
	if s.peer.Member {
		return MaxFrame
	}
	return maxStrangerFrame
}

// reservation is the memory that was reserved for one frame, in bytes.
type reservation struct {
	scope    int // of the stream's scope
	stranger int // of the account of all strangers
}

// reserve takes the memory for a frame of n bytes, or says why there is none.
func (s *serverStream) reserve(r *reservation, n int) error {
	if !s.peer.Member {
		if !s.mux.rates.allowLarge(s.peer.ID, n) {
			return errRate
		}
		if !s.mux.strangers.Take(s.peer.ID, n) {
			return noMemoryError{errors.New("strangers have all of their share, or you have sent another large frame")}
		}
		r.stranger = n
	}
	if n <= growStep {
		return nil
	}
	if err := s.Scope().ReserveMemory(n, network.ReservationPriorityMedium); err != nil {
		return noMemoryError{err}
	}
	r.scope = n
	return nil
}

// release gives back what was reserved for a frame.
func (s *serverStream) release(r *reservation) {
	if r.stranger > 0 {
		s.mux.strangers.Give(s.peer.ID, r.stranger)
	}
	if r.scope > 0 {
		s.Scope().ReleaseMemory(r.scope)
	}
}

// noMemoryError says that there is no room for a large frame.
type noMemoryError struct{ error }

// late reports whether the watchdog ended a read, and lifts its deadline so that the peer can be
// told.
func (s *serverStream) late() bool {
	if !s.dog.fired.Swap(false) {
		return false
	}
	s.SetDeadline(time.Time{})
	return true
}

// exchange is one request and its answer, on the serving side.
type exchange struct {
	*serverStream
	started time.Time
	msg     Message
	entry   *entry
	// spent is set when what follows on the stream is not a next request.
	spent bool
	// lost is set when a reply could not be written.
	lost bool
	// taken is set when the stream was made a connection, which has ended when the handler returns.
	taken bool
	// pace, if set, waits until so many more bytes may be sent.
	pace func(bytes int)
}

// refuseFrame answers a frame that could not be read, and ends the stream.
func (x *exchange) refuseFrame(err error) {
	l := x.mux.cfg.Limits
	if err == error(errRate) || !x.peer.Member && !x.mux.rates.allow(x.peer.ID) {
		x.cutOff()
		return
	}
	switch {
	case errors.As(err, new(tooLargeError)):
		err = Errorf(CodeTooLarge, "%w", err)
	case errors.As(err, new(noMemoryError)):
		err = Errorf(CodeTooMany, "no memory for a frame of this size now: wait, then repeat: %w", err)
	case x.late():
		err = Errorf(CodeTimeout, "the frame was not complete %v after its first byte", l.Header)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = Errorf(CodeInvalid, "the stream ended within a frame")
	case errors.Is(err, ErrInvalid):
	default:
		x.Reset()
		return
	}
	x.spent = true
	x.fail(err)
	x.observe(err)
}

// cutOff ends the stream of a stranger that is over its rate, without reading on.
func (x *exchange) cutOff() {
	x.ResetWithError(network.StreamRateLimited)
	x.observe(errRate)
}

// answer runs the request in x.in through the guard and its handler. It returns false when the
// stream has ended.
func (x *exchange) answer() bool {
	err := x.admit()
	if err == nil {
		err = x.handle()
	}
	keep := !x.taken
	if x.taken {
		x.abandon(err)
	} else if err != nil {
		keep = x.fail(err)
	} else if x.lost {
		x.Reset()
		keep = false
	} else if x.spent {
		x.finish()
		keep = false
	}
	x.observe(err)
	return keep
}

// abandon resets the stream of a connection whose handler failed; it carries no messages any more.
func (x *exchange) abandon(err error) {
	if err != nil {
		x.Reset()
	}
}

// handle runs the handler. A panic in it is an internal error of this request.
func (x *exchange) handle() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in the handler: %v\n%s", r, debug.Stack())
		}
	}()
	ctx := x.ss.ctx
	if x.entry.Verb.HasEffect() {
		// A request with an effect runs to its end even if the client disconnects.
		ctx = x.mux.base
	}
	return x.entry.serve(ctx, x)
}

// once runs the handler once for this message ID and replies with what it returned, or with what
// came of the first request with this ID.
func (x *exchange) once(ctx context.Context, req any, handler func() (any, error)) error {
	if !x.entry.Verb.HasEffect() {
		v, err := x.run(ctx, req, handler)
		if err != nil {
			return err
		}
		return x.reply(v, false)
	}
	raw, err := x.mux.replays.once(ctx, x.peer, &x.msg, func() (any, *Error) {
		v, err := x.run(ctx, req, handler)
		if err != nil {
			return nil, x.travelling(err)
		}
		return v, nil
	})
	if err != nil {
		return err
	}
	return x.reply(raw, false)
}

// reply writes one reply. An error means that it could not be encoded; a stream that is gone is
// noted in x.lost.
func (x *exchange) reply(payload any, end bool) error {
	return x.write(x.entry.Reply, payload, end)
}

func (x *exchange) write(t Type, payload any, end bool) error {
	h := header{uuid.New(), t, x.mux.self.text, time.Now(), x.msg.ID, end}
	out := frames.Get().(*frame)
	defer out.release()
	b, err := out.encodeFrame(h, payload, MaxFrame)
	if err != nil {
		return err
	}
	if x.pace != nil {
		x.pace(len(b))
	}
	x.dog.arm(x.mux.cfg.Limits.Stall)
	defer x.dog.disarm()
	if _, err := x.Write(b); err != nil {
		x.lost = true
	}
	return nil
}

// fail tells the peer of err and ends the stream when it cannot be used any more; then it returns
// false.
func (x *exchange) fail(err error) bool {
	if err := x.write(typeError, x.travelling(err), false); err != nil || x.lost {
		x.Reset()
		return false
	}
	if x.spent {
		x.finish()
	}
	return !x.spent
}

// finish ends a stream whose remaining bytes make no sense. What the peer has under way is read for
// a moment, so that it sees the reply and not a reset.
func (x *exchange) finish() {
	x.CloseWrite()
	x.dog.arm(x.mux.cfg.Limits.Header)
	defer x.dog.disarm()
	if n, err := io.Copy(io.Discard, io.LimitReader(x.br, 2*MaxFrame)); err != nil || n == 2*MaxFrame {
		x.ResetWithError(network.StreamProtocolViolation)
		return
	}
	x.Close()
}

// travelling returns the error that the peer is told instead of err. What is not an [Error] is
// logged whole, and the peer gets the trace ID of that line.
func (x *exchange) travelling(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Timestamp == 0 {
			c := *e
			c.Timestamp = time.Now().UnixMilli()
			return &c
		}
		return e
	}
	if errors.Is(err, context.Canceled) && x.mux.isDraining() {
		return Errorf(CodeUnavailable, "this node is shutting down")
	}
	e := Errorf(CodeInternal, "internal error")
	e.Trace = newTrace()
	x.mux.cfg.Logger.Error("request failed", keyPeer, x.peer.ID, keyType, x.msg.Type, keyTrace, e.Trace, keyErr, err)
	return e
}

func (x *exchange) observe(err error) {
	o := Outcome{
		Peer:     x.peer.ID,
		Family:   x.family.Name,
		Type:     x.msg.Type,
		Inbound:  true,
		Err:      err,
		Duration: time.Since(x.started),
	}
	if err != nil {
		x.mux.cfg.Logger.Debug("request refused", keyPeer, o.Peer, keyType, o.Type, keyErr, err)
	}
	x.mux.cfg.Observe(o)
}

// payloadOf decodes and validates the payload of a request.
func payloadOf[Req any](x *exchange) (Req, error) {
	var req Req
	err := parsePayload(x.msg.Payload, &req, x.mux.readings.of(reflect.TypeFor[Req]()))
	return req, err
}

// errUnfinished is the audited end of a handler that did not return.
var errUnfinished = errors.New("the handler did not return")

// run has the request audited where that is wanted, and runs its handler.
func (x *exchange) run(ctx context.Context, req any, handler func() (any, error)) (res any, err error) {
	done, err := x.audit(ctx, req)
	if err != nil {
		return nil, Errorf(CodeUnavailable, "not done, because it could not be recorded: %v", err)
	}
	if done == nil {
		return handler()
	}
	err = errUnfinished // until the handler returns: a panic is no success
	defer func() { done(err) }()
	return handler()
}

func (x *exchange) audit(ctx context.Context, req any) (done func(error), err error) {
	if x.mux.cfg.Audit == nil || x.entry.Verb == VerbPublic {
		return nil, nil
	}
	return x.mux.cfg.Audit(ctx, Audited{
		Peer: x.peer, Family: x.family.Name, Type: x.msg.Type, Verb: x.entry.Verb, ID: x.msg.ID,
		Summary: func() string {
			if s, ok := req.(interface{ Summary() string }); ok {
				return s.Summary()
			}
			return ""
		},
	})
}
