package addrs

import (
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	must(t, err)
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	return key, id
}

// fleet is one with a machine that hears of others.
type fleet struct {
	t      *testing.T
	root   *trust.Root
	signer *trust.Signer // the root's
	*trust.Fleet
	book *book.Book
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t}
	var err error
	f.root, err = trust.NewRoot()
	must(t, err)
	f.signer, err = f.root.Signer()
	must(t, err)
	_, self := newKey(t)
	own := f.sign(f.signer, trust.Grant{Subject: self, Role: trust.RoleWorker, Name: "self"})
	f.Fleet, err = trust.CreateFleet(
		trust.FleetConfig{Dir: t.TempDir(), Self: self}, trust.Membership{Fleet: f.root.Fleet(), Name: "test", Chain: own}, nil)
	must(t, err)
	f.book, err = book.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	must(t, err)
	return f
}

func (f *fleet) sign(s *trust.Signer, g trust.Grant) trust.Chain {
	f.t.Helper()
	c, err := s.Issue(g, time.Now())
	must(f.t, err)
	return c
}

// saves holds that so many of these are saved.
func (f *fleet) saves(want int, members []membership.Contact, roles ...trust.Role) {
	f.t.Helper()
	good, err := Save(f.book, f.Fleet, members, roles...)
	if all := f.book.All(); good != want || err != nil || len(all) != want {
		f.t.Errorf("%d good, %d saved, want %d: %v", good, len(all), want, err)
	}
}

// A member may name a peer with two good grants that do not belong together: an issuer's in its new
// line, and what it has signed under the old one. All who asked it used to end with a panic.
func TestSaveMixedUpChain(t *testing.T) {
	f := newFleet(t)
	key, issuer := newKey(t)
	_, stranger := newKey(t)
	paper := trust.Grant{Subject: issuer, Role: trust.RoleIssuer, Name: "laptop", MayIssue: &trust.Bounds{ForAll: true, Roles: []trust.Role{trust.RoleWorker}}}
	before, now := f.sign(f.signer, paper), f.sign(f.signer, paper) // two lines
	old, err := trust.NewIssuer(f.root.Fleet(), key, before)
	must(t, err)
	mixed := trust.Chain{now[0], f.sign(old, trust.Grant{Subject: stranger, Role: trust.RoleWorker, Name: "rig"})[1]}
	f.saves(0, []membership.Contact{{Peer: stranger, Grant: mixed.JSON()}})
}

// Of those whom a member names unasked nothing is saved.
func TestSaveRoles(t *testing.T) {
	f := newFleet(t)
	var named []membership.Contact
	for _, role := range []trust.Role{trust.RoleWorker, trust.RoleRelay} {
		_, id := newKey(t)
		named = append(named, membership.Contact{Peer: id, Grant: f.sign(f.signer, trust.Grant{Subject: id, Role: role, Name: string(role)}).JSON()})
	}
	f.saves(1, named, trust.RoleRelay, trust.RoleController)
	f.saves(2, named)
}

// asked counts how often a host was asked for the record of a peer.
type asked struct {
	Host
	id    peer.ID
	times int
}

func (a *asked) ID() peer.ID { return a.id }

func (a *asked) SignedRecord(peer.ID) []byte {
	a.times++
	return nil
}

// A member that asks where others are, again and again, does not have all of them looked at each time.
func TestAnswersAreCheap(t *testing.T) {
	f := newFleet(t)
	const members, requests = 100, 200
	for range members {
		_, id := newKey(t)
		if _, err := f.Hear(id, f.sign(f.signer, trust.Grant{Subject: id, Role: trust.RoleWorker, Name: "rig"})); err != nil {
			t.Fatal(err)
		}
	}
	h := &asked{id: f.Self().Grant.Subject}
	d := New(Config{Host: h, Fleet: f.Fleet, Member: func(peer.ID) bool { return true }})
	began, after, told := time.Now(), peer.ID(""), 0
	for range requests {
		got, err := d.answer(t.Context(), streams.Peer{ID: "asker"}, AddrRequest{After: after, Roles: []trust.Role{trust.RoleWorker}})
		must(t, err)
		if told += len(got.Members); !got.More {
			break
		}
		after = got.Members[len(got.Members)-1].Peer
	}
	if told != members+1 { // and the machine itself
		t.Errorf("told of %d, want %d", told, members+1)
	}
	for range requests {
		_, err := d.answer(t.Context(), streams.Peer{ID: "asker"}, AddrRequest{Roles: []trust.Role{trust.RoleRelay}})
		must(t, err)
	}
	if most := (int(time.Since(began)/listAgain) + 1) * (members + 1); h.times > most {
		t.Errorf("%d members were looked at, want %d at most", h.times, most)
	}
}
