package node_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/identity"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/addrs"
	"github.com/seed-b490fa12/swarm/host/node/join"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/streams"
)

// founder makes fleets, and members of them.
type founder struct {
	t      *testing.T
	root   *trust.Root
	signer *trust.Signer // the root's
	issuer *trust.Signer
	laptop *node.Node
	book   *ticket.Book
	n      int64 // of the last grant
}

// newFounder makes a fleet with an issuer that redeems tickets.
func newFounder(t *testing.T) *founder {
	t.Helper()
	f := &founder{t: t}
	var err error
	f.root, err = trust.NewRoot()
	must(t, err)
	f.signer, err = f.root.Signer()
	must(t, err)
	f.book, err = ticket.OpenBook(t.TempDir())
	must(t, err)
	key, id := newKey(t)
	all := []string{trust.AllVerbs, trust.VerbAdmit, trust.VerbGrant, trust.VerbRevoke}
	chain, err := f.signer.Issue(trust.Grant{
		Subject: id, Role: trust.RoleIssuer, Name: "laptop", Verbs: all,
		MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleWorker, trust.RoleViewer, trust.RoleController}, Verbs: all, ForAll: true},
	}, time.Now().AddDate(-1, -1, 0))
	must(t, err)
	f.issuer, err = trust.NewIssuer(f.root.Fleet(), key, chain)
	must(t, err)
	f.laptop = f.start(key, chain, node.Config{Role: "controller", Tickets: f.book}, nil)
	return f
}

func newKey(t *testing.T) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, err := identity.New()
	must(t, err)
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	return key, id
}

// start runs a node with this membership.
func (f *founder) start(key crypto.PrivKey, chain trust.Chain, cfg node.Config, clock func() time.Time) *node.Node {
	f.t.Helper()
	id, err := peer.IDFromPrivateKey(key)
	must(f.t, err)
	dir := filepath.Join(f.t.TempDir(), "fleet")
	fleet, err := trust.CreateFleet(trust.FleetConfig{Dir: dir, Self: id, Clock: clock},
		trust.Membership{Fleet: f.root.Fleet(), Name: "home", Chain: chain}, nil)
	must(f.t, err)
	cfg.Fleet, cfg.Host.Identity = fleet, key
	n := newNode(f.t, cfg)
	fleets.Store(n, fleet)
	folders.Store(n, dir)
	return n
}

// folders are where nodes keep their memberships.
var folders sync.Map

func folderOf(n *node.Node) string {
	dir, _ := folders.Load(n)
	return dir.(string)
}

// fleets are the memberships of nodes, which the nodes themselves do not show.
var fleets sync.Map

func fleetOf(n *node.Node) *trust.Fleet {
	f, _ := fleets.Load(n)
	return f.(*trust.Fleet)
}

// member lets a new node in.
func (f *founder) member(role trust.Role, name string, change ...func(*trust.Grant)) *node.Node {
	f.t.Helper()
	key, id := newKey(f.t)
	return f.start(key, f.grant(id, role, name, time.Now(), change...), node.Config{Role: string(role), Topics: []string{"t"}}, nil)
}

func (f *founder) grant(id peer.ID, role trust.Role, name string, at time.Time, change ...func(*trust.Grant)) trust.Chain {
	f.t.Helper()
	f.n++
	g := trust.Grant{Subject: id, Role: role, Name: name, N: f.n}
	for _, c := range change {
		c(&g)
	}
	chain, err := f.issuer.Issue(g, at)
	must(f.t, err)
	return chain
}

// revoke has the root throw out a peer, as n hears of it.
func (f *founder) revoke(n *node.Node, p peer.ID) []byte {
	f.t.Helper()
	end, err := f.signer.End(p, time.Now())
	must(f.t, err)
	if _, err := fleetOf(n).Learn(end); err != nil {
		f.t.Fatal(err)
	}
	return end
}

func ping(t *testing.T, from, to *node.Node) error {
	t.Helper()
	_, err := hello.Do(t.Context(), from.Client, to.ID(), helloRequest{"x"})
	return err
}

func TestMembersMeet(t *testing.T) {
	f := newFounder(t)
	worker := f.member(trust.RoleWorker, "rig-01", func(g *trust.Grant) { g.Labels = map[string]string{"gpu": "3080"} })
	must(t, hello.Handle(worker.Mux, sayHello))
	must(t, f.laptop.Connect(t.Context(), info(worker)))
	got, err := f.laptop.Greeting(t.Context(), worker.ID())
	must(t, err)
	if got.Grant == nil || got.Grant.Name != "rig-01" || got.Hello.Name != "rig-01" || got.Hello.Role != "worker" {
		t.Errorf("greeting %+v", got)
	}
	if len(got.Hello.Grant)+len(got.Hello.Statements) > 0 {
		t.Error("the greeting keeps what is not for keeping")
	}
	must(t, ping(t, f.laptop, worker))
	if m, ok := f.laptop.Book().Get(worker.ID()); !ok || m.Name != "rig-01" || m.Labels["gpu"] != "3080" || m.Hint {
		t.Errorf("the address book has %+v", m)
	}
	if err := ping(t, worker, f.laptop); streams.CodeOf(err) != streams.CodeUnsupported {
		t.Errorf("a worker asks the laptop: %v", err)
	}
}

