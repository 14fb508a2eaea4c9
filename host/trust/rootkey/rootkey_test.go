package rootkey_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
)

func TestRootFile(t *testing.T) {
	root, err := trust.NewRoot()
	must(t, err)
	dir := t.TempDir()
	sealed, open := filepath.Join(dir, "sealed"), filepath.Join(dir, "open")
	must(t, rootkey.Save(sealed, root, rootkey.Seal{Passphrase: "sesame", WorkFactor: 4}))
	must(t, rootkey.Save(open, root, rootkey.Seal{}))
	for _, tc := range []struct {
		path, passphrase string
		err              error
	}{
		{sealed, "sesame", nil}, {open, "", nil}, {open, "unused", nil},
		{sealed, "simsala", rootkey.ErrPassphrase}, {sealed, "", rootkey.ErrNeedPassphrase}, {filepath.Join(dir, "none"), "", fs.ErrNotExist},
	} {
		got, err := rootkey.Load(tc.path, tc.passphrase)
		if !errors.Is(err, tc.err) || err == nil && got.Fleet() != root.Fleet() {
			t.Errorf("%s: %v", tc.path, err)
		}
	}
	if err := rootkey.Save(open, root, rootkey.Seal{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another key: %v", err)
	}
	if info, err := os.Stat(sealed); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	data, err := os.ReadFile(open)
	must(t, err)
	secret := strings.Fields(string(data))[1]
	if shown := fmt.Sprintf("%v %+v %#v %s", root, root, root, root); strings.Contains(shown, secret) {
		t.Errorf("the key is shown: %s", shown)
	}
	must(t, os.WriteFile(filepath.Join(dir, "bad"), bytes.Repeat([]byte("x"), 5000), 0o600))
	if _, err := rootkey.Load(filepath.Join(dir, "bad"), ""); !errors.Is(err, trust.ErrInvalid) {
		t.Errorf("too long: %v", err)
	}
	if words := strings.Fields(root.Fleet().Fingerprint()); len(words) != 8 {
		t.Errorf("fingerprint %v", words)
	}
}

func TestSheet(t *testing.T) {
	root, err := trust.NewRoot()
	must(t, err)
	p := newPerson(t)
	s := &rootkey.Sheet{Root: root, FleetName: "home", Controller: newPerson(t)}
	for i := range 20 {
		s.Members = append(s.Members, peer.AddrInfo{ID: newPerson(t), Addrs: []multiaddr.Multiaddr{
			multiaddr.StringCast(fmt.Sprintf("/ip4/192.0.2.%d/tcp/4747", i)), multiaddr.StringCast("/ip4/10.0.0.1/tcp/1"), multiaddr.StringCast("/ip4/10.0.0.1/tcp/2"),
		}})
	}
	for range 257 {
		s.Issuers = append(s.Issuers, newPerson(t))
	}
	s.Relays = []peer.AddrInfo{{ID: p, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/198.51.100.1/tcp/4747")}}}
	s.Shorten()
	text := s.Text("swarm key restore FILE")
	for _, typed := range []string{text, strings.ReplaceAll(text, "\n", "\r\n"), shout(text)} {
		got, err := rootkey.ParseSheet(typed)
		must(t, err)
		if got.Root.Fleet() != root.Fleet() || got.FleetName != "home" || got.Controller != s.Controller || len(got.Relays) != 1 || len(got.Members) != 15 || len(got.Members[0].Addrs) != 2 || !slices.Equal(got.Issuers, s.Issuers) || len(s.Issuers) != 256 {
			t.Errorf("got %+v", got)
		}
	}
	lines := strings.Split(text, "\n")
	for n, l := range lines {
		if !strings.HasPrefix(l, "key 2") {
			continue
		}
		bad := []byte(l)
		if bad[8]++; bad[8] == 'z'+1 {
			bad[8] = 'a'
		}
		lines[n] = string(bad)
		_, err := rootkey.ParseSheet(strings.Join(lines, "\n"))
		if !errors.Is(err, rootkey.ErrSheet) || !strings.Contains(err.Error(), fmt.Sprintf("line %d", n+1)) {
			t.Errorf("a typing error: %v", err)
		}
	}
	if _, err := rootkey.ParseSheet(text + "issuer " + p.String() + "\n"); !errors.Is(err, rootkey.ErrSheet) {
		t.Errorf("one issuer more: %v", err)
	}
	for _, bad := range []string{"", "fleet home", "hello", strings.Repeat("#", 70<<10), strings.Replace(text, "key 3", "key 4", 1)} {
		if _, err := rootkey.ParseSheet(bad); !errors.Is(err, rootkey.ErrSheet) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// shout writes the lines of the key in capitals.
func shout(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "key ") {
			lines[i] = strings.ToUpper(l)
		}
	}
	return strings.Join(lines, "\n")
}

func FuzzSheet(f *testing.F) {
	root, err := trust.NewRoot()
	must(f, err)
	s := &rootkey.Sheet{Root: root, FleetName: "home", Controller: newPerson(f), Issuers: []peer.ID{newPerson(f)}}
	f.Add(s.Text("swarm key restore FILE"))
	f.Add("key 1 a b")
	f.Add((&rootkey.Sheet{Root: root, FleetName: "home"}).Text("swarm key restore FILE")) // nobody typed the other lines
	f.Fuzz(func(t *testing.T, text string) {
		s, err := rootkey.ParseSheet(text)
		if err != nil {
			return
		}
		if again, err := rootkey.ParseSheet(s.Text("swarm key restore FILE")); err != nil || again.Root.Fleet() != s.Root.Fleet() || len(again.Issuers) != len(s.Issuers) {
			t.Errorf("%q is not the same again: %v", text, err)
		}
	})
}

func FuzzRootFile(f *testing.F) {
	root, err := trust.NewRoot()
	must(f, err)
	path := filepath.Join(f.TempDir(), "root")
	must(f, rootkey.Save(path, root, rootkey.Seal{Passphrase: "x", WorkFactor: 1}))
	data, err := os.ReadFile(path)
	must(f, err)
	f.Add(data)
	f.Add([]byte("swarm-root-1 aaaa"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "root")
		must(t, os.WriteFile(path, data, 0o600))
		if root, err := rootkey.Load(path, "wrong"); err == nil && root.Fleet() == "" {
			t.Error("a root without a fleet")
		}
	})
}

func newPerson(t testing.TB) peer.ID {
	t.Helper()
	_, pub, err := crypto.GenerateEd25519Key(rand.Reader)
	must(t, err)
	id, err := peer.IDFromPublicKey(pub)
	must(t, err)
	return id
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
