package main

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
)

// Whoever renames, labels or renews a member with rights by another issuer is shown it, and asked.
func TestForeignRightsAreShownFirst(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	adm, err := admin.InitFleet(admin.Init{StateDir: dir, Fleet: "home", Name: "laptop"})
	must(err)
	root, err := adm.Root().Signer()
	must(err)
	pair := func() (crypto.PrivKey, peer.ID) {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		must(err)
		id, err := peer.IDFromPrivateKey(key)
		must(err)
		return key, id
	}
	key, thief := pair()
	bounds := *adm.Fleet.Self().Grant.MayIssue
	paper, err := root.Issue(trust.Grant{Subject: thief, Role: trust.RoleIssuer, Name: "laptop2", Verbs: bounds.Verbs, MayIssue: &bounds}, time.Now())
	must(err)
	other, err := trust.NewIssuer(adm.Fleet.ID(), key, paper)
	must(err)
	_, friend := pair()
	chain, err := other.Issue(trust.Grant{Subject: friend, Role: trust.RoleController, Name: "friend"}, time.Now())
	must(err)
	_, err = adm.Fleet.Learn(chain...)
	must(err)

	signedBy := func() peer.ID {
		must(adm.Fleet.Reload())
		m, _ := adm.Fleet.Known(friend)
		return m.Grant.By
	}
	for _, command := range [][]string{
		{"rename", "friend", "buddy"}, {"label", "friend", "site=cabin"}, {"renew", "friend"}, {"grant", "friend", "--verbs", "admit"},
	} {
		args := append(command, "--state", dir, "--mdns=false")
		var out, errs bytes.Buffer
		code := run(t.Context(), args, strings.NewReader("n\n"), &out, &errs)
		if text := errs.String(); code == 0 || signedBy() != thief || !strings.Contains(text, "signed by laptop2\n") || !strings.Contains(text, "Is friend yours") {
			t.Errorf("%v: exit code %d, signed by %s:\n%s", command, code, signedBy(), text)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"label", "friend", "site=cabin", "--yes", "--state", dir, "--mdns=false"}, strings.NewReader(""), &out, &errs); code != 0 || signedBy() == thief {
		t.Errorf("--yes: exit code %d, signed by %s:\n%s", code, signedBy(), errs.String())
	}
}