// On probation a stranger hears a version and families, and nothing else; of libp2p's protocols
// only identify and ping answer.
func TestStrangersOnProbation(t *testing.T) {
	f := newFounder(t)
	worker := f.member(trust.RoleWorker, "rig-01")
	must(t, hello.Handle(worker.Mux, sayHello))
	other := newFounder(t)
	key, id := newKey(t)
	for _, tc := range []struct {
		name string
		n    *node.Node
		want string
	}{
		{"no grant", newNode(t, node.Config{Role: "controller", Name: "x"}), "no grant"},
		{"of another fleet", other.laptop, "another fleet"},
		{"expired", f.start(key, f.grant(id, trust.RoleController, "old", time.Now().Add(-2*time.Hour), func(g *trust.Grant) {
			g.Expires = time.Now().Add(-time.Hour).UnixMilli()
		}), node.Config{Role: "controller"}, nil), "expired"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			must(t, tc.n.Connect(t.Context(), info(worker)))
			got, err := tc.n.Greeting(t.Context(), worker.ID())
			must(t, err)
			if got.Hello.Name != "" || got.Hello.Role != "" || got.Grant != nil || len(got.Hello.Families) == 0 {
				t.Errorf("it was told %+v", got)
			}
			// A node of a fleet would keep a request to a stranger to itself.
			asker := streams.NewClient(tc.n.Host, streams.Config{})
			defer asker.Close()
			_, err = hello.Do(t.Context(), asker, worker.ID(), helloRequest{"x"})
			if streams.CodeOf(err) != streams.CodeUnauthenticated || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want 401 with %q", err, tc.want)
			}
			for _, id := range worker.Host.Mux().Protocols() {
				answers(t, tc.n, worker, id)
			}
			waitFor(t, "the stranger to be gone", func() bool { return len(worker.Network().ConnsToPeer(tc.n.ID())) == 0 })
			if _, saved := worker.Book().Get(tc.n.ID()); saved {
				t.Error("a record of the stranger was kept")
			}
		})
	}
}

// answers opens a protocol as a stranger, and requires a reset of all that is for members only.
func answers(t *testing.T, from, to *node.Node, id protocol.ID) {
	t.Helper()
	if strings.HasPrefix(string(id), "/swarm/") && !strings.Contains(string(id), "/kad/") {
		return // ours answer in words: see above
	}
	if strings.HasPrefix(string(id), "/ipfs/id/") || strings.HasPrefix(string(id), "/ipfs/ping/") {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := from.Host.Host.NewStream(ctx, to.ID(), id)
	if err != nil {
		return
	}
	defer s.Reset()
	must(t, s.SetDeadline(time.Now().Add(5*time.Second)))
	s.Write([]byte{0})
	_, err = s.Read(make([]byte, 1))
	if reset := (&network.StreamError{}); !errors.As(err, &reset) && !errors.Is(err, network.ErrReset) {
		t.Errorf("%s answers a stranger: %v", id, err)
	}
}

// Statements travel at contact in both directions, and at once to all who are connected; the
// connections of one who was revoked end, and it knows by whom.
func TestStatementsSpread(t *testing.T) {
	f := newFounder(t)
	a, b, away := f.member(trust.RoleWorker, "a"), f.member(trust.RoleWorker, "b"), f.member(trust.RoleWorker, "away")
	thief := f.member(trust.RoleController, "thief")
	for _, w := range []*node.Node{a, b, away} {
		must(t, hello.Handle(w.Mux, sayHello))
		must(t, thief.Connect(t.Context(), info(w)))
		must(t, ping(t, thief, w))
	}
	must(t, a.Connect(t.Context(), info(b)))
	must(t, f.laptop.Connect(t.Context(), info(a)))
	must(t, ping(t, f.laptop, a))
	f.revoke(f.laptop, thief.ID())
	for _, w := range []*node.Node{a, b} {
		waitFor(t, "the thief to be cut off, and to know", func() bool {
			return len(w.Network().ConnsToPeer(thief.ID()))+len(thief.Network().ConnsToPeer(w.ID())) == 0
		})
		if err := ping(t, thief, w); streams.CodeOf(err) != streams.CodeForbidden || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("the thief is told %v", err)
		}
	}
	must(t, b.Connect(t.Context(), info(away)))
	waitFor(t, "the last one to hear of it", func() bool { return len(away.Network().ConnsToPeer(thief.ID())) == 0 })

	waitFor(t, "the thief to know it", func() bool { return errors.Is(fleetOf(thief).SelfErr(), trust.ErrRevokedPeer) })
}

