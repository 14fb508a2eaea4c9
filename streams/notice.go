package streams

import (
	"context"
	"errors"
	"io"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Notice is a message type without a reply. It has a stream of its own, which the receiver closes
// when it has handled the message.
type Notice[T any] struct {
	Family Family
	Type   Type
	Verb   Verb
}

// Spec returns the declaration without its payload type.
func (n Notice[T]) Spec() Spec {
	return Spec{Family: n.Family, Shape: ShapeNotice, Request: n.Type, Verb: n.Verb}
}

// Send sends v to p and waits until the peer has handled or refused it.
func (n Notice[T]) Send(ctx context.Context, cl *Client, p peer.ID, v T) error {
	return cl.notify(ctx, p, n.Spec(), v)
}

// Handle registers fn as the handler of this type.
func (n Notice[T]) Handle(m *Mux, fn func(ctx context.Context, p Peer, v T) error) error {
	return m.register(n.Spec(), func(ctx context.Context, x *exchange) error {
		v, err := payloadOf[T](x)
		if err != nil {
			return err
		}
		return fn(ctx, x.peer, v)
	})
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
