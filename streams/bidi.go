package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Bidi is a message type with many items for one request, as [Feed], during which the asker goes on
// sending inputs: the bidirectional stream of other systems. The last item carries "end":true.
//
// Nothing here bounds how far one side is ahead of the other. Payloads should: the side that is sent
// much says how much it has dealt with, and the other one waits for that. Then neither end of the
// stream is ever full, so that a reset and a lost connection are noticed at once.
type Bidi[Req, In, Item any] struct {
	Family                Family
	Request, Input, Reply Type
	// Verb is the right that the asker needs. It is looked at again every 10 s. It cannot be
	// [VerbPublic].
	Verb Verb
}

// maxInput is the largest envelope of an input, in bytes.
const maxInput = 128 << 10

// Spec returns the declaration without its payload types.
func (b Bidi[Req, In, Item]) Spec() Spec {
	return Spec{b.Family, ShapeBidi, b.Request, b.Reply, b.Verb}
}

// Do sends req to p and returns the items as they arrive. An error is the last thing it yields. To
// stop iterating, or the end of ctx, resets the stream, which tells the peer to stop.
//
// When the first item has arrived, talk begins to run beside the iteration. It sends inputs with
// send, which may be called concurrently and blocks while the peer is slow. Its context ends with the
// iteration, which waits for it to return. An error of talk itself ends the iteration.
func (b Bidi[Req, In, Item]) Do(
	ctx context.Context, cl *Client, p peer.ID, req Req, talk func(ctx context.Context, send func(In) error) error,
) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		err := cl.newRequest(p, b.Spec()).bidi(ctx, req,
			func(ctx context.Context, send func(Type, any) error) error {
				return talk(ctx, func(in In) error { return send(b.Input, in) })
			},
			itemsTo(cl, yield))
		if err != nil {
			var none Item
			yield(none, err)
		}
	}
}

// Handle registers fn as the handler of this type. send and the context are those of [Feed.Handle].
// inputs are what the asker sends; they end, without being closed, with the context. fn takes them
// without delay, whatever else it does: as long as one waits, nobody notices that the asker is gone.
func (b Bidi[Req, In, Item]) Handle(m *Mux, fn func(
	ctx context.Context, p Peer, req Req, inputs <-chan In, send func(Item) error) (last Item, err error),
) error {
	if b.Verb == VerbPublic {
		return fmt.Errorf("register %s: it names the right that its callers need, it cannot be public", b.Request)
	}
	if !b.Input.valid() {
		return fmt.Errorf("register %s: type of its inputs %q: want 1 to 64 of [a-z0-9_]", b.Request, b.Input)
	}
	return m.register(b.Spec(), func(ctx context.Context, x *exchange) error {
		req, err := payloadOf[Req](x)
		if err != nil {
			return err
		}
		inputs := make(chan In)
		take := func(ctx context.Context, m *Message) error {
			var in In
			if err := parsePayload(m.Payload, &in, x.mux.readings.of(reflect.TypeFor[In]())); err != nil {
				return err
			}
			select {
			case inputs <- in:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		reads := func(ctx context.Context) error { return x.takeInputs(ctx, b.Input, take) }
		return x.serveFeed(ctx, b.Verb, req, reads, func(ctx context.Context) (any, error) {
			return fn(ctx, x.peer, req, inputs, func(item Item) error {
				x.spent = true // from now on inputs may be under way
				return x.send(ctx, item)
			})
		})
	})
}

// takeInputs reads inputs until the asker sends no more, which is no error, or is gone.
func (x *exchange) takeInputs(ctx context.Context, typ Type, take func(context.Context, *Message) error) error {
	var buf []byte
	for {
		in, err := readFrame(x.br, buf, maxInput, nil)
		switch {
		case errors.As(err, new(tooLargeError)):
			return Errorf(CodeTooLarge, "%w", err)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		buf = in
		var m Message
		if err := decodeEnvelope(in, &m, x.ss.sender, maxDepth); err != nil {
			return err
		}
		switch {
		case m.Sender != x.peer.ID:
			return Errorf(CodeUnauthenticated, "sender %s is not the peer of this connection, %s", m.Sender, x.peer.ID)
		case m.Type != typ || m.ReplyTo != x.msg.ID:
			return Errorf(CodeInvalid, "want %s for %s here, not %s for %s", typ, x.msg.ID, m.Type, m.ReplyTo)
		}
		if err := take(ctx, &m); err != nil {
			return err
		}
	}
}

// bidi sends one request, hands each item to next, which reports whether it wants more, and runs talk
// from the first item on. Its stream is not kept.
func (r *request) bidi(
	ctx context.Context, req any,
	talk func(ctx context.Context, send func(Type, any) error) error, next func(*Message) (bool, error),
) (err error) {
	defer func() { err = r.done(ctx, err) }()
	if r.spec.Verb == VerbPublic {
		return localError{errors.New("inputs need a right, it cannot be public")}
	}
	var m *Message
	err = r.begin(ctx, func() (err error) {
		if err = r.send(req); err == nil {
			m, err = r.receive()
		}
		return err
	})
	if err != nil {
		return err
	}
	talking, stop := context.WithCancelCause(ctx)
	var (
		running sync.WaitGroup
		sending sync.Mutex
	)
	running.Go(func() {
		fault := talk(talking, func(t Type, payload any) error {
			sending.Lock()
			defer sending.Unlock()
			return r.sendInput(talking, t, payload)
		})
		if fault != nil && talking.Err() == nil {
			stop(localError{fault})
			r.st.Reset() // wakes the reader
		}
	})
	ended := false
	defer func() {
		if cause, ok := errors.AsType[localError](context.Cause(talking)); ok {
			err = cause
		}
		stop(nil)
		leave := err
		if !ended {
			leave = errStopped
			r.st.Reset() // wakes the sender
		}
		running.Wait()
		r.discard(leave)
	}()
	for {
		wanted, err := next(m)
		if err != nil {
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

// sendInput sends one input for the request.
func (r *request) sendInput(ctx context.Context, t Type, payload any) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	h := header{id: uuid.New(), typ: t, sender: r.c.self.text, timestamp: time.Now(), replyTo: r.id}
	out := frames.Get().(*frame)
	defer out.release()
	b, err := out.encodeFrame(h, payload, maxInput)
	if err != nil {
		return err
	}
	_, err = r.st.Write(b)
	return err
}
