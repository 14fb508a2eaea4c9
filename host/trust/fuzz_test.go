package trust_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// Nothing that is not signed is ever accepted, and nothing panics.

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
		if _, err := o.root.Fleet().Verify(c, p.id); err == nil && string(data) != string(right) {
			t.Errorf("accepted %q", data)
		}
	})
}

func FuzzRecord(f *testing.F) {
	o := newOwner(f)
	rec, err := o.signer.Revise(trust.NewRecords(o.root.Fleet()), trust.Change{RevokePeers: []peer.ID{newPerson(f).id}}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(rec)
	f.Add(rec[:len(rec)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		r := trust.NewRecords(o.root.Fleet())
		if r.Merge(data) == nil && string(data) != string(rec) {
			t.Errorf("accepted %q", data)
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
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trust.ParseTicket(again); err != nil {
			t.Errorf("%q became %q: %v", text, again, err)
		}
	})
}

func FuzzSheet(f *testing.F) {
	root, err := trust.NewRoot()
	if err != nil {
		f.Fatal(err)
	}
	s := &trust.Sheet{Root: root, FleetName: "home", Controller: newPerson(f).id}
	f.Add(s.Text())
	f.Add("key 1 a b")
	f.Add((&trust.Sheet{Root: root, FleetName: "home"}).Text()) // nobody typed the controller's line
	f.Fuzz(func(t *testing.T, text string) {
		s, err := trust.ParseSheet(text)
		if err != nil {
			return
		}
		if again, err := trust.ParseSheet(s.Text()); err != nil || again.Root.Fleet() != s.Root.Fleet() {
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
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "root")
	if err := root.Save(path, trust.Seal{Passphrase: "x", WorkFactor: 1}); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("swarm-root-1 aaaa"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "root")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if root, err := trust.LoadRoot(path, "wrong"); err == nil && root.Fleet() == "" {
			t.Error("a root without a fleet")
		}
	})
}
