package greet

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

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	handshakeTimeout = 10 * time.Second
	// partGrace lets the refusal of a handshake arrive before the connection ends.
	partGrace = 2 * time.Second

	noticeText = 512 // bytes of a notice that are logged
)

// Config is what a Greeter works with.
type Config struct {
	Network network.Network
	// Fleet judges the grants that peers show, and has the one that this node shows; nil without a
	// fleet. Then nothing is shown.
	Fleet  *trust.Fleet
	Member func(peer.ID) bool
	// Hello is what this node tells members of itself, but for what Fleet, AuditHead, Twins and the
	// handshake add. Of it strangers hear Boot alone.
	Hello Hello
	// AuditHead is the end of this node's audit log, for members; nil for a node without one.
	AuditHead func() AuditHead
	// Twins tells members that another machine has this identity.
	Twins func() *Twins
	// Met is called with each peer that has greeted or answered our greeting, before those who wait
	// for the greeting go on. ours reports whether this node has greeted.
	Met func(p PeerInfo, ours bool)
	// Greeted is called after them.
	Greeted func(p PeerInfo, ours bool)
	// Strange is called with a connection whose peer has greeted, is to be asked something, and is
	// no member: either side may have a newer grant by now.
	Strange func(network.Conn)
	// Strangers keeps account of those who are no members.
	Strangers Strangers
	// Notice reports whether an error that a peer reports is still to be logged.
	Notice func(peer.ID) bool
	// Life ends with the node; its cause is what those get who wait for a greeting then.
	Life context.Context
	// Go runs a function in a goroutine that the node waits for when it closes.
	Go     func(func(context.Context))
	Logger *slog.Logger
}

// Strangers keeps account of peers that are no members.
type Strangers interface {
	// Promote says that a peer is a member now.
	Promote(peer.ID)
	// Greeted says that a peer is none; refused, that the grant that it has shown does not count.
	Greeted(c network.Conn, refused bool)
}

// Greeter greets the peers that this node dials, answers those that dial it, and knows what came of
// it on each open connection. Its methods may be called concurrently.
type Greeter struct {
	cfg    Config
	log    *slog.Logger
	table  greetings
	mux    *streams.Mux
	client *streams.Client
}

// New makes a greeter that greets from Register on.
func New(cfg Config) *Greeter {
	return &Greeter{cfg: cfg, log: cfg.Logger}
}

// Register serves the lifecycle family, and notices of errors, on mux. The greeter greets by
// client.
func (g *Greeter) Register(mux *streams.Mux, client *streams.Client) error {
	g.mux, g.client = mux, client
	return errors.Join(
		Handshake.Handle(mux, g.answer),
		Ping.Handle(
			mux, func(_ context.Context, _ streams.Peer, p PingRequest) (Pong, error) { return p.Answer(), nil }),
		Disconnect.Handle(mux, g.part),
		streams.ErrorNotice.Handle(mux, g.notice),
	)
}

// Connected begins the handshake on a connection that this node dialled.
func (g *Greeter) Connected(c network.Conn) {
	if c.Stat().Direction == network.DirOutbound {
		g.greet(c)
	}
}

// Disconnected forgets a connection.
func (g *Greeter) Disconnected(c network.Conn) { g.table.remove(c) }

// greet makes sure that the handshake on c is under way, and returns it.
func (g *Greeter) greet(c network.Conn) *greeting {
	gr, first := g.table.begin(c)
	switch {
	case !first:
	case g.cfg.Life.Err() != nil:
		g.table.end(c, gr, PeerInfo{}, context.Cause(g.cfg.Life))
	default:
		g.cfg.Go(func(ctx context.Context) { g.shakeHands(ctx, c, gr) })
	}
	return gr
}