// One who may issue renews what it meets, from two thirds of its life on.
func TestRenewedAtContact(t *testing.T) {
	f := newFounder(t)
	key, id := newKey(t)
	old := f.grant(id, trust.RoleWorker, "rig-01", time.Now().AddDate(0, 0, -300))
	worker := f.start(key, old, node.Config{Role: "worker"}, nil)
	key2, id2 := newKey(t)
	short := f.start(key2, f.grant(id2, trust.RoleViewer, "friend", time.Now().AddDate(0, 0, -80), func(g *trust.Grant) { g.NoRenew = true }), node.Config{}, nil)
	before := fleetOf(worker).Self().Grant
	for _, n := range []*node.Node{worker, short} {
		must(t, f.laptop.Connect(t.Context(), info(n)))
	}
	waitFor(t, "the renewal", func() bool { return fleetOf(worker).Self().Grant.Expires > before.Expires })
	if g := fleetOf(worker).Self().Grant; g.Name != before.Name || g.Role != before.Role || g.Line != before.Line || g.N <= before.N {
		t.Errorf("renewed as %+v", g)
	}
	if g := fleetOf(short).Self().Grant; time.UnixMilli(g.Expires).After(time.Now().AddDate(0, 0, 11)) {
		t.Error("a grant for a while was renewed")
	}
}

// A machine whose own grant is over takes no commands. Who brings it a new one is not refused with
// the first command: the grant is there before it.
func TestNewerGrantComesBeforeTheFirstCommand(t *testing.T) {
	f := newFounder(t)
	key, id := newKey(t)
	ended := f.grant(id, trust.RoleWorker, "rig-01", time.Now().AddDate(-1, 0, -20))
	for range 20 { // it would be a race
		worker := f.start(key, ended, node.Config{Role: "worker"}, nil)
		must(t, hello.Handle(worker.Mux, sayHello))
		if err := ping(t, f.laptop, worker); streams.CodeOf(err) != streams.CodeUnavailable {
			t.Fatalf("before they are connected: %v", err)
		}
		if _, err := fleetOf(f.laptop).Admit(id, f.grant(id, trust.RoleWorker, "rig-01", time.Now())); err != nil {
			t.Fatal(err)
		}
		f.laptop.Peerstore().AddAddrs(id, worker.Addrs(), time.Hour)
		must(t, ping(t, f.laptop, worker))
		must(t, worker.Close())
		f.laptop.Peerstore().ClearAddrs(id)
	}
}

// A newer grant of a peer that listens nowhere waits for it with the others.
func TestNewerGrantWaits(t *testing.T) {
	f := newFounder(t)
	worker := f.member(trust.RoleWorker, "rig-01")
	must(t, hello.Handle(worker.Mux, sayHello))
	friend := f.member(trust.RoleViewer, "friend")
	must(t, friend.Connect(t.Context(), info(worker)))
	must(t, ping(t, friend, worker))
	c := f.grant(friend.ID(), trust.RoleViewer, "friend", time.Now().Add(time.Second), func(g *trust.Grant) { g.Verbs = []string{} })
	if _, err := fleetOf(f.laptop).Admit(friend.ID(), c); err != nil {
		t.Fatal(err)
	}
	must(t, f.laptop.Connect(t.Context(), info(worker)))
	must(t, f.laptop.BringUpToDate(t.Context(), worker.ID(), friend.ID()))
	if err := ping(t, friend, worker); streams.CodeOf(err) != streams.CodeForbidden {
		t.Errorf("with the newer grant: %v", err)
	}
	must(t, friend.Network().ClosePeer(worker.ID()))
	must(t, friend.Connect(t.Context(), info(worker)))
	if _, err := friend.Greeting(t.Context(), worker.ID()); err != nil {
		t.Error(err)
	}
	waitFor(t, "the friend to have it", func() bool { return len(fleetOf(friend).Self().Grant.Verbs) == 0 })
}

func (f *founder) ticket(change func(*ticket.Ticket)) *ticket.Ticket {
	f.t.Helper()
	t := ticket.Ticket{
		Fleet: f.root.Fleet(), FleetName: "home", Redeemer: f.laptop.ID(), Addrs: f.laptop.Addrs(),
		Role: trust.RoleWorker, Name: "rig-09", Expires: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(&t)
	}
	out, err := ticket.New(t)
	must(f.t, err)
	return out
}

