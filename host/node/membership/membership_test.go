package membership

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// owner is who has the root key of a fleet.
type owner struct {
	root   *trust.Root
	signer *trust.Signer
}

func newOwner(t *testing.T) *owner {
	t.Helper()
	root, err := trust.NewRoot()
	must(t, err)
	signer, err := root.Signer()
	must(t, err)
	return &owner{root, signer}
}

// end is the root's revocation of a peer.
func (o *owner) end(t *testing.T, p peer.ID) []byte {
	t.Helper()
	data, err := o.signer.End(p, time.Now())
	must(t, err)
	return data
}

// node is one end of the exchanges: a membership with nothing but its streams.
type node struct {
	*Membership
	host  *streamtest.Host
	fleet *trust.Fleet
	key   crypto.PrivKey
	chain trust.Chain

	mu       sync.Mutex // guards what follows
	parted   map[peer.ID]int
	promoted []peer.ID
	greeted  []peer.ID
}

// newNode makes a member, with a grant that change may change.
func newNode(t *testing.T, o *owner, role trust.Role, name string, change func(*trust.Grant)) *node {
	t.Helper()
	key, err := identity.New()
	must(t, err)
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	g := trust.Grant{Subject: id, Role: role, Name: name}
	if change != nil {
		change(&g)
	}
	n := &node{key: key, host: streamtest.NewHost(id), parted: make(map[peer.ID]int)}
	n.chain, err = o.signer.Issue(g, time.Now())
	must(t, err)
	n.fleet, err = trust.CreateFleet(trust.FleetConfig{Dir: filepath.Join(t.TempDir(), "fleet"), Self: id},
		trust.Membership{Fleet: o.root.Fleet(), Name: "home", Chain: n.chain}, nil)
	must(t, err)
	n.serve(t)
	return n
}

// serve begins to serve, until the test ends.
func (n *node) serve(t *testing.T) {
	t.Helper()
	cfg := streams.Config{Member: n.fleet.Member}
	mux, client := streams.NewMux(n.host, cfg), streams.NewClient(n.host, cfg)
	life, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	n.Membership = New(Config{
		Fleet: n.fleet, Key: n.key, Network: n.host.Network(), Client: client,
		Greet: func(_ context.Context, c network.Conn) (string, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.greeted = append(n.greeted, c.RemotePeer())
			return "", nil
		},
		Part: func(_ context.Context, p peer.ID, conns []network.Conn) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.parted[p] += len(conns)
			return nil
		},
		OnProbation: func(c network.Conn) bool { return !n.fleet.Member(c.RemotePeer()) && !n.fleet.Revoked(c.RemotePeer()) },
		Promote: func(p peer.ID) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.promoted = append(n.promoted, p)
		},
		Life: life, Go: func(fn func(context.Context)) { running.Go(func() { fn(life) }) },
		Logger: slog.New(slog.DiscardHandler),
	})
	must(t, n.Register(mux))
	served := make(chan error, 1)
	go func() { served <- mux.Serve(life) }()
	t.Cleanup(func() {
		n.Close()
		cancel()
		running.Wait()
		must(t, client.Close())
		must(t, <-served)
		must(t, n.host.Close())
	})
}

// meet connects two nodes that have shown their grants to each other.
func meet(t *testing.T, a, b *node) network.Conn {
	t.Helper()
	for _, two := range [][2]*node{{a, b}, {b, a}} {
		if _, err := two[0].fleet.Admit(two[1].host.ID(), two[1].chain); err != nil {
			t.Fatal(err)
		}
	}
	return streamtest.Connect(a.host, b.host)
}

// same reports whether two nodes have the same for each other.
func same(a, b *node) bool {
	return a.fleet.Exchange().Digest(b.host.ID()) == b.fleet.Exchange().Digest(a.host.ID())
}

// Two nodes of which each has what the other lacks, more than fits into one answer, end with the
// same statements, whichever of them asks.
func TestSyncBothWays(t *testing.T) {
	o := newOwner(t)
	a, b := newNode(t, o, trust.RoleController, "a", nil), newNode(t, o, trust.RoleWorker, "b", nil)
	ends := make([][]byte, maxCompared+300)
	for i := range ends {
		_, id := newPeer(t)
		ends[i] = o.end(t, id)
	}
	for n, some := range map[*node][][]byte{a: ends[:100], b: ends[50:]} {
		if _, err := n.fleet.Learn(some...); err != nil {
			t.Fatal(err)
		}
	}
	a.Close() // what is learnt starts nothing: one comparison has to do
	b.Close()
	c := meet(t, a, b)
	if same(a, b) {
		t.Fatal("they have the same before: this test proves nothing")
	}
	must(t, a.sync(t.Context(), party{b.host.ID(), c}, ""))
	if !same(a, b) {
		t.Error("they differ")
	}
	if got := len(a.fleet.Exchange().Common()); got != len(ends) {
		t.Errorf("%d statements, want %d", got, len(ends))
	}
}

