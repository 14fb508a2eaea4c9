// Package addrs exchanges addresses: members tell members where members are, seeds tell newcomers
// of an open network where peers are, and what a node learns goes into its address book.
package addrs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// Family lets members tell each other where members are.
var Family = streams.Family{Name: "peers", Versions: []string{"1.0.0"}}

// GetAddr asks a member for the members it knows, and a seed of an open network for peers. In a
// fleet only members are answered.
var GetAddr = streams.Call[AddrRequest, Addr]{
	Family: Family, Request: "get_addr", Reply: "addr", Verb: streams.VerbPublic,
}

// maxRoles bounds the roles in one request.
const maxRoles = 8

// AddrRequest asks for members after one, in the order of their peer IDs.
type AddrRequest struct {
	After peer.ID `json:"after,omitzero"`
	// Roles are those asked for; none means all.
	Roles []trust.Role `json:"roles,omitzero"`
}

// Validate checks the bounds.
func (r AddrRequest) Validate() error {
	if len(r.Roles) > maxRoles {
		return fmt.Errorf("roles: want %d at most", maxRoles)
	}
	return nil
}

// Addr are some members.
type Addr struct {
	Members []membership.Contact `json:"members"`
	// More says that there are others: ask for those after the last one.
	More bool `json:"more,omitzero"`
}

// Validate checks the bounds.
func (a Addr) Validate() error {
	return membership.ValidateContacts(a.Members, book.MaxRecord)
}

// Host is what is needed of the node's host.
type Host interface {
	ID() peer.ID
	Network() network.Network
	Book() *book.Book
	// SignedRecord returns the peer record of a peer as it has signed it, or nil.
	SignedRecord(peer.ID) []byte
	// Tell has the host look into where a peer is said to be.
	Report(peer.AddrInfo)
}

// Directory answers where peers are, and asks.
type Directory struct {
	host   Host
	fleet  *trust.Fleet // nil in an open network
	member func(peer.ID) bool
	seed   bool
	client *streams.Client
	own    func(func(context.Context))
	log    *slog.Logger

	mu     sync.Mutex // guards what follows
	listed []listed   // as they were told of last
	at     time.Time  // when they were listed
}

// listed is a member with its role.
type listed struct {
	peer peer.ID
	role trust.Role
}

// listAgain is how old a list of members may be that is told. To make one of 10,000 takes 50 ms, and any
// member may ask 20 times a second.
const listAgain = time.Second

// Config is what a Directory works with.
type Config struct {
	Host   Host
	Fleet  *trust.Fleet // nil in an open network
	Member func(peer.ID) bool
	// Seed says that newcomers of an open network are answered. In a fleet every member answers
	// members.
	Seed   bool
	Client *streams.Client
	// Go runs a function in a goroutine that the node waits for when it closes; its context ends
	// with the node.
	Go     func(func(context.Context))
	Logger *slog.Logger
}

// New makes a directory.
func New(cfg Config) *Directory {
	return &Directory{
		host: cfg.Host, fleet: cfg.Fleet, member: cfg.Member, seed: cfg.Seed, client: cfg.Client, own: cfg.Go,
		log: cfg.Logger,
	}
}

// Register answers on m, where this node is one that answers.
func (d *Directory) Register(m *streams.Mux) error {
	switch {
	case d.fleet != nil:
		return GetAddr.Handle(m, d.answer)
	case d.seed:
		return GetAddr.Handle(m, d.answerSeed)
	}
	return nil
}

// Members are all members, in the order of their peer IDs, and where they say they are as far as
// that is known; this node is one of them.
func (d *Directory) Members() (out []membership.Contact) {
	for _, m := range d.list() {
		if c, ok := d.contact(m.peer); ok {
			out = append(out, c)
		}
	}
	return out
}

// list returns all members that others are told of.
func (d *Directory) list() (out []listed) {
	out = append(out, listed{d.host.ID(), d.fleet.Self().Grant.Role})
	for _, m := range d.fleet.Members() {
		if isTold(m) && m.Peer != d.host.ID() {
			out = append(out, listed{m.Peer, m.Grant.Role})
		}
	}
	slices.SortFunc(out, func(a, b listed) int { return strings.Compare(string(a.peer), string(b.peer)) })
	return out
}

// isTold reports whether others are told of a member: also of one that waits for an issuer that finds
// it and signs again.
func isTold(m trust.Member) bool { return m.Err == nil || errors.Is(m.Err, trust.ErrSignerEnded) }

// recent is list, or what it was a moment ago.
func (d *Directory) recent() []listed {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.at) > listAgain {
		d.listed, d.at = d.list(), now
	}
	return d.listed
}