func (f *founder) note(k *ticket.Ticket, change func(*ticket.Invitation)) *ticket.Ticket {
	f.t.Helper()
	inv := ticket.Invitation{ID: k.ID, Name: k.Name, Role: k.Role, Expires: k.Expires}
	if change != nil {
		change(&inv)
	}
	must(f.t, f.book.Add(inv, k.Secret))
	return k
}

func TestJoin(t *testing.T) {
	f := newFounder(t)
	k := f.note(f.ticket(nil), nil)
	joiner := newNode(t, node.Config{})
	got, err := joiner.JoinWith(t.Context(), k, []string{"/ip4/10.1.2.3/tcp/4747"}, nil)
	must(t, err)
	again, err := joiner.JoinWith(t.Context(), k, nil, nil) // the first answer was lost
	must(t, err)
	if !got.Membership.Chain.Equal(again.Membership.Chain) || got.Membership.Name != "home" {
		t.Errorf("got %+v, then %+v", got.Membership, again.Membership)
	}
	if !slices.ContainsFunc(got.Members, func(m membership.Contact) bool { return m.Peer == f.laptop.ID() && len(m.Record) > 0 }) {
		t.Errorf("told of %+v", got.Members)
	}
	if m, ok := f.laptop.Book().Get(joiner.ID()); !ok || m.Name != "rig-09" || len(m.Addrs) == 0 {
		t.Errorf("the redeemer has saved %+v", m)
	}
	if _, err := newNode(t, node.Config{}).JoinWith(t.Context(), k, nil, nil); streams.CodeOf(err) != streams.CodeConflict {
		t.Errorf("a second machine: %v", err)
	}
	if s, err := f.book.State(k.ID); err != nil || s.UsedBy != joiner.ID() || s.RefusedPeer == "" {
		t.Errorf("the book says %+v, %v", s, err)
	}
}

func TestJoinRefused(t *testing.T) {
	f := newFounder(t)
	_, stranger := newKey(t)
	tests := []struct {
		name   string
		ticket *ticket.Ticket
		code   streams.Code
		words  string
	}{
		{"not in the book", f.ticket(nil), streams.CodeNotFound, "not known here"},
		{"for another machine", f.note(f.ticket(nil), func(i *ticket.Invitation) { i.Peer = stranger }), streams.CodeForbidden, "another machine"},
		{"expired", f.note(f.ticket(nil), func(i *ticket.Invitation) { i.Expires = time.Now().Add(-time.Second) }), streams.CodeForbidden, "expired"},
		{"another role than promised", f.note(f.ticket(nil), func(i *ticket.Invitation) { i.Role = trust.RoleViewer }), streams.CodeForbidden, "the ticket is for"},
	}
	wrong := *f.note(f.ticket(nil), nil)
	wrong.Secret = bytes.Repeat([]byte{1}, 16)
	tests = append(tests, struct {
		name   string
		ticket *ticket.Ticket
		code   streams.Code
		words  string
	}{"a wrong secret", &wrong, streams.CodeNotFound, "altered"})
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := newNode(t, node.Config{}).JoinWith(t.Context(), tc.ticket, nil, nil)
			if streams.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("got %v, want %d with %q", err, tc.code, tc.words)
			}
		})
	}
}

// A person confirms a controller before it is in.
func TestJoinConfirmed(t *testing.T) {
	f := newFounder(t)
	for _, yes := range []bool{true, false} {
		k := f.note(f.ticket(func(t *ticket.Ticket) { t.Role, t.Name = trust.RoleController, "laptop2" }), func(i *ticket.Invitation) { i.Confirm = true })
		joiner := newNode(t, node.Config{})
		_, err := joiner.JoinWith(t.Context(), k, nil, func() {
			s, err := f.book.State(k.ID)
			if err != nil || s.Waiting != joiner.ID() {
				t.Errorf("the book says %+v, %v", s, err)
			}
			must(t, f.book.Answer(k.ID, joiner.ID(), yes))
		})
		if (err == nil) != yes || !yes && streams.CodeOf(err) != streams.CodeForbidden {
			t.Errorf("answer %v: %v", yes, err)
		}
	}
}