// A peer that says what we have is asked nothing.
func TestSyncOfEqualsAsksNothing(t *testing.T) {
	o := newOwner(t)
	a, b := newNode(t, o, trust.RoleController, "a", nil), newNode(t, o, trust.RoleWorker, "b", nil)
	c := meet(t, a, b)
	must(t, b.host.Close()) // whatever is asked would fail
	must(t, a.sync(t.Context(), party{b.host.ID(), c}, b.fleet.Exchange().Digest(a.host.ID())))
	if err := a.sync(t.Context(), party{b.host.ID(), c}, "something else"); err == nil {
		t.Error("a peer that is gone was compared with")
	}
}

// What a peer wants to have or to know is for those who have shown a grant; what it brings is taken
// from anybody, at a rate for all strangers.
func TestStrangers(t *testing.T) {
	o := newOwner(t)
	n := newNode(t, o, trust.RoleWorker, "rig", nil)
	_, stranger := newPeer(t)
	from := streams.Peer{ID: stranger}
	if _, err := n.answerCompare(t.Context(), from, CompareRequest{}); streams.CodeOf(err) != streams.CodeUnauthenticated {
		t.Errorf("compare: %v", err)
	}
	if _, err := n.answerStatements(t.Context(), from, StatementsRequest{}); streams.CodeOf(err) != streams.CodeUnauthenticated {
		t.Errorf("get: %v", err)
	}
	_, other := newPeer(t)
	ack, err := n.takeStatements(t.Context(), from, Statements{[][]byte{o.end(t, other)}})
	if err != nil || !ack.New || !n.fleet.Revoked(other) {
		t.Errorf("put: %+v, %v", ack, err)
	}
	junk := Statements{slices.Repeat([][]byte{[]byte("junk")}, maxStatements)}
	refused := 0
	for range unknownBurst/maxStatements + 2 {
		if _, err := n.takeStatements(t.Context(), from, junk); streams.CodeOf(err) == streams.CodeTooMany {
			refused++
		}
	}
	if refused == 0 {
		t.Error("strangers may bring what they like")
	}
	member := newNode(t, o, trust.RoleController, "laptop", nil)
	meet(t, n, member)
	if _, err := n.takeStatements(t.Context(), streams.Peer{ID: member.host.ID()}, junk); err != nil {
		t.Errorf("a member, beside them: %v", err)
	}
}

// One who was revoked has shown a grant, and is told nothing all the same.
func TestRevokedPeersAreToldNothing(t *testing.T) {
	o := newOwner(t)
	n, thief := newNode(t, o, trust.RoleWorker, "rig", nil), newNode(t, o, trust.RoleController, "lost", nil)
	meet(t, n, thief)
	from := streams.Peer{ID: thief.host.ID()}
	sums := CompareRequest{Sums: make([]string, trust.Buckets)}
	if _, err := n.answerCompare(t.Context(), from, sums); err != nil {
		t.Fatal(err)
	}
	if _, err := n.fleet.Learn(o.end(t, thief.host.ID())); err != nil {
		t.Fatal(err)
	}
	if _, err := n.answerCompare(t.Context(), from, sums); streams.CodeOf(err) != streams.CodeUnauthenticated {
		t.Errorf("got %v, want 401", err)
	}
}

// A place to go on from that is none is refused in words.
func TestCompareAfterNonsense(t *testing.T) {
	o := newOwner(t)
	n, member := newNode(t, o, trust.RoleWorker, "rig", nil), newNode(t, o, trust.RoleController, "laptop", nil)
	meet(t, n, member)
	for _, after := range []string{"x", "AAAA", string(make([]byte, 43))} {
		_, err := n.answerCompare(t.Context(), streams.Peer{ID: member.host.ID()}, CompareRequest{Sums: make([]string, trust.Buckets), After: after})
		if streams.CodeOf(err) != streams.CodeInvalid {
			t.Errorf("after %q: %v", after, err)
		}
	}
}