// contact returns what is told of a member, or of this node.
func (d *Directory) contact(p peer.ID) (c membership.Contact, ok bool) {
	if p == d.host.ID() {
		return membership.Contact{Peer: p, Record: d.host.SignedRecord(p), Grant: d.fleet.Chain().JSON()}, true
	}
	m, ok := d.fleet.Known(p)
	if !ok || !isTold(m) {
		return c, false
	}
	return membership.Contact{Peer: p, Record: d.host.SignedRecord(p), Grant: m.Chain.JSON()}, true
}

func (d *Directory) answer(_ context.Context, p streams.Peer, r AddrRequest) (Addr, error) {
	if !d.member(p.ID) {
		return Addr{}, streams.Errorf(streams.CodeUnauthenticated, "only members are told where members are")
	}
	told := Addr{Members: []membership.Contact{}}
	for _, m := range d.recent() {
		if m.peer <= r.After || m.peer == p.ID || len(r.Roles) > 0 && !slices.Contains(r.Roles, m.role) {
			continue
		}
		if told.More = len(told.Members) == membership.MaxContacts; told.More {
			break
		}
		if c, ok := d.contact(m.peer); ok {
			told.Members = append(told.Members, c)
		}
	}
	return told, nil
}

// Save adds members that a peer has named, which need not be a member itself, to the address book.
// Entries whose grants do not count are left out, and addresses come from records that the members
// have signed. Of members of other roles than those asked for nothing is saved; none means all. It
// returns how many entries were good.
func Save(
	saved *book.Book, f *trust.Fleet, members []membership.Contact, roles ...trust.Role,
) (good int, err error) {
	self := f.Self().Grant.Subject
	for _, m := range members {
		c, bad := trust.ParseChain(m.Grant)
		if bad != nil || m.Peer == self {
			continue
		}
		g, bad := f.Hear(m.Peer, c)
		if known, ok := f.Known(m.Peer); ok && errors.Is(bad, trust.ErrSignerEnded) {
			g, bad = known.Grant, nil // an issuer has to find it, to sign it again
		}
		if bad != nil || len(roles) > 0 && !slices.Contains(roles, g.Role) {
			continue
		}
		_, failed := saved.Update(m.Peer, func(e *book.Entry) {
			e.Confirm(g.Name, string(g.Role), g.Labels)
			bad = e.Hear(m.Record)
		})
		err = errors.Join(err, failed)
		if bad == nil {
			good++
		}
	}
	return good, err
}

// maxPages bounds the requests of Learn to one peer.
const maxPages = 10_000 / membership.MaxContacts

// Learn asks a member for the members it knows, of some roles or all, and saves them. It returns
// how many there were.
func (d *Directory) Learn(ctx context.Context, p peer.ID, roles ...trust.Role) (int, error) {
	good, after := 0, peer.ID("")
	var unsaved error
	for range maxPages {
		var got Addr
		err := streams.Patiently(ctx, func() (err error) {
			got, err = GetAddr.Do(ctx, d.client, p, AddrRequest{after, roles})
			return err
		})
		if err != nil {
			return good, err
		}
		some, err := Save(d.host.Book(), d.fleet, got.Members, roles...)
		if good += some; unsaved == nil {
			unsaved = err
		}
		if !got.More || len(got.Members) == 0 || got.Members[len(got.Members)-1].Peer <= after {
			return good, unsaved
		}
		after = got.Members[len(got.Members)-1].Peer
	}
	return good, unsaved
}

// Claims are what a peer says of itself.
type Claims struct{ Name, Role string }

// Remember writes into the address book what is known of a peer: for a member the contents of its
// grant, for another saved peer its own claims. Only members are added; the host and the owner
// decide about all others.
func (d *Directory) Remember(conn network.Conn, g *trust.Grant, claimed Claims) {
	p := conn.RemotePeer()
	old, ok := d.host.Book().Get(p)
	if g != nil {
		var addrs []string
		if len(old.Addrs) == 0 && conn.Stat().Direction == network.DirOutbound {
			addrs = []string{conn.RemoteMultiaddr().String()}
		}
		if ok && !old.Hint && old.Name == g.Name && old.Role == string(g.Role) && maps.Equal(old.Labels, g.Labels) &&
			len(addrs) == 0 {
			return
		}
		if _, err := d.host.Book().Update(p, func(m *book.Entry) {
			m.Confirm(g.Name, string(g.Role), g.Labels)
			if len(m.Addrs) == 0 {
				m.Addrs = addrs
			}
		}); err != nil {
			d.log.Warn("a member could not be saved", "peer", p, "err", err)
		}
		return
	}
	if !ok || claimed.Name == "" && claimed.Role == "" || old.ClaimedName == claimed.Name && old.Role == claimed.Role {
		return
	}
	_, err := d.host.Book().Update(p, func(m *book.Entry) { m.ClaimedName, m.Role = claimed.Name, claimed.Role })
	if err != nil {
		d.log.Warn("a peer's name could not be saved", "peer", p, "err", err)
	}
}