// One who answers in the inviter's place and has no right to let anybody in does not get the
// secret.
func TestSecretIsNotForImpostors(t *testing.T) {
	f := newFounder(t)
	var mu sync.Mutex
	var heard []join.Request
	impostor := func(chain jsontext.Value) func(context.Context, streams.Peer, join.Request) (join.Ack, error) {
		return func(_ context.Context, _ streams.Peer, r join.Request) (join.Ack, error) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, r)
			return join.Ack{Redeemer: chain, Grant: chain, Fleet: "home"}, nil
		}
	}
	worker := f.member(trust.RoleWorker, "rig-01")
	other := newFounder(t)
	tests := []struct {
		name  string
		chain jsontext.Value // what it shows
		addrs []multiaddr.Multiaddr
	}{
		{"shows nothing", nil, nil},
		{"shows another's grant", f.laptop2(t), nil},
		{"shows a worker's grant", fleetOf(worker).Chain().JSON(), nil},
		{"shows a grant of another fleet", fleetOf(other.laptop).Chain().JSON(), nil},
		{"sits at the inviter's address", nil, f.laptop.Addrs()},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			fake := newNode(t, node.Config{})
			must(t, join.Join.Handle(fake.Mux, impostor(tc.chain)))
			k := f.ticket(func(t *ticket.Ticket) { t.Redeemer, t.Addrs = fake.ID(), fake.Addrs() })
			if tc.addrs != nil {
				k.Addrs = tc.addrs
			}
			if _, err := newNode(t, node.Config{}).JoinWith(t.Context(), k, nil, nil); err == nil {
				t.Error("joined")
			}
			mu.Lock()
			defer mu.Unlock()
			for _, r := range heard {
				if len(r.Secret) > 0 {
					t.Error("the secret has left")
				}
			}
		})
	}
}

// laptop2 is the chain of the real inviter, which anybody can have seen.
func (f *founder) laptop2(*testing.T) jsontext.Value { return fleetOf(f.laptop).Chain().JSON() }

// A waiting machine takes one ticket that is brought to it.
func TestOffer(t *testing.T) {
	waiting := newNode(t, node.Config{})
	offers := make(chan string, 1)
	must(t, waiting.ServeOffers(offers))
	caller := newNode(t, node.Config{})
	must(t, caller.Connect(t.Context(), info(waiting)))
	for i, want := range []streams.Code{0, streams.CodeTooMany} {
		_, err := join.Offer.Do(t.Context(), caller.Client, waiting.ID(), join.OfferRequest{Ticket: "swarm1-x"})
		if streams.CodeOf(err) != want {
			t.Errorf("offer %d: %v", i, err)
		}
	}
	if got := <-offers; got != "swarm1-x" {
		t.Errorf("got %q", got)
	}
}

// Who passes on where a member is needs no right, and has no say in it: only what the member has
// signed counts.
func TestMadeUpAddresses(t *testing.T) {
	f := newFounder(t)
	key, relay := newKey(t)
	liar, _ := newKey(t)
	chain, err := f.signer.Issue(trust.Grant{Subject: relay, Role: trust.RoleRelay, Name: "vps"}, time.Now())
	must(t, err)
	signed := func(by crypto.PrivKey, seq uint64, addr string) []byte {
		env, err := record.Seal(&peer.PeerRecord{PeerID: relay, Seq: seq, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast(addr)}}, by)
		must(t, err)
		text, err := env.Marshal()
		must(t, err)
		return text
	}
	const old, now, madeUp = "/ip4/198.51.100.1/tcp/4747", "/ip4/198.51.100.2/tcp/4747", "/ip4/203.0.113.7/tcp/4747"
	for _, tt := range []struct {
		name   string
		record []byte
		good   int
		want   []string
	}{
		{"before it has said anything", nil, 1, nil},
		{"made up", signed(liar, 9, madeUp), 0, nil},
		{"its own", signed(key, 1, old), 1, []string{old}},
		{"a newer one", signed(key, 2, now), 1, []string{now}},
		{"the old one again", signed(key, 1, old), 1, []string{now}},
		{"made up again", signed(liar, 9, madeUp), 0, []string{now}},
	} {
		n, err := addrs.Save(f.laptop.Book(), fleetOf(f.laptop), []membership.Contact{{Peer: relay, Record: tt.record, Grant: chain.JSON()}})
		must(t, err)
		if m, _ := f.laptop.Book().Get(relay); n != tt.good || !slices.Equal(m.Announced, tt.want) || m.Name != "vps" {
			t.Errorf("%s: %d good, saved %+v, want %d and %v", tt.name, n, m, tt.good, tt.want)
		}
	}
}

