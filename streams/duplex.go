package streams

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Duplex is a message type that opens a connection: after its reply the stream belongs to the two
// programs, which send each other bytes of their own. So whatever runs over a net.Conn, such as
// net/http, runs between peers, behind the same guard as all messages.
type Duplex struct {
	Family         Family
	Request, Reply Type
	// Verb is the right that a caller needs. It is looked at again every 10 s, and the connection
	// reset once the caller has lost it. It cannot be [VerbPublic].
	Verb Verb
}

// Spec returns the declaration.
func (d Duplex) Spec() Spec { return Spec{d.Family, ShapeDuplex, d.Request, d.Reply, d.Verb} }

// Dial opens a connection to the listener of p. The end of ctx ends the attempt, not the connection.
// An error is an [Error], as with [Call.Do]: [CodeUnsupported] where nobody listens, and
// [CodeUnavailable] also where a listener has too many callers waiting.
func (d Duplex) Dial(ctx context.Context, cl *Client, p peer.ID) (*Conn, error) {
	return dial(ctx, cl, p, d.Spec(), struct{}{})
}

// Listen makes m take connections of this type. The listener ends with [Mux.Serve], and with it the
// connections that it accepted: a server that is to finish its requests is shut down before.
func (d Duplex) Listen(m *Mux) (*Listener, error) {
	if d.Verb == VerbPublic {
		return nil, fmt.Errorf("listen for %s: a listener names the right that its callers need, it cannot be public", d.Request)
	}
	l := &Listener{
		mux: m, spec: d.Spec(), local: Addr{m.self.id},
		waiting: make(chan *Conn, maxWaiting), places: make(chan struct{}, maxWaiting),
	}
	l.life, l.end = context.WithCancel(m.feeds)
	if err := m.register(l.spec, l.serve); err != nil {
		l.end()
		return nil, err
	}
	return l, nil
}

// maxWaiting is how many connections wait at a listener to be accepted; further ones are refused.
const maxWaiting = 64

// Listener is a net.Listener for the connections of one [Duplex]. Its methods may be called
// concurrently.
type Listener struct {
	mux     *Mux
	spec    Spec
	local   Addr
	life    context.Context // ends with Close, or when the mux begins to stop
	end     context.CancelFunc
	closing sync.Once
	places  chan struct{} // one token for each connection that waits, or is about to
	waiting chan *Conn
}

var _ net.Listener = (*Listener)(nil)

// Accept returns the next connection, a [*Conn]. After the end of the listener the error is
// net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		select {
		case c := <-l.waiting:
			<-l.places
			if c.keep() {
				return c, nil
			}
		case <-l.life.Done():
			return nil, l.closed()
		}
	}
}

func (l *Listener) closed() error {
	return &net.OpError{Op: "accept", Net: l.local.Network(), Addr: l.local, Err: net.ErrClosed}
}

// Addr returns the peer ID of this node, as an [Addr].
func (l *Listener) Addr() net.Addr { return l.local }

// Close ends the listener, and resets the connections that wait. Those that were accepted go on. It
// may be called again.
func (l *Listener) Close() error {
	l.closing.Do(func() {
		l.mux.unregister(l.spec)
		l.end()
	})
	return nil
}

// serve answers a request for a connection and owns the connection until its end.
func (l *Listener) serve(ctx context.Context, x *exchange) error {
	req, err := payloadOf[struct{}](x)
	if err != nil {
		return err
	}
	select {
	case l.places <- struct{}{}:
	default:
		return Errorf(CodeUnavailable, "%d connections wait already: repeat later", maxWaiting)
	}
	_, err = x.run(x.ss.ctx, req, func() (any, error) { return nil, x.connection(l.take) })
	if !x.taken {
		<-l.places // it never got to wait
	}
	return err
}

// take puts a connection where Accept finds it, and waits for its end.
func (l *Listener) take(ctx context.Context, accept func() (*Conn, error)) error {
	if l.life.Err() != nil {
		return Errorf(CodeUnsupported, "type %q is not known here any more", l.spec.Request)
	}
	c, err := accept()
	if err != nil {
		return err
	}
	ctx, c.ended = context.WithCancel(ctx)
	defer c.ended()
	c.keep = context.AfterFunc(l.life, c.ended) // until it is accepted
	defer c.keep()
	l.waiting <- c
	<-ctx.Done()
	return nil
}

// dial asks p for a connection and takes its stream out of the client's hands.
func dial(ctx context.Context, c *Client, p peer.ID, s Spec, req any) (conn *Conn, err error) {
	r := c.newRequest(p, s)
	defer func() { err = r.done(ctx, err) }()
	if s.Verb == VerbPublic {
		return nil, localError{errors.New("a connection needs a right, it cannot be public")}
	}
	release, err := c.kept.slot(ctx, r.key())
	if err != nil {
		return nil, err
	}
	defer release()
	if err := r.begin(ctx, func() error { return r.roundTrip(req, new(struct{})) }); err != nil {
		return nil, err
	}
	if untied := r.stop(); !untied {
		return nil, ctx.Err() // which has reset the stream
	}
	conn = newConn(r.st.Stream, r.st.br, c.self.id, &c.bulks, nil)
	putReader(r.st.br)
	return conn, nil
}