// Ready waits for the handshake of a connection that this node dialled. On an inbound connection
// the peer begins the handshake, so Ready returns at once.
func (g *Greeter) Ready(ctx context.Context, c network.Conn) error {
	if c.Stat().Direction != network.DirOutbound {
		return nil
	}
	gr := g.greet(c)
	if err := gr.wait(ctx); err != nil {
		return err
	}
	if gr.err == nil && g.cfg.Fleet != nil && !g.cfg.Fleet.Member(c.RemotePeer()) {
		g.cfg.Strange(c)
	}
	return gr.err
}

// Await waits for the greeting of a connection, whichever side begins it.
func (g *Greeter) Await(ctx context.Context, c network.Conn) error {
	if c.Stat().Direction == network.DirOutbound {
		return g.Ready(ctx, c)
	}
	return g.table.of(c).wait(ctx)
}

// shakeHands does the dialler's part. A peer that does not know the lifecycle family may still
// answer other requests, so its connection stays.
func (g *Greeter) shakeHands(ctx context.Context, c network.Conn, gr *greeting) {
	info, err := g.shake(ctx, c)
	met := err == nil && info.ID != ""
	if met {
		g.cfg.Met(info, true)
	}
	g.table.end(c, gr, info, err)
	if met {
		g.cfg.Greeted(info, true)
	}
}

func (g *Greeter) shake(ctx context.Context, c network.Conn) (info PeerInfo, err error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	hello, timing, err := Handshake.DoOn(ctx, g.client, c, g.hello(true))
	switch {
	case streams.CodeOf(err) == streams.CodeUnsupported:
		g.log.Debug("peer knows no handshake", "peer", c.RemotePeer())
		return info, nil
	case errors.Is(err, streams.ErrBadReply):
		c.CloseWithError(DisconnectProtocolError.ConnCode())
		return info, err
	case err != nil:
		return info, err
	case !hello.Compatible():
		g.log.Warn("handshake refused", "peer", c.RemotePeer(), "reason", hello.Reason)
		err := streams.Errorf(streams.CodeUnsupported, "%s refused the handshake: %s", c.RemotePeer(), reason(hello))
		g.table.refuse(c.RemotePeer(), err)
		c.CloseWithError(DisconnectIncompatibleVersion.ConnCode())
		return info, err
	case hello.Accepted != nil && !*hello.Accepted:
		g.log.Warn("handshake refused", "peer", c.RemotePeer(), "reason", hello.Reason)
		g.learnEnd(hello)
		err := streams.Errorf(streams.CodeForbidden, "%s", reason(hello))
		g.table.refuse(c.RemotePeer(), err)
		c.CloseWithError(DisconnectRequested.ConnCode())
		return info, err
	}
	g.mux.SetClockOffset(c, timing.ClockOffset())
	info = PeerInfo{
		ID: c.RemotePeer(), Hello: hello, Since: c.Stat().Opened,
		RTT: timing.RTT(), ClockOffset: timing.ClockOffset(), Conn: c,
	}
	if err := g.know(&info); err != nil {
		level := slog.LevelWarn
		if errors.Is(err, trust.ErrSignerEnded) {
			level = slog.LevelInfo // it is about to be renewed
		}
		g.log.Log(ctx, level, "the peer is no member of our fleet", "peer", info.ID, "err", err)
	}
	if hello.Reason != "" {
		g.log.Warn("the peer does not take us for a member", "peer", info.ID, "reason", hello.Reason)
	}
	if off := info.ClockOffset; off.Abs() > time.Minute {
		g.log.Warn("clocks differ: set the clock of this node or of the peer", "peer", c.RemotePeer(),
			"ahead", off.Round(time.Second))
	}
	return info, nil
}

// learnEnd takes the statement by which this node was revoked.
func (g *Greeter) learnEnd(h Hello) {
	if g.cfg.Fleet == nil || len(h.Revocation) == 0 {
		return
	}
	if _, err := g.cfg.Fleet.Learn(h.Revocation); err != nil {
		g.log.Debug("what revoked this node is not understood", "err", err)
	}
}

