package trust_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// Nothing that is not signed is ever accepted, and nothing panics.

// FuzzOpen: of all kinds of statements exactly those are opened that were signed.
func FuzzOpen(f *testing.F) {
	o := newOwner(f)
	p := newPerson(f)
	chain := o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "rig"})
	fleet := o.root.Fleet()
	right := map[string]bool{}
	for _, data := range [][]byte{
		chain[0], chain[1],
		trust.SealRevocation(f, &trust.Revocation{Fleet: fleet, By: o.issuer.id, Peer: p.id, Paper: chain[0], Evidence: [][]byte{chain[1]}, Nonce: trust.NewSerial()}, o.issuer.key),
		trust.SealLift(f, &trust.Lift{Fleet: fleet, IDs: make([]trust.ID, 2), Issued: 1}, o.signer),
		trust.SealLift(f, &trust.Lift{Fleet: fleet, Signer: p.id, Standing: make([]trust.ID, 1), Issued: 1}, o.signer),
		trust.SealPolicy(f, &trust.Policy{Fleet: fleet, MinProtocol: "2.0.0", Issued: 1}, o.signer),
	} {
		right[string(data)] = true
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := fleet.Open(data)
		if (err == nil) != right[string(data)] {
			t.Errorf("opened: %v, %q", err, data)
		}
		if err == nil && (!bytes.Equal(s.Data, data) || s.ID == trust.ID{}) {
			t.Errorf("opened as something else: %+v", s)
		}
	})
}

func FuzzChain(f *testing.F) {
	o := newOwner(f)
	p := newPerson(f)
	right := o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "rig"}).JSON()
	f.Add([]byte(right))
	f.Add([]byte(right[:len(right)/2]))
	f.Add([]byte(`["AA==","AA=="]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := trust.ParseChain(data)
		if err != nil {
			return
		}
		if _, err := o.root.Fleet().Verify(c, p.id); err == nil && !bytes.Equal(c.JSON(), right) {
			t.Errorf("accepted %q", data)
		}
	})
}

func FuzzID(f *testing.F) {
	f.Add(trust.ID{1, 2, 3}.String())
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		var id trust.ID
		if id.UnmarshalText([]byte(text)) == nil && id.String() != text {
			t.Errorf("%q became %q", text, id)
		}
	})
}

// FuzzFiles: whatever lies in the files of a membership, a machine that starts has a fleet of its own
// root, decides by nothing that nobody signed, and starts again.
func FuzzFiles(f *testing.F) {
	o := newOwner(f)
	first, rig := o.rig(f.TempDir(), nil, nil)
	p := newPerson(f)
	o.learn(first, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"})...)
	o.revoke(first, o.second, p.id)
	var files [4][]byte
	names := [4]string{"statements", "index", "floor", "fleet.json"}
	for i, name := range names {
		data, err := os.ReadFile(filepath.Join(first.Dir(), name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			f.Fatal(err)
		}
		files[i] = data
		f.Add(uint8(i), data)
		f.Add(uint8(i), data[:len(data)/2])
		f.Add(uint8(i), append(bytes.Clone(data), "missing AAAA\n"...))
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		dir := trust.MemoryDir(t)
		for i, name := range names {
			content := files[i]
			if i == int(which)%len(names) {
				content = data
			}
			must(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
		}
		for range 2 {
			got, err := trust.OpenFleet(trust.FleetConfig{Dir: dir, Self: rig.id})
			if err != nil {
				t.Fatal(err)
			}
			if got.ID() != o.root.Fleet() || got.May(p.id, "deploy") == nil || got.May(newPerson(t).id, "deploy") == nil {
				t.Errorf("fleet %s obeys one who was revoked, or a stranger", got.ID())
			}
		}
	})
}

func FuzzTicket(f *testing.F) {
	text := ticketText(f, newOwner(f))
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add("swarm1-")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := trust.ParseTicket(text)
		if err != nil {
			return
		}
		again, err := k.Encode()
		must(t, err)
		if _, err := trust.ParseTicket(again); err != nil {
			t.Errorf("%q became %q: %v", text, again, err)
		}
	})
}

func FuzzSheet(f *testing.F) {
	root, err := trust.NewRoot()
	must(f, err)
	s := &trust.Sheet{Root: root, FleetName: "home", Controller: newPerson(f).id, Issuers: []peer.ID{newPerson(f).id}}
	f.Add(s.Text("restore FILE"))
	f.Add("key 1 a b")
	f.Add((&trust.Sheet{Root: root, FleetName: "home"}).Text("restore FILE")) // nobody typed the other lines
	f.Fuzz(func(t *testing.T, text string) {
		s, err := trust.ParseSheet(text)
		if err != nil {
			return
		}
		if again, err := trust.ParseSheet(s.Text("restore FILE")); err != nil || again.Root.Fleet() != s.Root.Fleet() || len(again.Issuers) != len(s.Issuers) {
			t.Errorf("%q is not the same again: %v", text, err)
		}
	})
}

func FuzzSelector(f *testing.F) {
	f.Add("gpu=3080,site")
	f.Add(",=")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := trust.ParseSelector(text)
		if err != nil {
			return
		}
		if s.String() != text || !s.Within(s) {
			t.Errorf("%q became %q", text, s)
		}
	})
}

func FuzzRootFile(f *testing.F) {
	root, err := trust.NewRoot()
	must(f, err)
	path := filepath.Join(f.TempDir(), "root")
	must(f, root.Save(path, trust.Seal{Passphrase: "x", WorkFactor: 1}))
	data, err := os.ReadFile(path)
	must(f, err)
	f.Add(data)
	f.Add([]byte("swarm-root-1 aaaa"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "root")
		must(t, os.WriteFile(path, data, 0o600))
		if root, err := trust.LoadRoot(path, "wrong"); err == nil && root.Fleet() == "" {
			t.Error("a root without a fleet")
		}
	})
}

// FuzzTicketBook: nothing but the secret of a ticket lets in.
func FuzzTicketBook(f *testing.F) {
	inv, secret := entry(1, nil)
	f.Add(secret)
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		book, err := trust.OpenTicketBook(t.TempDir())
		must(t, err)
		must(t, book.Add(inv, secret))
		list, err := book.List()
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if _, _, err := book.Check(inv.ID, data, "x", time.Now()); (err == nil) != bytes.Equal(data, secret) {
			t.Errorf("secret %q: %v", data, err)
		}
	})
}