// Members tell each other of members, and strangers of nobody.
func TestGetAddr(t *testing.T) {
	f := newFounder(t)
	a, b := f.member(trust.RoleWorker, "a"), f.member(trust.RoleWorker, "b")
	for _, w := range []*node.Node{a, b} {
		must(t, f.laptop.Connect(t.Context(), info(w)))
		if _, err := f.laptop.Greeting(t.Context(), w.ID()); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "both are saved", func() bool {
		return len(f.laptop.SignedRecord(a.ID())) > 0 && len(f.laptop.SignedRecord(b.ID())) > 0
	})
	c := f.member(trust.RoleController, "c")
	must(t, c.Connect(t.Context(), info(f.laptop)))
	good, err := c.LearnMembers(t.Context(), f.laptop.ID())
	if err != nil || good != 3 {
		t.Errorf("learned of %d: %v", good, err)
	}
	for _, w := range []*node.Node{a, b} {
		if m, ok := c.Book().Get(w.ID()); !ok || m.Name != fleetOf(w).Self().Grant.Name || !slices.Contains(m.Announced, w.Addrs()[0].String()) {
			t.Errorf("saved %+v", m)
		}
	}
	stranger := newNode(t, node.Config{})
	must(t, stranger.Connect(t.Context(), info(f.laptop)))
	if _, err := addrs.GetAddr.Do(t.Context(), stranger.Client, f.laptop.ID(), addrs.AddrRequest{}); streams.CodeOf(err) != streams.CodeUnauthenticated {
		t.Errorf("a stranger: %v", err)
	}
}

// put has a member bring a ticket for the laptop to redeem.
func (f *founder) put(from *node.Node, change func(*ticket.Ticket, *ticket.Invitation)) (*ticket.Ticket, error) {
	f.t.Helper()
	k := ticket.Ticket{Fleet: f.root.Fleet(), FleetName: "home", Redeemer: f.laptop.ID(), Addrs: f.laptop.Addrs(), Role: trust.RoleWorker, Name: "x", Expires: time.Now().Add(time.Hour)}
	inv := ticket.Invitation{Expires: k.Expires}
	change(&k, &inv)
	out, err := ticket.New(k)
	must(f.t, err)
	inv.ID, inv.Name, inv.Role = out.ID, out.Name, out.Role
	text, err := json.Marshal(inv)
	must(f.t, err)
	_, err = join.PutTicket.Do(f.t.Context(), from.Client, f.laptop.ID(), join.TicketRequest{Invitation: text, Secret: out.Secret})
	return out, err
}

// The right to admit used to give every right: a ticket that a member brought was held to the
// redeemer's grant alone.
func TestBroughtTicketGivesNoMoreThanItsMakerMay(t *testing.T) {
	f := newFounder(t)
	admit := func(g *trust.Grant) { g.Verbs = []string{"admit", "stats.read"} }
	friend := f.member(trust.RoleViewer, "friend", admit, func(g *trust.Grant) {
		g.Also = []trust.Right{{Verbs: []string{"logs.read"}, On: "site=a"}, {Verbs: []string{"deploy"}, Expires: time.Now().Add(time.Hour).UnixMilli()}}
	})
	guest := f.member(trust.RoleViewer, "guest", admit, func(g *trust.Grant) { g.NoRenew = true })
	key, id := newKey(t)
	chain, err := f.signer.Issue(trust.Grant{Subject: id, Role: trust.RoleIssuer, Name: "second", Verbs: []string{"admit", "deploy"},
		MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleController}, Verbs: []string{"deploy"}}}, time.Now())
	must(t, err)
	issuer := f.start(key, chain, node.Config{Role: "controller"}, nil)
	all := []string{"*", "admit", "grant", "revoke"}
	tests := []struct {
		name  string
		by    *node.Node
		role  trust.Role
		verbs []string
		on    string
		named bool // by its peer ID
		code  streams.Code
	}{
		{"a worker", friend, trust.RoleWorker, nil, "", false, 0},
		{"a worker, by a guest", guest, trust.RoleWorker, nil, "", false, 0},
		{"a worker with all verbs", friend, trust.RoleWorker, all, "", true, streams.CodeForbidden},
		{"a controller", friend, trust.RoleController, nil, "", true, streams.CodeForbidden},
		{"a viewer", friend, trust.RoleViewer, nil, "", true, streams.CodeForbidden},
		{"a viewer of what it sees itself", friend, trust.RoleViewer, []string{"stats.read"}, "", false, 0},
		{"and by a guest", guest, trust.RoleViewer, []string{"stats.read"}, "", false, streams.CodeForbidden},
		{"a viewer of its machines", friend, trust.RoleViewer, []string{"logs.read"}, "site=a,gpu", false, 0},
		{"a viewer of other machines", friend, trust.RoleViewer, []string{"logs.read"}, "", false, streams.CodeForbidden},
		{"what it has for an hour", friend, trust.RoleViewer, []string{"deploy"}, "", true, streams.CodeForbidden},
		{"its right to admit, unnamed", friend, trust.RoleViewer, []string{"admit"}, "", false, streams.CodeInvalid},
		{"its right to admit", friend, trust.RoleViewer, []string{"admit"}, "", true, 0},
		{"what it may issue, unnamed", issuer, trust.RoleController, []string{"deploy"}, "", false, streams.CodeInvalid},
		{"what it may issue", issuer, trust.RoleController, []string{"deploy"}, "", true, 0},
		{"more than it may issue", issuer, trust.RoleController, []string{"run"}, "", true, streams.CodeForbidden},
	}
	for _, n := range []*node.Node{friend, guest, issuer} {
		must(t, n.Connect(t.Context(), info(f.laptop)))
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := f.put(tc.by, func(k *ticket.Ticket, inv *ticket.Invitation) {
				k.Role, inv.Verbs, inv.On = tc.role, tc.verbs, tc.on
				if tc.named {
					inv.Peer = id
				}
			})
			if streams.CodeOf(err) != tc.code {
				t.Errorf("got %v, want %d", err, tc.code)
			}
		})
	}
}

