package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/mod/semver"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

var errConnClosed = errors.New("the connection is closed")

const (
	handshakeTimeout = 10 * time.Second
	// partGrace lets the refusal of a handshake arrive before the connection ends.
	partGrace = 2 * time.Second
)

// connected begins the handshake on connections that this node dialled.
func (n *Node) connected(_ network.Network, c network.Conn) {
	if out := n.strangers.connected(c); out != nil {
		n.running.Go(func() { out.CloseWithError(streams.DisconnectTooManyPeers.ConnCode()) })
	}
	if c.Stat().Direction == network.DirOutbound {
		n.greet(c)
	} else if len(n.Network().ConnsToPeer(c.RemotePeer())) > 1 && n.cfg.Judge.Member(c.RemotePeer()) {
		n.suspect(c.RemotePeer()) // it may be back, and know nothing of the connections that it had
	}
}

func (n *Node) disconnected(_ network.Network, c network.Conn) {
	n.strangers.disconnected(c)
	n.greetings.remove(c)
	if f := n.cfg.Fleet; f != nil && len(n.Network().ConnsToPeer(c.RemotePeer())) == 0 {
		f.Gone(c.RemotePeer())
	}
}

// greet makes sure that the handshake on c is under way, and returns it.
func (n *Node) greet(c network.Conn) *greeting {
	gr, first := n.greetings.begin(c)
	switch {
	case !first:
	case n.life.Err() != nil:
		n.greetings.end(c, gr, PeerInfo{}, host.ErrClosed)
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
	case <-ctx.Done():
		return ctx.Err()
	}
	if f := n.cfg.Fleet; gr.err == nil && f != nil && !f.Member(c.RemotePeer()) {
		n.greetAgain(c) // either of us may have a newer grant by now
	}
	return gr.err
}

// shakeHands does the dialler's part. A peer that does not know the lifecycle
// family is let be: what it answers to other requests will tell.
func (n *Node) shakeHands(c network.Conn, gr *greeting) {
	info, err := n.shake(c)
	met := err == nil && info.ID != ""
	if met {
		n.remember(info) // before those who wait for the greeting look it up
		n.compare(c, &info)
		n.hearHello(info)
	}
	n.greetings.end(c, gr, info, err)
	if met {
		n.met(c, info)
		n.compareRuns(info)
		n.askSeed(info)
		if n.cfg.Greeted != nil {
			n.cfg.Greeted(info)
		}
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
	case !hello.Compatible():
		n.log.Warn("handshake refused", "peer", c.RemotePeer(), "reason", hello.Reason)
		err := streams.Errorf(streams.CodeUnsupported, "%s refused the handshake: %s", c.RemotePeer(), refusal(hello))
		n.greetings.refuse(c.RemotePeer(), err)
		c.CloseWithError(streams.DisconnectIncompatibleVersion.ConnCode())
		return info, err
	case hello.Accepted != nil && !*hello.Accepted:
		n.log.Warn("handshake refused", "peer", c.RemotePeer(), "reason", hello.Reason)
		n.learnEnd(hello)
		err := streams.Errorf(streams.CodeForbidden, "%s", refusal(hello))
		n.greetings.refuse(c.RemotePeer(), err)
		c.CloseWithError(streams.DisconnectRequested.ConnCode())
		return info, err
	}
	n.Mux.SetClockOffset(c, timing.ClockOffset())
	info = PeerInfo{
		ID: c.RemotePeer(), Hello: hello, Since: c.Stat().Opened,
		RTT: timing.RTT(), ClockOffset: timing.ClockOffset(), Conn: c,
	}
	if err := n.know(&info); err != nil {
		level := slog.LevelWarn
		if errors.Is(err, trust.ErrSignerEnded) {
			level = slog.LevelInfo // it is about to be signed anew
		}
		n.log.Log(n.life, level, "the peer is no member of our fleet", "peer", info.ID, "err", err)
	}
	if hello.Reason != "" {
		n.log.Warn("the peer does not take us for a member", "peer", info.ID, "reason", hello.Reason)
	}
	if off := info.ClockOffset; off.Abs() > time.Minute {
		n.log.Warn("clocks differ: set the clock of this node or of the peer", "peer", c.RemotePeer(), "ahead", off.Round(time.Second))
	}
	return info, nil
}

// learnEnd takes the statement by which this node was revoked.
func (n *Node) learnEnd(h streams.Hello) {
	if n.cfg.Fleet == nil || len(h.Revocation) == 0 {
		return
	}
	if _, err := n.cfg.Fleet.Learn(h.Revocation); err != nil {
		n.log.Debug("what revoked this node is not understood", "err", err)
	}
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
	h := streams.Hello{Version: streams.ProtocolVersion, Families: n.Mux.Families(), Boot: n.boot}
	if toMember {
		h.Twins = n.ownTwins()
		h.Role, h.Name, h.Labels = n.cfg.Role, n.cfg.Name, n.cfg.Labels
		n.credentials(&h)
		if n.cfg.AuditHead != nil {
			head := n.cfg.AuditHead()
			h.Audit = &head
		}
	}
	return h
}

