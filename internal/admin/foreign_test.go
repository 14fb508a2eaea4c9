package admin

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// A new name or label signs the rights of a member as well. Those that another living issuer gave,
// which may be a thief, are signed only after a person has looked.
func TestForeignRightsAreLookedAtFirst(t *testing.T) {
	adm := newAdmin(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := adm.root.Signer()
	must(err)
	own, err := adm.Fleet.Signer(adm.key)
	must(err)
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	must(err)
	thief, err := peer.IDFromPrivateKey(key)
	must(err)
	bounds := issuerBounds()
	bounds.ForAll = true
	paper, err := root.Issue(trust.Grant{Subject: thief, Role: trust.RoleIssuer, Name: "laptop2", Verbs: issuerVerbs(), MayIssue: bounds}, time.Now())
	must(err)
	other, err := trust.NewIssuer(adm.Fleet.ID(), key, paper)
	must(err)
	member := func(by *trust.Signer, g trust.Grant) trust.Member {
		t.Helper()
		g.Subject = newID(t)
		chain, err := by.Issue(g, time.Now())
		must(err)
		_, err = adm.Fleet.Learn(chain...)
		must(err)
		m, known := adm.Fleet.Known(g.Subject)
		if !known || m.Err != nil {
			t.Fatalf("%+v", m)
		}
		return m
	}
	unlocked := adm.root
	label := func(g *trust.Grant) { g.Labels = map[string]string{"site": "cabin"} }
	only := func(g *trust.Grant) { g.Verbs, g.Also = []string{"stats.read"}, nil }
	for _, tc := range []struct {
		name   string
		by     *trust.Signer
		grant  trust.Grant
		change Change
		asRoot bool
		want   error
	}{
		{"of another issuer", other, trust.Grant{Role: trust.RoleController}, Change{Edit: label}, false, ErrLookFirst},
		{"of another issuer, by the root", other, trust.Grant{Role: trust.RoleController}, Change{Edit: label}, true, ErrLookFirst},
		{"for a while", other, trust.Grant{Role: trust.RoleWorker, Also: []trust.Right{{Verbs: []string{"deploy"}, Expires: time.Now().Add(time.Hour).UnixMilli()}}}, Change{Edit: label}, false, ErrLookFirst},
		{"narrowed, and not looked at", other, trust.Grant{Role: trust.RoleController}, Change{Edit: only, Narrow: true}, false, ErrLookFirst},
		{"looked at", other, trust.Grant{Role: trust.RoleController}, Change{Edit: label, Looked: true}, false, nil},
		{"without rights", other, trust.Grant{Role: trust.RoleWorker}, Change{Edit: label}, false, nil},
		{"own", own, trust.Grant{Role: trust.RoleController}, Change{Edit: label}, false, nil},
		{"own, by the root", own, trust.Grant{Role: trust.RoleController}, Change{Edit: label}, true, nil},
		{"of the root", root, trust.Grant{Role: trust.RoleController}, Change{Edit: label}, false, nil},
	} {
		adm.root = nil
		if tc.asRoot {
			adm.root = unlocked
		}
		tc.grant.Name = "m-" + newID(t).String()[20:28]
		m := member(tc.by, tc.grant)
		if _, err := adm.Give(m, tc.change); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("rights %s: %v, want %v", tc.name, err, tc.want)
		}
		after, _ := adm.Fleet.Known(m.Peer)
		if signed := after.Grant.N != m.Grant.N; signed != (tc.want == nil) {
			t.Errorf("rights %s: signed: %v", tc.name, signed)
		}
	}
}
