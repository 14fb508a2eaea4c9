package admin

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// Who looks at those that came from an ended issuer sees all of them, whoever else is named before it.
func TestOrphansOfEachOrigin(t *testing.T) {
	adm, err := InitFleet(Init{StateDir: t.TempDir(), Fleet: "home", Name: "laptop"})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	pair := func() (crypto.PrivKey, peer.ID) {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		must(err)
		id, err := peer.IDFromPrivateKey(key)
		must(err)
		return key, id
	}
	root, err := adm.root.Signer()
	must(err)
	key, thief := pair()
	bounds := issuerBounds()
	bounds.ForAll = true
	paper, err := root.Issue(trust.Grant{Subject: thief, Role: trust.RoleIssuer, Name: "old", Verbs: issuerVerbs(), MayIssue: bounds}, time.Now())
	must(err)
	s, err := trust.NewIssuer(adm.Fleet.ID(), key, paper)
	must(err)
	_, nobody := pair()
	_, x := pair()
	made, err := s.Issue(trust.Grant{Subject: x, Role: trust.RoleWorker, Name: "x", Origins: []trust.Origin{{By: nobody, Paper: "AAAAAAAAAAAAAAAAAAAAAAAAAA"}}}, time.Now())
	must(err)
	_, err = adm.Fleet.Learn(made...)
	must(err)
	must(adm.Revoke([]peer.ID{thief}, nil))
	own, err := adm.Fleet.Signer(adm.key)
	must(err)
	_, err = adm.Fleet.Issuance().Renew(own, x) // what the machine does by itself at contact
	must(err)
	if m, _ := adm.Fleet.Known(x); !m.Unconfirmed {
		t.Fatal("it is confirmed")
	}
	if n := len(adm.Orphans(thief)); n != 1 {
		t.Errorf("%d wait because of the thief, want 1", n)
	}
}