// A message holds 64 statements and 40 KiB at most, and one statement however long it is.
func TestFitting(t *testing.T) {
	some := func(n, size int) [][]byte { return slices.Repeat([][]byte{make([]byte, size)}, n) }
	for _, tt := range []struct {
		name string
		in   [][]byte
		want int
	}{
		{"none", nil, 0},
		{"as many as may be", some(maxStatements, 10), maxStatements},
		{"one more", some(maxStatements+1, 10), maxStatements},
		{"as much as may be", some(4, statementsBytes/4), 4},
		{"a byte more", append(some(4, statementsBytes/4), []byte{0}), 4},
		{"one that is longer", some(2, statementsBytes+1), 1},
		{"a long one behind a short one", append(some(1, 1), some(1, statementsBytes)...), 1},
	} {
		if got := len(fitting(tt.in)); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// News of a revocation ends the connections of that peer, tells it by whom, and goes on to members
// that take requests: those that we dialled, and machines.
func TestRevocationIsActedOn(t *testing.T) {
	o := newOwner(t)
	n := newNode(t, o, trust.RoleWorker, "rig", nil)
	thief, relay := newNode(t, o, trust.RoleController, "lost", nil), newNode(t, o, trust.RoleRelay, "vps", nil)
	command := newNode(t, o, trust.RoleController, "laptop", nil)
	meet(t, thief, n)
	streamtest.Connect(thief.host, n.host) // a second connection
	meet(t, relay, n)
	meet(t, command, n)
	if _, err := n.fleet.Learn(o.end(t, thief.host.ID())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the thief to be cut off, and the relay to be told", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.parted[thief.host.ID()] == 2 && slices.Contains(n.greeted, relay.host.ID())
	})
	eventually(t, "the thief to hear it", func() bool { return thief.fleet.Revoked(thief.host.ID()) })
	eventually(t, "the relay to have it", func() bool { return relay.fleet.Revoked(thief.host.ID()) })
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.parted) != 1 {
		t.Errorf("parted with %v", n.parted)
	}
	if slices.Contains(n.greeted, command.host.ID()) {
		t.Error("a command that dialled us is asked: it does not serve")
	}
}

// An issuer that meets a member whose grant is due signs a new one and hands it over; a member that
// is no issuer signs nothing.
func TestDueGrantIsRenewed(t *testing.T) {
	o := newOwner(t)
	issuer := newNode(t, o, trust.RoleIssuer, "laptop", func(g *trust.Grant) {
		g.Verbs = []string{trust.AllVerbs}
		g.MayIssue = &trust.Bounds{ForAll: true, Roles: []trust.Role{trust.RoleWorker}, Verbs: []string{trust.AllVerbs}}
	})
	old := time.Now().Add(-300 * 24 * time.Hour)
	worker := newNode(t, o, trust.RoleWorker, "rig", nil)
	s, err := issuer.fleet.Signer(issuer.key)
	must(t, err)
	worker.chain, err = s.Issue(trust.Grant{Subject: worker.host.ID(), Role: trust.RoleWorker, Name: "rig", N: 2}, old)
	must(t, err)
	if _, err := worker.fleet.Learn(worker.chain...); err != nil {
		t.Fatal(err)
	}
	before := worker.fleet.Self().Grant.N
	c := meet(t, worker, issuer)
	worker.Met(c) // the worker has dialled, and may sign nothing
	must(t, issuer.attend(t.Context(), party{peer: worker.host.ID()}))
	if own := worker.fleet.Self().Grant; own.N <= before || own.Expires < time.Now().AddDate(0, 11, 0).UnixMilli() {
		t.Errorf("the worker has number %d until %v, as before", own.N, own.ExpiresAt())
	}
	signed := issuer.fleet.Grants(worker.host.ID())
	must(t, issuer.attend(t.Context(), party{peer: worker.host.ID()}))
	if again := issuer.fleet.Grants(worker.host.ID()); len(again) != len(signed) {
		t.Errorf("it was signed once more, though nothing is due: %d grants, then %d", len(signed), len(again))
	}
}

// A comparison ends with its context, and says so.
func TestSyncEndsWithItsContext(t *testing.T) {
	o := newOwner(t)
	a, b := newNode(t, o, trust.RoleController, "a", nil), newNode(t, o, trust.RoleWorker, "b", nil)
	c := meet(t, a, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.sync(ctx, party{b.host.ID(), c}, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func newPeer(t *testing.T) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, err := identity.New()
	must(t, err)
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	return key, id
}

// eventually waits until ok, for 10 s at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("not within 10 s: ", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
