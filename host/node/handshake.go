package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	handshakeTimeout = 10 * time.Second
	// partGrace lets the refusal of a handshake arrive before the connection ends.
	partGrace = 2 * time.Second
)

// PeerInfo is what is known of a connected peer.
type PeerInfo struct {
	ID    peer.ID
	Hello streams.Hello // what it says of itself: display data
	Since time.Time     // of the connection
	// RTT and ClockOffset were measured in the handshake; 0 when the peer
	// dialled us, and we have not measured.
	RTT         time.Duration
	ClockOffset time.Duration
	Conn        network.Conn
}

// greetings are the handshakes of the open connections.
type greetings struct {
	mu    sync.Mutex
	conns map[network.Conn]*greeting
}

type greeting struct {
	done chan struct{} // closed when info and err are set
	info PeerInfo
	err  error
}

// of returns the greeting of c, and whether the caller is to bring it about.
func (g *greetings) of(c network.Conn) (gr *greeting, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gr := g.conns[c]; gr != nil {
		return gr, false
	}
	gr = &greeting{done: make(chan struct{})}
	if c.IsClosed() {
		gr.err = fmt.Errorf("the connection is closed")
		close(gr.done)
		return gr, false
	}
	if g.conns == nil {
		g.conns = make(map[network.Conn]*greeting)
	}
	g.conns[c] = gr
	return gr, true
}

// set notes what the one who dialled us says. Where we dialled, our own
// handshake counts, whatever else the peer greets with.
func (g *greetings) set(c network.Conn, info PeerInfo) {
	if c.Stat().Direction == network.DirOutbound {
		return
	}
	gr, first := g.of(c)
	g.mu.Lock()
	defer g.mu.Unlock()
	gr.info = info
	if first {
		close(gr.done)
	}
}

// end sets the result of a handshake. One that failed is forgotten, so that the
// next request on the connection tries again.
func (g *greetings) end(c network.Conn, gr *greeting, info PeerInfo, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gr.info, gr.err = info, err
	if err != nil && g.conns[c] == gr {
		delete(g.conns, c)
	}
	close(gr.done)
}