// reason returns why a handshake was refused, in the peer's words where it gave any.
func reason(h Hello) string {
	if h.Reason != "" {
		return h.Reason
	}
	return fmt.Sprintf("it speaks protocol %s, this node %s: update the older one", h.Version, ProtocolVersion)
}

// hello is what this node says of itself; strangers hear less.
func (g *Greeter) hello(toMember bool) Hello {
	h := Hello{Version: ProtocolVersion, Families: g.mux.Families(), Boot: g.cfg.Hello.Boot}
	if !toMember {
		return h
	}
	h.Role, h.Name, h.Labels = g.cfg.Hello.Role, g.cfg.Hello.Name, g.cfg.Hello.Labels
	h.Twins = g.cfg.Twins()
	if f := g.cfg.Fleet; f != nil {
		own := f.Self()
		h.Grant = f.Chain().JSON()
		h.Role, h.Name, h.Labels = string(own.Grant.Role), own.Grant.Name, own.Grant.Labels
	}
	if g.cfg.AuditHead != nil {
		head := g.cfg.AuditHead()
		h.Audit = &head
	}
	return h
}

// notice logs an error that a peer reports.
func (g *Greeter) notice(ctx context.Context, p streams.Peer, e *streams.Error) error {
	level := slog.LevelDebug // strangers may say much
	if p.Member {
		level = slog.LevelWarn
	}
	if g.cfg.Notice(p.ID) {
		g.log.Log(ctx, level, "a peer reports an error", "peer", p.ID, "code", e.Code, "message", clip(e.Message),
			"trace", clip(e.Trace))
	}
	return nil
}

// clip cuts what a peer says to what a line of the log may hold of it.
func clip(s string) string { return s[:min(len(s), noticeText)] }

// answer is the listener's part.
func (g *Greeter) answer(_ context.Context, p streams.Peer, theirs Hello) (Hello, error) {
	if why := g.incompatible(theirs); why != "" {
		return g.turnAway(p.Conn, why, DisconnectIncompatibleVersion), nil
	}
	info := PeerInfo{ID: p.ID, Hello: theirs, Since: p.Conn.Stat().Opened, ClockOffset: p.ClockOffset, Conn: p.Conn}
	err := g.know(&info)
	if trust.IsRevoked(err) {
		no := g.turnAway(p.Conn, short(err.Error()), DisconnectRevoked)
		if r := g.cfg.Fleet.Revocation(p.ID); r != nil && len(r.Data) <= MaxCredential {
			no.Revocation = r.Data // so that the peer can tell its owner by whom and when
		}
		return no, nil
	}
	member := g.cfg.Member(p.ID)
	ours, ok := g.hello(member), true
	ours.Accepted = &ok
	if err != nil {
		ours.Reason = short(err.Error())
	}
	if f := g.cfg.Fleet; f != nil && info.Shown {
		ours.Statements = f.Exchange().Digest(p.ID)
	}
	if member {
		g.cfg.Strangers.Promote(p.ID)
	} else {
		g.cfg.Strangers.Greeted(p.Conn, err != nil)
	}
	g.cfg.Met(info, false)
	g.table.set(p.Conn, info)
	g.cfg.Greeted(info, false)
	return ours, nil
}

// incompatible says why a peer of this version cannot be spoken with.
func (g *Greeter) incompatible(theirs Hello) string {
	if !theirs.Compatible() {
		return fmt.Sprintf("you speak protocol %s, this node %s: update the older one", theirs.Version, ProtocolVersion)
	}
	if f := g.cfg.Fleet; f != nil {
		if least := f.MinProtocol(); semver.Compare("v"+theirs.Version, "v"+least) < 0 && least != "" {
			return fmt.Sprintf(
				"you speak protocol %s, and the owner of this fleet asks for %s: update swarm", theirs.Version, least)
		}
	}
	return ""
}