func (n *Node) registerLifecycle() error {
	for _, err := range []error{
		streams.Handshake.Handle(n.Mux, n.answerHandshake),
		streams.Ping.Handle(n.Mux, func(_ context.Context, _ streams.Peer, p streams.PingRequest) (streams.Pong, error) {
			return p.Answer(), nil
		}),
		streams.TellTwins.Handle(n.Mux, n.hearTwins),
		streams.Disconnect.Handle(n.Mux, n.answerDisconnect),
		streams.ErrorNotice.Handle(n.Mux, func(ctx context.Context, p streams.Peer, e *streams.Error) error {
			level := slog.LevelDebug // strangers may say much
			if p.Member {
				level = slog.LevelWarn
			}
			if n.notices.of(p.ID).Allow() {
				n.log.Log(ctx, level, "a peer reports an error", "peer", p.ID, "code", e.Code, "message", clip(e.Message), "trace", clip(e.Trace))
			}
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
	if why := n.incompatible(theirs); why != "" {
		return n.turnAway(p.Conn, why, streams.DisconnectIncompatibleVersion), nil
	}
	info := PeerInfo{ID: p.ID, Hello: theirs, Since: p.Conn.Stat().Opened, ClockOffset: p.ClockOffset, Conn: p.Conn}
	err := n.know(&info)
	if trust.IsRevoked(err) {
		no := n.turnAway(p.Conn, short(err.Error()), streams.DisconnectRevoked)
		if r := n.cfg.Fleet.Revocation(p.ID); r != nil && len(r.Data) <= streams.MaxCredential {
			no.Revocation = r.Data // so that the peer can tell its owner by whom and when
		}
		return no, nil
	}
	member := n.cfg.Judge.Member(p.ID)
	ours, ok := n.hello(member), true
	ours.Accepted = &ok
	if err != nil {
		ours.Reason = short(err.Error())
	}
	if f := n.cfg.Fleet; f != nil && info.shown {
		ours.Statements = f.Exchange().Digest(p.ID)
	}
	if member {
		n.strangers.promote(p.ID)
	} else {
		n.strangers.greeted(p.Conn)
	}
	n.remember(info)
	n.hearHello(info)
	n.greetings.set(p.Conn, info)
	if p.Conn.Stat().Direction == network.DirInbound {
		n.met(p.Conn, info)
	}
	n.compareRuns(info)
	return ours, nil
}

// incompatible says why a peer of this version cannot be spoken with.
func (n *Node) incompatible(theirs streams.Hello) string {
	if !theirs.Compatible() {
		return fmt.Sprintf("you speak protocol %s, this node %s: update the older one", theirs.Version, streams.ProtocolVersion)
	}
	if f := n.cfg.Fleet; f != nil {
		if least := f.MinProtocol(); semver.Compare("v"+theirs.Version, "v"+least) < 0 && least != "" {
			return fmt.Sprintf("you speak protocol %s, and the owner of this fleet asks for %s: update swarm", theirs.Version, least)
		}
	}
	return ""
}

// turnAway refuses a handshake, and closes the connection when the refusal had
// time to arrive.
func (n *Node) turnAway(c network.Conn, why string, code streams.DisconnectCode) streams.Hello {
	ours, ok := n.hello(false), false
	ours.Accepted, ours.Reason = &ok, why
	time.AfterFunc(partGrace, func() { c.CloseWithError(code.ConnCode()) })
	return ours
}

// know judges what the peer shows of itself and leaves in the greeting what is
// worth keeping.
func (n *Node) know(info *PeerInfo) (err error) {
	h := &info.Hello
	info.Grant, err = n.admitHello(info.ID, *h)
	info.digest = h.Statements
	if f := n.cfg.Fleet; f != nil && len(h.Grant) > 0 {
		_, info.shown = f.Known(info.ID)
	}
	h.Grant, h.Statements = nil, "" // the grant is large, and not for keeping
	return err
}

// short cuts a reason to what a greeting may hold.
func short(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), streams.MaxReason)], "")
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
	return n.disconnect(ctx, p, n.Network().ConnsToPeer(p), code, reason)
}

func (n *Node) disconnect(ctx context.Context, p peer.ID, conns []network.Conn, code streams.DisconnectCode, reason string) error {
	sent := streams.Disconnect.Send(ctx, n.Client, p, streams.Goodbye{Code: code, Reason: reason})
	for _, c := range conns {
		c.CloseWithError(code.ConnCode())
	}
	return sent
}

// Peers returns the peers whose handshake is done.
func (n *Node) Peers() []PeerInfo {
	return n.greetings.list()
}

// Greeting connects to p if need be and returns what it says of itself. One who turns us away says why, though the connection
// may be gone before we come to ask.
func (n *Node) Greeting(ctx context.Context, p peer.ID) (PeerInfo, error) {
	info, err := n.greeting(ctx, p)
	if refused := n.greetings.refused(p); err != nil && refused != nil {
		return PeerInfo{}, refused
	}
	return info, err
}

func (n *Node) greeting(ctx context.Context, p peer.ID) (PeerInfo, error) {
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