// A ticket that a member brought is worth nothing once that member is thrown out.
func TestBroughtTicketEndsWithItsMaker(t *testing.T) {
	f := newFounder(t)
	friend := f.member(trust.RoleViewer, "friend", func(g *trust.Grant) { g.Verbs = []string{"admit"} })
	must(t, friend.Connect(t.Context(), info(f.laptop)))
	one, err := f.put(friend, func(k *ticket.Ticket, _ *ticket.Invitation) { k.Name = "one" })
	must(t, err)
	two, err := f.put(friend, func(k *ticket.Ticket, _ *ticket.Invitation) { k.Name = "two" })
	must(t, err)
	_, err = newNode(t, node.Config{}).JoinWith(t.Context(), one, nil, nil)
	must(t, err)
	f.revoke(f.laptop, friend.ID())
	if _, err := newNode(t, node.Config{}).JoinWith(t.Context(), two, nil, nil); streams.CodeOf(err) != streams.CodeForbidden {
		t.Errorf("after its maker was revoked: %v", err)
	}
}

// One who brings a revocation hears when it could not be saved, and it is written at the next
// contact with anybody.
func TestUnsavedStatementIsToldAndSavedLater(t *testing.T) {
	f := newFounder(t)
	worker := f.member(trust.RoleWorker, "rig-01")
	_, thief := newKey(t)
	must(t, f.laptop.Connect(t.Context(), info(worker)))
	_, err := f.laptop.Greeting(t.Context(), worker.ID())
	must(t, err)
	end, err := f.signer.End(thief, time.Now())
	must(t, err)
	lock := filepath.Join(folderOf(worker), "lock")
	must(t, os.Remove(lock))
	must(t, os.Mkdir(lock, 0o700)) // in the way of the file
	_, err = membership.PutStatements.Do(t.Context(), f.laptop.Client, worker.ID(), membership.Statements{Statements: [][]byte{end}})
	if streams.CodeOf(err) != streams.CodeUnavailable || !fleetOf(worker).Revoked(thief) {
		t.Errorf("got %v, want 503, and the thief out all the same", err)
	}
	must(t, os.Remove(lock))
	must(t, f.member(trust.RoleWorker, "rig-02").Connect(t.Context(), info(worker)))
	waitFor(t, "the statement to be on the disk", func() bool {
		text, err := os.ReadFile(filepath.Join(folderOf(worker), "statements"))
		return err == nil && strings.Contains(string(text), base64.StdEncoding.EncodeToString(end))
	})
}

// A machine signs by itself, when its time is near, what the root or it itself has signed, and what
// gives no rights: then it names the issuer on whose word it did. Rights that another issuer gave
// wait for a person, or they would outlive that issuer.
func TestRightsOfOthersAreNotRenewedByThemselves(t *testing.T) {
	f := newFounder(t)
	long := time.Now().AddDate(0, 0, -300) // a year's grant of then is due
	key, id := newKey(t)
	c, err := f.signer.Issue(trust.Grant{Subject: id, Role: trust.RoleIssuer, Name: "other", Verbs: []string{"stats.read"},
		MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleWorker, trust.RoleViewer}, Verbs: []string{"stats.read"}, ForAll: true}}, long.AddDate(0, 0, -1))
	must(t, err)
	other, err := trust.NewIssuer(f.root.Fleet(), key, c)
	must(t, err)
	tests := []struct {
		name  string
		by    *trust.Signer
		verbs []string
		want  bool
	}{
		{"by the root", f.signer, []string{"stats.read"}, true},
		{"by itself", f.issuer, []string{"stats.read"}, true},
		{"by another, without rights", other, []string{}, true},
		{"by another, with rights", other, []string{"stats.read"}, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			key, id := newKey(t)
			c, err := tc.by.Issue(trust.Grant{Subject: id, Role: trust.RoleWorker, Name: "m", Verbs: tc.verbs}, long)
			must(t, err)
			n := f.start(key, c, node.Config{Role: "worker"}, nil)
			must(t, f.laptop.Connect(t.Context(), info(n)))
			must(t, f.laptop.BringUpToDate(t.Context(), n.ID())) // a renewal is over by then
			g := fleetOf(n).Self().Grant
			if renewed := g.By == f.laptop.ID() && g.N > 1; renewed != tc.want {
				t.Errorf("renewed %v, want %v", renewed, tc.want)
			}
			if byOther := tc.by == other && tc.want; (len(g.Origins) == 1 && g.Origins[0].By == other.ID()) != byOther {
				t.Errorf("on the word of %v", g.Origins)
			}
		})
	}
}

