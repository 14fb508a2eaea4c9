package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/node/addrs"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/node/join"
	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	admitTimeout = 15 * time.Second // for a peer to show who it is; a handshake may take 10 s
	reportEvery  = time.Minute      // between two errors that are reported to a peer
	// noticeEvery is between two lines of the log about errors that a peer reports.
	noticeEvery   = time.Second
	reportTimeout = 5 * time.Second
)

func (n *Node) connected(_ network.Network, c network.Conn) {
	if out := n.strangers.Connected(c); out != nil {
		n.own(func(context.Context) { out.CloseWithError(greet.DisconnectTooManyPeers.ConnCode()) })
	}
	n.greeter.Connected(c)
	if c.Stat().Direction == network.DirInbound && len(n.Network().ConnsToPeer(c.RemotePeer())) > 1 &&
		n.cfg.Judge.Member(c.RemotePeer()) {
		// It may be back, and know nothing of the connections that it had.
		n.probes.Suspect(c.RemotePeer())
	}
}

func (n *Node) disconnected(_ network.Network, c network.Conn) {
	n.strangers.Disconnected(c)
	n.greeter.Disconnected(c)
	if f := n.cfg.Fleet; f != nil && len(n.Network().ConnsToPeer(c.RemotePeer())) == 0 {
		f.Gone(c.RemotePeer())
	}
}

// met is called with each peer that has greeted, before those who wait for that go on.
func (n *Node) met(p greet.PeerInfo, ours bool) {
	n.addrs.Remember(p.Conn, p.Grant, addrs.Claims{Name: p.Hello.Name, Role: p.Hello.Role})
	if ours && p.Shown {
		n.membership.Compare(p.Conn, p.Digest)
	}
	n.twins.Heard(p)
}

// greeted is called after met, when nobody waits.
func (n *Node) greeted(p greet.PeerInfo, ours bool) {
	if p.Shown && (ours || p.Conn.Stat().Direction == network.DirInbound) {
		n.membership.Met(p.Conn)
	}
	n.twins.Compare(p)
	if !ours {
		return
	}
	n.addrs.AskSeed(p.Conn, p.Hello.Families)
	if n.cfg.Greeted != nil {
		n.cfg.Greeted(p)
	}
}

// admitted is asked by the DHT and pubsub: see host.Guard. The side that dialled shows its grant
// first, so on an inbound connection a stream of a peer that is no member has no claim to wait.
func (n *Node) admitted(ctx context.Context, c network.Conn, inbound bool) error {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	if dialled := c.Stat().Direction == network.DirOutbound; dialled || !inbound {
		if err := n.greeter.Await(ctx, c); err != nil {
			return err
		}
	}
	if !n.cfg.Judge.Member(c.RemotePeer()) {
		return trust.ErrStranger
	}
	return nil
}

// observe passes the outcome of an exchange on.
func (n *Node) observe(o streams.Outcome) {
	n.scores.Observe(o)
	if !o.Inbound && streams.CodeOf(o.Err) == streams.CodeTimeout {
		n.probes.Suspect(o.Peer)
	}
	if o.Inbound && o.Err != nil && slices.Contains(n.cfg.Topics, o.Family) {
		n.report(o)
	}
	if n.cfg.Observe != nil {
		n.cfg.Observe(o)
	}
}

// report tells a connected peer that a message it pushed was refused. A topic carries no answers,
// so its owner would not find out otherwise.
func (n *Node) report(o streams.Outcome) {
	if n.Network().Connectedness(o.Peer) != network.Connected || !n.reports.Of(o.Peer).Allow() {
		return
	}
	why := "it breaks a rule"
	if e, ok := errors.AsType[*streams.Error](o.Err); ok {
		why = e.Message
	}
	n.own(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, reportTimeout)
		defer cancel()
		e := streams.Errorf(streams.CodeInvalid, "a message on %s was refused: %s", o.Family, why)
		if err := streams.ErrorNotice.Send(ctx, n.Client, o.Peer, e); err != nil {
			n.log.Debug("a peer was not told of an error", "peer", o.Peer, "err", err)
		}
	})
}

// ping asks over one connection whether the peer lives.
func (n *Node) ping(ctx context.Context, c network.Conn) error {
	_, _, err := greet.Ping.DoOn(ctx, n.Client, c, greet.PingRequest{SentAt: time.Now().UnixMilli()})
	return err
}

// outside reports whether p is reached beyond our own networks.
func (n *Node) outside(p peer.ID) bool {
	if c := n.BestConn(p); c != nil {
		return route.Of(c) != route.LAN
	}
	m, _ := n.Book().Get(p)
	return slices.ContainsFunc(m.AddrInfo().Addrs, manet.IsPublicAddr)
}

// counts reports whether this node watches over a peer: a member, or without a fleet a peer that
// its owner has saved.
func (n *Node) counts(p peer.ID) bool {
	if n.cfg.Judge.Member(p) {
		return true
	}
	m, saved := n.Book().Get(p)
	return n.cfg.Fleet == nil && saved && !m.Hint
}

// leads reports whether machines stay connected with a member, so that it sees all of them: no
// worker does, and nobody whom only an ended issuer has named.
func (n *Node) leads(p peer.ID) bool {
	f := n.cfg.Fleet
	if f == nil {
		return n.cfg.Judge.Member(p)
	}
	m, ok := f.Known(p)
	return ok && m.Err == nil && !m.Unconfirmed && m.Grant.Role != trust.RoleWorker && m.Grant.Role != trust.RoleViewer
}