func (g *greetings) remove(c network.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

// list returns the greetings that are done, the newest last.
func (g *greetings) list() (out []PeerInfo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, gr := range g.conns {
		select {
		case <-gr.done:
			if gr.err == nil {
				out = append(out, gr.info)
			}
		default:
		}
	}
	return out
}

// connected begins the handshake on connections that this node dialled.
func (n *Node) connected(_ network.Network, c network.Conn) {
	n.strangers.connected(c)
	if c.Stat().Direction == network.DirOutbound {
		n.greet(c)
	}
}

func (n *Node) disconnected(_ network.Network, c network.Conn) {
	n.strangers.disconnected(c)
	n.greetings.remove(c)
}

// greet makes sure that the handshake on c is under way, and returns it.
func (n *Node) greet(c network.Conn) *greeting {
	gr, first := n.greetings.of(c)
	switch {
	case !first:
	case n.life.Err() != nil:
		gr.err = host.ErrClosed
		close(gr.done)
	default:
		n.running.Go(func() { n.shakeHands(c, gr) })
	}
	return gr
}

// ready waits for the handshake of a connection that this node dialled. The
// one that others dialled is theirs to greet on.
func (n *Node) ready(ctx context.Context, c network.Conn) error {
	if c.Stat().Direction != network.DirOutbound {
		return nil
	}
	gr := n.greet(c)
	select {
	case <-gr.done:
		return gr.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shakeHands does the dialler's part. A peer that does not know the lifecycle
// family is let be: what it answers to other requests will tell.
func (n *Node) shakeHands(c network.Conn, gr *greeting) {
	info, err := n.shake(c)
	n.greetings.end(c, gr, info, err)
	if err == nil && info.ID != "" {
		n.remember(info)
	}
}

func (n *Node) shake(c network.Conn) (info PeerInfo, err error) {
	ctx, cancel := context.WithTimeout(n.life, handshakeTimeout)
	defer cancel()
	hello, timing, err := streams.Handshake.DoOn(ctx, n.Client, c, n.hello(true))
	switch {
	case streams.CodeOf(err) == streams.CodeUnsupported:
		n.log.Debug("peer knows no handshake", "peer", c.RemotePeer())
		return info, nil
	case err != nil:
		return info, err
	case hello.Accepted != nil && !*hello.Accepted, !hello.Compatible():
		n.log.Warn("handshake refused", "peer", c.RemotePeer(), "reason", hello.Reason)
		c.CloseWithError(streams.DisconnectIncompatibleVersion.ConnCode())
		return info, streams.Errorf(streams.CodeUnsupported, "%s refused the handshake: %s", c.RemotePeer(), refusal(hello))
	}
	n.Mux.SetClockOffset(c, timing.ClockOffset())
	info = PeerInfo{
		ID: c.RemotePeer(), Hello: hello, Since: c.Stat().Opened,
		RTT: timing.RTT(), ClockOffset: timing.ClockOffset(), Conn: c,
	}
	info.Hello.Grant, info.Hello.Records = nil, nil
	if off := info.ClockOffset; off.Abs() > time.Minute {
		n.log.Warn("clocks differ: set the clock of this node or of the peer", "peer", c.RemotePeer(), "ahead", off.Round(time.Second))
	}
	return info, nil
}

// refusal says why a handshake did not succeed, as told or as seen.
func refusal(h streams.Hello) string {
	if h.Reason != "" {
		return h.Reason
	}
	return fmt.Sprintf("it speaks protocol %s, this node %s: update the older one", h.Version, streams.ProtocolVersion)
}

// hello is what this node says of itself; strangers hear less.
func (n *Node) hello(toMember bool) streams.Hello {
	h := streams.Hello{Version: streams.ProtocolVersion, Families: n.Mux.Families()}
	if toMember {
		h.Role, h.Name, h.Labels = n.cfg.Role, n.cfg.Name, n.cfg.Labels
	}
	return h
}

func (n *Node) registerLifecycle() error {
	for _, err := range []error{
		streams.Handshake.Handle(n.Mux, n.answerHandshake),
		streams.Ping.Handle(n.Mux, func(_ context.Context, _ streams.Peer, p streams.PingRequest) (streams.Pong, error) {
			return p.Answer(), nil
		}),
		streams.Disconnect.Handle(n.Mux, n.answerDisconnect),
		streams.ErrorNotice.Handle(n.Mux, func(ctx context.Context, p streams.Peer, e *streams.Error) error {
			level := slog.LevelDebug // strangers may say much
			if p.Member {
				level = slog.LevelWarn
			}
			n.log.Log(ctx, level, "a peer reports an error", "peer", p.ID, "code", e.Code, "message", e.Message, "trace", e.Trace)
			return nil
		}),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) answerHandshake(_ context.Context, p streams.Peer, theirs streams.Hello) (streams.Hello, error) {
	ours := n.hello(p.Member)
	ok := theirs.Compatible()
	ours.Accepted = &ok
	if !ok {
		ours.Reason = fmt.Sprintf("you speak protocol %s, this node %s: update the older one", theirs.Version, streams.ProtocolVersion)
		time.AfterFunc(partGrace, func() { p.Conn.CloseWithError(streams.DisconnectIncompatibleVersion.ConnCode()) })
		return ours, nil
	}
	theirs.Grant, theirs.Records = nil, nil // large, and not for keeping
	info := PeerInfo{ID: p.ID, Hello: theirs, Since: p.Conn.Stat().Opened, ClockOffset: p.ClockOffset, Conn: p.Conn}
	n.greetings.set(p.Conn, info)
	n.remember(info)
	return ours, nil
}

// answerDisconnect closes the connection that the goodbye came over; other
// processes of the same peer keep theirs.
func (n *Node) answerDisconnect(_ context.Context, p streams.Peer, g streams.Goodbye) error {
	n.log.Debug("peer says goodbye", "peer", p.ID, "reason", g.Code, "words", g.Reason)
	time.AfterFunc(partGrace, func() { p.Conn.CloseWithError(g.Code.ConnCode()) })
	return nil
}

// Disconnect tells the peer why, and closes all connections to it.
func (n *Node) Disconnect(ctx context.Context, p peer.ID, code streams.DisconnectCode, reason string) error {
	sent := streams.Disconnect.Send(ctx, n.Client, p, streams.Goodbye{Code: code, Reason: reason})
	for _, c := range n.Network().ConnsToPeer(p) {
		c.CloseWithError(code.ConnCode())
	}
	return sent
}

// Peers returns the peers whose handshake is done.
func (n *Node) Peers() []PeerInfo {
	return n.greetings.list()
}

// Greeting connects to p if need be and returns what it says of itself.
func (n *Node) Greeting(ctx context.Context, p peer.ID) (PeerInfo, error) {
	if err := n.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
		return PeerInfo{}, err
	}
	conns := n.Network().ConnsToPeer(p)
	if len(conns) == 0 {
		return PeerInfo{}, fmt.Errorf("connect to %s: %w: it closed the connection at once", p, host.ErrUnreachable)
	}
	for _, c := range conns {
		if err := n.ready(ctx, c); err != nil {
			return PeerInfo{}, err
		}
	}
	for _, info := range n.Peers() {
		if info.ID == p {
			return info, nil
		}
	}
	return PeerInfo{ID: p}, nil
}
