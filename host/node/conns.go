package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// duplex is the type of connections to the listener of a name.
func duplex(name string, verb streams.Verb) streams.Duplex {
	return streams.Duplex{
		Family:  streams.Family{Name: "conn", Versions: []string{"1.0.0"}},
		Request: streams.Type("dial_" + name), Reply: "dialled", Verb: verb,
	}
}

// Listener returns a net.Listener for connections that peers open with [Node.Dial] and this name,
// which has [a-z0-9_] only. Programs for package net work over it:
//
//	ln, err := n.Listener("web", "web.read")
//	err = http.Serve(ln, handler)
//
// Only peers with the right verb get in, strangers never do; a connection is reset within 10 s of the
// loss of that right. Its accepted connections end with Run, so shut a server down before. (It is not
// called Listen because that is what makes the node itself reachable.)
func (n *Node) Listener(name string, verb streams.Verb) (net.Listener, error) {
	if name == "" {
		return nil, errors.New("a listener needs a name")
	}
	l, err := duplex(name, verb).Listen(n.Mux)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Dial opens a connection to the listener of that name at p, which is dialled first if need be. The
// end of ctx ends the attempt, not the connection. An error is a streams.Error: 401 or 403 without
// the right, 501 where nobody listens. For net/http it is a DialContext:
//
//	&http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.Dial(ctx, p, "web") }}
//
// To dial without opening a connection is n.Host.Dial.
func (n *Node) Dial(ctx context.Context, p peer.ID, name string) (net.Conn, error) {
	c, err := duplex(name, dialVerb).Dial(ctx, n.Client, p)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dialVerb stands for the right that the listener asks for, which the dialler need not know.
const dialVerb streams.Verb = "dial"

// Caller is who is at the other end of a connection, as this node knows it at this moment.
type Caller struct {
	Peer peer.ID
	// Member reports whether the peer is a member of the fleet, or was allowed by the owner.
	Member bool
	// Name, Role and Labels are those of the member's grant. Without one, Name and Labels are what
	// the owner of this node has saved in its address book. None of them is the peer's own claim.
	Name   string
	Role   trust.Role
	Labels map[string]string
	// Rights are the verbs that the peer has on this node, patterns such as trust.AllVerbs among
	// them. To decide about one, ask May.
	Rights []string

	judge trust.Judge
}

// May returns nil when the caller has the right to do verb here now, and why not otherwise.
func (c Caller) May(verb streams.Verb) error { return c.judge.May(c.Peer, string(verb)) }

// ErrNotOurs says that a connection was not made by [Node.Dial] or a listener of a node.
var ErrNotOurs = errors.New("not a connection of the swarm")

// WhoIs returns who is at the other end of a connection of a [Node.Listener] or [Node.Dial], also
// where others are wrapped around it, as that of crypto/tls.
func (n *Node) WhoIs(c net.Conn) (Caller, error) {
	a, ok := c.RemoteAddr().(streams.Addr)
	if !ok {
		return Caller{}, fmt.Errorf("%w: it comes from %v", ErrNotOurs, c.RemoteAddr())
	}
	return n.caller(a.Peer), nil
}

// WhoCalls is WhoIs for a server that tells addresses as text only, such as http.Request.RemoteAddr.
// Nothing before it may set that from what the caller sent, as some middleware for proxies does.
func (n *Node) WhoCalls(remoteAddr string) (Caller, error) {
	p, err := peer.Decode(remoteAddr)
	if err != nil {
		return Caller{}, fmt.Errorf("%w: it comes from %s", ErrNotOurs, remoteAddr)
	}
	return n.caller(p), nil
}

func (n *Node) caller(p peer.ID) Caller {
	c := Caller{Peer: p, Member: n.cfg.Judge.Member(p), judge: n.cfg.Judge}
	if f := n.cfg.Fleet; f != nil {
		if m, ok := f.Known(p); ok {
			c.Name, c.Role, c.Labels = m.Grant.Name, m.Grant.Role, maps.Clone(m.Grant.Labels)
			c.Rights = n.rights(p, m.Grant)
			return c
		}
	}
	if e, ok := n.Book().Get(p); ok && !e.Hint {
		c.Name, c.Labels = e.Name, maps.Clone(e.Labels)
	}
	c.Rights = n.rights(p, nil)
	return c
}

// rights returns those verbs of a peer's grant, if it has one, that count on this node now.
func (n *Node) rights(p peer.ID, g *trust.Grant) (out []string) {
	verbs := []string{trust.AllVerbs} // for whom the owner allows everything
	if g != nil {
		verbs = append(verbs, g.Verbs...)
		for _, r := range g.Also {
			verbs = append(verbs, r.Verbs...)
		}
	}
	for _, v := range verbs {
		if !slices.Contains(out, v) && n.cfg.Judge.May(p, v) == nil {
			out = append(out, v)
		}
	}
	return out
}