// visitor makes a host with a passing identity, which looks at an address as anybody would.
func (n *Node) visitor() (corehost.Host, error) {
	key, err := identity.New()
	if err != nil {
		return nil, err
	}
	c := n.cfg.Host
	return host.New(host.Config{
		Identity: key, NoListen: true, NoHolePunching: true, DHT: host.DHTOff, AllowNets: c.AllowNets, DenyNets: c.DenyNets,
		NetworkKey: c.NetworkKey, Options: c.Options, MaxPeers: 1, Logger: slog.New(slog.DiscardHandler),
	})
}

// hint returns what the program knows to do about an error, to be put behind its words.
func (n *Node) hint(err error) string {
	if n.cfg.Host.Hint == nil {
		return ""
	}
	return n.cfg.Host.Hint(err)
}

// authorize puts the judge's answer in the terms of streams.
func (n *Node) authorize(_ context.Context, p streams.Peer, v streams.Verb) error {
	err := n.cfg.Judge.May(p.ID, string(v))
	if d, ok := errors.AsType[*trust.Denied](err); ok {
		code := streams.CodeForbidden
		if d.Unauthenticated() {
			code = streams.CodeUnauthenticated
		}
		return streams.Errorf(code, "%s%s", d.Reason, n.hint(d))
	}
	if err != nil {
		return err
	}
	return n.twins.Held(v)
}

// permit keeps a request here that this node's own view of the fleet forbids.
func (n *Node) permit(p peer.ID, leaving bool) error {
	err := n.cfg.Fleet.MaySend(p, leaving)
	if err == nil {
		return nil
	}
	hint := n.hint(&trust.Denied{Peer: p, Err: err})
	switch {
	case errors.Is(err, trust.ErrStranger), errors.Is(err, trust.ErrOwnGrant):
		return streams.Errorf(streams.CodeUnauthenticated, "not sent: %v%s", err, hint)
	default:
		return streams.Errorf(streams.CodeForbidden, "not sent: %v%s", err, hint)
	}
}

// Peers returns the peers whose handshake is done.
func (n *Node) Peers() []greet.PeerInfo { return n.greeter.Peers() }

// Greeting connects to p if need be and returns what it says of itself. If the peer has just turned
// this node away, the error is its reason, even though the connection has closed.
func (n *Node) Greeting(ctx context.Context, p peer.ID) (greet.PeerInfo, error) {
	info, err := n.greeting(ctx, p)
	if refused := n.greeter.Refused(p); err != nil && refused != nil {
		return greet.PeerInfo{}, refused
	}
	return info, err
}

func (n *Node) greeting(ctx context.Context, p peer.ID) (greet.PeerInfo, error) {
	if err := n.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
		return greet.PeerInfo{}, err
	}
	if len(n.Network().ConnsToPeer(p)) == 0 {
		return greet.PeerInfo{}, fmt.Errorf(
			"connect to %s: %w: it closed the connection at once", p, host.ErrUnreachable)
	}
	return n.greeter.Of(ctx, p)
}

// Disconnect tells the peer why, and closes all connections to it.
func (n *Node) Disconnect(ctx context.Context, p peer.ID, code greet.DisconnectCode, reason string) error {
	return n.greeter.Part(ctx, p, n.Network().ConnsToPeer(p), code, reason)
}

// Twin reports whether two machines run with the identity of p, which may be this node's own.
func (n *Node) Twin(p peer.ID) (twins.Twin, bool) { return n.twins.Of(p) }

// Twins are the identities that two machines run with, as far as this node knows now: for each that
// is so until one of the two has not been seen for three minutes.
func (n *Node) Twins() []twins.Twin { return n.twins.All() }

// Boots asks at some addresses of p, each by itself, which run of its program is there, and notes
// where two of one role are.
func (n *Node) Boots(ctx context.Context, p peer.ID, at []multiaddr.Multiaddr) {
	n.twins.Boots(ctx, p, at)
}

// BringUpToDate connects with a member and hands over all that is newer here: the statements that
// all keep, its own grants, and the grants of others for it to keep.
func (n *Node) BringUpToDate(ctx context.Context, p peer.ID, others ...peer.ID) error {
	info, err := n.Greeting(ctx, p)
	if err != nil {
		return err
	}
	return n.membership.BringUpToDate(ctx, p, info.Digest, others...)
}

// Keeps hands a member some of this node's statements, and returns an error unless it keeps them.
func (n *Node) Keeps(ctx context.Context, p peer.ID, ids []trust.ID) error {
	return n.membership.Keeps(ctx, p, ids)
}

// Missing asks a machine which statements it has lost.
func (n *Node) Missing(ctx context.Context, p peer.ID) ([]trust.ID, error) {
	if _, err := n.Greeting(ctx, p); err != nil {
		return nil, err
	}
	return n.membership.Missing(ctx, p)
}

// LearnMembers asks a member for the members it knows, of some roles or all, and saves them. It
// returns how many there were.
func (n *Node) LearnMembers(ctx context.Context, p peer.ID, roles ...trust.Role) (int, error) {
	return n.addrs.Learn(ctx, p, roles...)
}

// JoinWith redeems a ticket for this node: see join.With.
func (n *Node) JoinWith(ctx context.Context, t *ticket.Ticket, listens []string, waiting func()) (*join.Joined, error) {
	return join.With(ctx, n, n.Client, t, listens, waiting)
}

// ServeOffers takes the first ticket that somebody brings, for a machine that waits for its inviter
// to call. Register it before Listen.
func (n *Node) ServeOffers(offers chan<- string) error { return join.ServeOffers(n.Mux, offers, n.log) }
