package streams

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// DuplexFor is a [Duplex] whose request says what the connection is to be for, and whose handler does
// what that takes before it answers.
type DuplexFor[Req any] struct {
	Family         Family
	Request, Reply Type
	// Verb is the right that a caller needs, as that of [Duplex].
	Verb Verb
}

// Spec returns the declaration without its payload type.
func (d DuplexFor[Req]) Spec() Spec { return Spec{d.Family, ShapeDuplex, d.Request, d.Reply, d.Verb} }

// Dial asks p for a connection, as that of [Duplex] does. An error of the handler is one of Dial.
func (d DuplexFor[Req]) Dial(ctx context.Context, cl *Client, p peer.ID, req Req) (*Conn, error) {
	return dial(ctx, cl, p, d.Spec(), req)
}

// Handle registers fn as the handler of this type. It gets the connection from accept, which answers
// the request, once; an error that it returns before is the answer. A connection that fn has not closed
// when it returns is reset. The context, and the connection with it, ends when the peer is gone or loses
// its right (which is looked at again every 10 s), or the mux begins to stop.
func (d DuplexFor[Req]) Handle(
	m *Mux, fn func(ctx context.Context, p Peer, req Req, accept func() (*Conn, error)) error,
) error {
	if d.Verb == VerbPublic {
		return fmt.Errorf("register %s: it names the right that its callers need, it cannot be public", d.Request)
	}
	return m.register(d.Spec(), func(_ context.Context, x *exchange) error {
		req, err := payloadOf[Req](x)
		if err != nil {
			return err
		}
		_, err = x.run(x.ss.ctx, req, func() (any, error) {
			return nil, x.connection(func(ctx context.Context, accept func() (*Conn, error)) error {
				return fn(ctx, x.peer, req, accept)
			})
		})
		return err
	})
}

// connection runs the handler of a connection to its end.
func (x *exchange) connection(serve func(context.Context, func() (*Conn, error)) error) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, end := context.WithCancelCause(x.ss.ctx)
	defer end(nil)
	defer context.AfterFunc(x.mux.feeds, func() { end(nil) })()
	watching.Go(func() {
		if lost := x.whilePermitted(ctx); lost != nil {
			end(lost)
		}
	})
	o := &opening{exchange: x, ctx: ctx}
	return o.done(serve(ctx, o.accept))
}

// opening is a request for a connection while its handler runs.
type opening struct {
	*exchange
	ctx   context.Context // ends with all that the connection needs
	conn  *Conn           // once it was accepted
	untie func() bool     // from ctx
}

// accept answers, and makes the rest of the stream a connection.
func (o *opening) accept() (*Conn, error) {
	if o.conn != nil {
		return nil, errors.New("the connection was accepted before")
	}
	if err := o.reply(struct{}{}, false); err != nil {
		return nil, err
	}
	if o.lost {
		return nil, Errorf(CodeUnavailable, "the asker of the connection is gone")
	}
	o.taken = true
	o.conn = newConn(o.Stream, o.br, o.mux.self.id, &o.mux.bulks, func() {})
	o.untie = context.AfterFunc(o.ctx, o.cut)
	return o.conn, nil
}

// cut ends the connection at once, and says why to both sides.
func (o *opening) cut() {
	if lost, ok := errors.AsType[*Error](context.Cause(o.ctx)); ok {
		o.conn.abort(network.StreamGated, lost)
	}
	o.conn.abort(network.StreamShutdown, net.ErrClosed)
}

// done ends what the handler has left, and returns what came of the request.
func (o *opening) done(err error) error {
	if o.conn != nil {
		if o.untie() && o.conn.isClosed() {
			defer context.AfterFunc(o.mux.feeds, func() { o.ResetWithError(network.StreamShutdown) })()
			o.conn.linger()
		} else {
			o.cut()
		}
	} else if err == nil {
		err = errors.New("the handler took no connection")
	}
	if lost, ok := errors.AsType[*Error](context.Cause(o.ctx)); ok {
		return lost
	}
	return err
}