// turnAway refuses a handshake, and closes the connection when the refusal had time to arrive.
func (g *Greeter) turnAway(c network.Conn, why string, code DisconnectCode) Hello {
	ours, ok := g.hello(false), false
	ours.Accepted, ours.Reason = &ok, why
	time.AfterFunc(partGrace, func() { c.CloseWithError(code.ConnCode()) })
	return ours
}

// Again greets a peer once more, to show it our grant and to see its own. It returns what stands
// for the statements that the peer has for us.
func (g *Greeter) Again(ctx context.Context, c network.Conn) (digest string, err error) {
	h, timing, err := Handshake.DoOn(ctx, g.client, c, g.hello(true))
	if err == nil {
		g.mux.SetClockOffset(c, timing.ClockOffset())
		g.table.measured(c, timing.ClockOffset())
		_, err = g.admit(c.RemotePeer(), h)
	}
	return h.Statements, err
}

// admit judges the grant that a peer shows in its greeting. Without a fleet, and for a peer that
// shows nothing, nothing is judged.
func (g *Greeter) admit(p peer.ID, h Hello) (*trust.Grant, error) {
	f := g.cfg.Fleet
	if f == nil {
		return nil, nil
	}
	if len(h.Grant) > 0 { // what it shows may stand in spite of what is known
		c, err := trust.ParseChain(h.Grant)
		if err == nil {
			return f.Admit(p, c)
		}
		if !f.Revoked(p) {
			return nil, err
		}
	}
	if f.Revoked(p) {
		return nil, f.May(p, "")
	}
	return nil, nil
}

// know judges what the peer shows of itself and leaves in the greeting what is worth keeping.
func (g *Greeter) know(info *PeerInfo) (err error) {
	h := &info.Hello
	info.Grant, err = g.admit(info.ID, *h)
	info.Digest = h.Statements
	if f := g.cfg.Fleet; f != nil && len(h.Grant) > 0 {
		_, info.Shown = f.Known(info.ID)
	}
	h.Grant, h.Statements = nil, "" // the grant is large, and not for keeping
	return err
}

// short cuts a reason to what a greeting may hold.
func short(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), MaxReason)], "")
}

// part closes the connection that the goodbye came over; other processes of the same peer keep
// theirs.
func (g *Greeter) part(_ context.Context, p streams.Peer, bye Goodbye) error {
	g.log.Debug("peer says goodbye", "peer", p.ID, "reason", bye.Code, "words", bye.Reason)
	time.AfterFunc(partGrace, func() { p.Conn.CloseWithError(bye.Code.ConnCode()) })
	return nil
}

// Part tells a peer why, and closes these connections to it.
func (g *Greeter) Part(ctx context.Context, p peer.ID, conns []network.Conn, code DisconnectCode, reason string) error {
	sent := Disconnect.Send(ctx, g.client, p, Goodbye{Code: code, Reason: reason})
	for _, c := range conns {
		c.CloseWithError(code.ConnCode())
	}
	return sent
}

// Peers returns the peers whose handshake is done; a nil Greeter knows none.
func (g *Greeter) Peers() []PeerInfo {
	if g == nil {
		return nil
	}
	return g.table.list()
}

// Refused returns why a peer has turned this node away a moment ago, or nil. The connection may be
// gone by then.
func (g *Greeter) Refused(p peer.ID) error { return g.table.refused(p) }

// Of waits for the greetings on the connections to p, and returns what the peer says of itself.
func (g *Greeter) Of(ctx context.Context, p peer.ID) (PeerInfo, error) {
	for _, c := range g.cfg.Network.ConnsToPeer(p) {
		if err := g.Ready(ctx, c); err != nil {
			return PeerInfo{}, err
		}
	}
	for _, info := range g.Peers() {
		if info.ID == p {
			return info, nil
		}
	}
	return PeerInfo{ID: p}, nil
}