// Many changes at once are told in one go: whoever has the key of an issuer that has ended could revoke
// thousands of times, one by one, and each time all members greeted one another.
func TestManyChangesAreToldTogether(t *testing.T) {
	f := newFounder(t)
	key, id := newKey(t)
	var greetings atomic.Int64
	worker := f.start(key, f.grant(id, trust.RoleWorker, "rig-01", time.Now()), node.Config{Role: "worker", Observe: func(o streams.Outcome) {
		if o.Inbound && o.Type == "handshake" {
			greetings.Add(1)
		}
	}}, nil)
	must(t, f.laptop.Connect(t.Context(), info(worker)))
	must(t, f.laptop.BringUpToDate(t.Context(), id))
	before, began := greetings.Load(), time.Now()
	var last peer.ID
	for range 50 {
		_, last = newKey(t)
		f.revoke(f.laptop, last)
	}
	waitFor(t, "the last revocation to arrive", func() bool { return fleetOf(worker).Revoked(last) })
	took := time.Since(began)
	if n := greetings.Load() - before; n > 2+int64(took/time.Second) {
		t.Errorf("%d greetings in %v", n, took)
	}
}

// What a machine itself has of its grants is looked at before one is signed anew by itself, also
// while that counts: the one that it shows may be of a thief, with other labels than the honest one.
func TestAllGrantsAreSeenBeforeOneIsRenewed(t *testing.T) {
	f := newFounder(t)
	key, id := newKey(t)
	c, err := f.signer.Issue(trust.Grant{Subject: id, Role: trust.RoleIssuer, Name: "other",
		MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleWorker}, ForAll: true}}, time.Now())
	must(t, err)
	other, err := trust.NewIssuer(f.root.Fleet(), key, c)
	must(t, err)
	for range 5 { // it would be a race
		key, id := newKey(t)
		grant := func(site string, n int64) trust.Chain {
			c, err := other.Issue(trust.Grant{Subject: id, Role: trust.RoleWorker, Name: "rig", N: n, Labels: map[string]string{"site": site}},
				time.Now().AddDate(0, 0, -300)) // it is due
			must(t, err)
			return c
		}
		worker := f.start(key, grant("a", 1), node.Config{Role: "worker"}, nil)
		_, err = fleetOf(worker).Learn(grant("b", 2)...)
		must(t, err)
		must(t, worker.Connect(t.Context(), info(f.laptop)))
		_, err = worker.Greeting(t.Context(), f.laptop.ID())
		must(t, err)
		must(t, f.laptop.BringUpToDate(t.Context(), worker.ID())) // a renewal is over by then
		if g := fleetOf(worker).Self().Grant; g.By == f.laptop.ID() {
			t.Errorf("signed anew with the labels %v", g.Labels)
		}
	}
}

// One who has more to ask or to hand over than a member's rate lets it takes its time: nothing of
// it is lost.
func TestMembersWaitTheirTurn(t *testing.T) {
	f := newFounder(t)
	key, id := newKey(t)
	limits := streams.Limits{Public: streams.Rate{PerSecond: 4, Burst: 3}}
	worker := f.start(key, f.grant(id, trust.RoleWorker, "rig-01", time.Now()), node.Config{Role: "worker", Limits: limits}, nil)
	must(t, f.laptop.Connect(t.Context(), info(worker)))
	_, err := f.laptop.Greeting(t.Context(), worker.ID())
	must(t, err)
	const many = 6 // and a page of members has 32
	var others []peer.ID
	for i := range many * 32 {
		_, id := newKey(t)
		c := f.grant(id, trust.RoleViewer, "v", time.Now())
		if i < many {
			_, err = fleetOf(f.laptop).Admit(id, c)
			others = append(others, id)
		} else {
			_, err = fleetOf(worker).Admit(id, c)
		}
		must(t, err)
	}
	must(t, f.laptop.BringUpToDate(t.Context(), worker.ID(), others...))
	for _, p := range others {
		if _, known := fleetOf(worker).Known(p); !known {
			t.Errorf("%s has not arrived", p)
		}
	}
	if n, err := f.laptop.LearnMembers(t.Context(), worker.ID()); err != nil || n < many*32 {
		t.Errorf("learned of %d: %v", n, err)
	}
}
