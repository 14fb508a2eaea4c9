package trust_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

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
