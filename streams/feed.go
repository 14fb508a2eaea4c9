package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Feed is a message type with many items for one request. The last item carries "end":true.
type Feed[Req, Item any] struct {
	Family         Family
	Request, Reply Type
	Verb           Verb
}

// Spec returns the declaration without its payload types.
func (f Feed[Req, Item]) Spec() Spec { return Spec{f.Family, ShapeFeed, f.Request, f.Reply, f.Verb} }

// Do sends req to p and returns the items as they arrive. An error is the last thing it yields. To
// stop iterating, or the end of ctx, resets the stream, which tells the peer to stop.
func (f Feed[Req, Item]) Do(ctx context.Context, cl *Client, p peer.ID, req Req) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if err := cl.feed(ctx, p, f.Spec(), req, itemsTo(cl, yield)); err != nil {
			var none Item
			yield(none, err)
		}
	}
}

// itemsTo returns what hands each item to yield, and reports whether that wants more.
func itemsTo[Item any](cl *Client, yield func(Item, error) bool) func(*Message) (bool, error) {
	return func(m *Message) (bool, error) {
		var item Item
		if err := parsePayload(m.Payload, &item, cl.readings.of(reflect.TypeFor[Item]())); err != nil {
			return false, err
		}
		return yield(item, nil), nil
	}
}

// Handle registers fn as the handler of this type. send passes one item to the peer at once and
// blocks while the peer is slow; the item that fn returns is the last one. The context ends when
// the peer cancels, its connection ends, it loses its right (which is looked at again every 10 s)
// or the mux stops.
func (f Feed[Req, Item]) Handle(
	m *Mux, fn func(ctx context.Context, p Peer, req Req, send func(Item) error) (last Item, err error)) error {
	return m.register(f.Spec(), func(ctx context.Context, x *exchange) error {
		req, err := payloadOf[Req](x)
		if err != nil {
			return err
		}
		return x.serveFeed(ctx, f.Verb, req, x.untilReset, func(ctx context.Context) (any, error) {
			return fn(ctx, x.peer, req, func(item Item) error { return x.send(ctx, item) })
		})
	})
}

// serveFeed is feed for a request that is audited, and that has its effect once where it has one.
func (x *exchange) serveFeed(
	ctx context.Context, verb Verb, req any, reads func(context.Context) error,
	handler func(context.Context) (last any, err error),
) error {
	serve := func() error {
		_, err := x.run(ctx, req, func() (any, error) { return nil, x.feed(ctx, reads, handler) })
		return err
	}
	if !verb.HasEffect() {
		return serve()
	}
	return x.onceFeed(ctx, serve)
}

// feed runs the handler of a feed for as long as the peer may and wants to have items, and sends
// the last one. reads looks at what the peer sends meanwhile, as watch says.
func (x *exchange) feed(
	ctx context.Context, reads func(context.Context) error, handler func(context.Context) (last any, err error),
) error {
	link := x.mux.bulks.Begin(x.Conn())
	defer x.mux.bulks.End(x.Conn())
	ctx, stop := x.watch(ctx, reads)
	defer stop()
	x.pace = func(bytes int) { link.Wait(ctx, bytes) }
	last, err := handler(ctx)
	if lost, ok := errors.AsType[*Error](context.Cause(ctx)); ok {
		return lost
	}
	if err != nil && ctx.Err() != nil && !x.mux.isDraining() {
		return errGone // not a fault of the handler
	}
	if err != nil {
		return err
	}
	return x.reply(last, true)
}

// errGone ends the handler of a feed whose receiver went away.
var errGone = &Error{Code: CodeUnavailable, Message: "the receiver of the feed is gone"}

func (x *exchange) send(ctx context.Context, item any) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := x.reply(item, false); err != nil {
		return err
	}
	if x.lost {
		return errGone
	}
	return nil
}

// onceFeed runs serve, unless this message ID was used before: the items of a feed are not kept, so
// the repeated request is a conflict.
func (x *exchange) onceFeed(ctx context.Context, serve func() error) error {
	ran := false
	_, err := x.mux.replays.once(ctx, x.peer, &x.msg, func() (any, *Error) {
		ran = true
		if err := serve(); err != nil {
			e := *x.travelling(err)
			e.effect = true // items may have gone out before
			return nil, &e
		}
		return struct{}{}, nil
	})
	if err == nil && !ran {
		return Errorf(CodeConflict, "message ID %s was used before, and its items are not kept", x.msg.ID)
	}
	return err
}

// askAgain is how often a running feed checks the receiver's right again. A right that was taken
// away, or is over, ends what was begun with it.
const askAgain = 10 * time.Second

// untilReset returns an error when the peer has reset the stream. A next request stays in the buffer.
// The end of the peer's writing side is no reset: it still reads.
func (x *exchange) untilReset(context.Context) error {
	if _, err := x.br.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// watch returns a context that ends when reads fails, as it does when the peer resets the stream, the
// mux begins to stop, or the peer loses its right: where the reason is an [Error], that is the cause,
// and the answer. While it watches, goroutines read and ask; stop ends them.
func (x *exchange) watch(ctx context.Context, reads func(context.Context) error) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stopFeeds := context.AfterFunc(x.mux.feeds, func() { cancel(nil) })
	// A reader may see no more than the end of the peer's bytes when the connection ends.
	stopConn := context.AfterFunc(x.ss.ctx, func() { cancel(nil) })
	var stopping atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		if err := reads(ctx); err != nil && !stopping.Load() {
			bad, _ := errors.AsType[*Error](err)
			if bad == nil {
				cancel(nil)
				return
			}
			cancel(bad)
		}
	})
	running.Go(func() { cancel(x.whilePermitted(ctx)) })
	return ctx, func() {
		stopping.Store(true)
		stopFeeds()
		stopConn()
		cancel(nil)
		x.SetReadDeadline(past)
		running.Wait()
		x.SetReadDeadline(time.Time{})
	}
}

// whilePermitted returns why the peer has lost its right, or nil when ctx ends.
func (x *exchange) whilePermitted(ctx context.Context) error {
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := x.permitted(); err != nil {
				return err
			}
		}
	}
}

// feed sends one request and hands each item to next, which reports whether it wants more.
func (c *Client) feed(ctx context.Context, p peer.ID, s Spec, req any, next func(*Message) (bool, error)) (err error) {
	r := c.newRequest(p, s)
	defer func() { err = r.done(ctx, err) }()
	var first *Message
	err = r.begin(ctx, func() (err error) {
		if err = r.send(req); err == nil {
			first, err = r.receive()
		}
		return err
	})
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
