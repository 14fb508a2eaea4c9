package trust_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/trust"
)

func TestTicketText(t *testing.T) {
	o := newOwner(t)
	k, err := trust.NewTicket(trust.Ticket{
		Fleet: o.root.Fleet(), FleetName: "home", Redeemer: o.issuer.id, Role: trust.RoleWorker, Name: "rig-01",
		Addrs:  []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.0.2.7/tcp/4747"), multiaddr.StringCast("/ip4/192.0.2.7/udp/4747/quic-v1")},
		Labels: map[string]string{"gpu": "3080"}, Expires: time.Now().Add(time.Hour),
	})
	must(t, err)
	text, err := k.Encode()
	must(t, err)
	if !strings.HasPrefix(text, "swarm1-") || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		t.Errorf("text %q", text)
	}
	for _, pasted := range []string{text, " " + text + "\r\n", text[:50] + "\n  " + text[50:]} {
		got, err := trust.ParseTicket(pasted)
		must(t, err)
		if got.Fleet != k.Fleet || got.Redeemer != k.Redeemer || !bytes.Equal(got.Secret, k.Secret) || len(got.Addrs) != 2 ||
			got.Name != "rig-01" || got.Labels["gpu"] != "3080" || !got.Expires.Equal(k.Expires) || got.ID != k.ID {
			t.Errorf("got %+v", got)
		}
	}
	for _, shown := range []string{k.String(), fmt.Sprintf("%v %+v %#v", k, k, k), k.LogValue().String()} {
		if strings.Contains(shown, string(k.Secret)) || strings.Contains(shown, fmt.Sprint(k.Secret)) {
			t.Errorf("the secret is shown: %s", shown)
		}
	}
	// Each single character, changed to each other one.
	for i := range text {
		for _, c := range "A9_-z " {
			bad := text[:i] + string(c) + text[i+1:]
			if _, err := trust.ParseTicket(bad); err == nil && bad != text {
				t.Errorf("character %d changed to %q, and accepted", i, c)
			}
		}
	}
	for _, bad := range []string{"", "swarm", "swarm1-", "swarm1-AAAA", strings.Repeat("x", 5000)} {
		if _, err := trust.ParseTicket(bad); !errors.Is(err, trust.ErrNoTicket) && !errors.Is(err, trust.ErrTicketAltered) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// entry is an invitation with the secret of its ticket.
func entry(i int, change func(*trust.Invitation)) (trust.Invitation, []byte) {
	inv := trust.Invitation{ID: fmt.Sprintf("TICKET%s", strings.NewReplacer("0", "A", "1", "B", "8", "Y", "9", "Z").Replace(fmt.Sprintf("%07d", i))), Name: "rig", Role: trust.RoleWorker, Expires: time.Now().Add(time.Hour)}
	if change != nil {
		change(&inv)
	}
	return inv, bytes.Repeat([]byte{byte(i)}, 16)
}

func TestTicketBook(t *testing.T) {
	o := newOwner(t)
	book, err := trust.OpenTicketBook(filepath.Join(t.TempDir(), "tickets"))
	must(t, err)
	p, q := newPerson(t).id, newPerson(t).id
	chain := o.issue(o.second, trust.Grant{Subject: p, Role: trust.RoleWorker, Name: "rig"})
	now := time.Now()
	add := func(i int, change func(*trust.Invitation)) (string, []byte) {
		t.Helper()
		inv, secret := entry(i, change)
		must(t, book.Add(inv, secret))
		return inv.ID, secret
	}
	id, secret := add(1, nil)
	check := func(id string, secret []byte, p peer.ID, want error) {
		t.Helper()
		if _, _, err := book.Check(id, secret, p, now); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("check: %v, want %v", err, want)
		}
	}
	check(id, secret, p, nil)
	check(id, []byte("wrong"), p, trust.ErrTicketUnknown)
	check("../../etc/passwd", secret, p, trust.ErrTicketUnknown)
	check("", secret, p, trust.ErrTicketUnknown)
	check("TICKETZZZZZZZ", secret, p, trust.ErrTicketUnknown)
	if got, err := book.Use(id, p, chain, now); err != nil || !got.Equal(chain) {
		t.Errorf("use: %v", err)
	}
	if _, got, err := book.Check(id, secret, p, now); err != nil || !got.Equal(chain) {
		t.Errorf("the same peer again: %v", err)
	}
	check(id, secret, q, trust.ErrTicketUsed)
	if _, err := book.Use(id, q, chain, now); !errors.Is(err, trust.ErrTicketUsed) {
		t.Errorf("another peer uses it: %v", err)
	}
	if _, _, err := book.Check(id, secret, p, now.Add(11*time.Minute)); !errors.Is(err, trust.ErrTicketUsed) {
		t.Errorf("much later: %v", err)
	}
	late, lateSecret := add(2, func(i *trust.Invitation) { i.Expires = now })
	check(late, lateSecret, p, trust.ErrTicketExpired)
	bound, boundSecret := add(3, func(i *trust.Invitation) { i.Peer = q })
	check(bound, boundSecret, p, trust.ErrTicketPeer)
	check(bound, boundSecret, q, nil)

	// A person confirms one of two who wait.
	asked, askedSecret := add(4, func(i *trust.Invitation) { i.Confirm = true })
	must(t, book.Ask(asked, p))
	must(t, book.Ask(asked, p))
	if err := book.Ask(asked, q); !errors.Is(err, trust.ErrTicketUsed) {
		t.Errorf("a second one waits: %v", err)
	}
	if s, err := book.State(asked); err != nil || s.Waiting != p {
		t.Errorf("state %+v, %v", s, err)
	}
	if inv, _, err := book.Check(asked, askedSecret, p, now); err != nil || inv.Confirmed {
		t.Errorf("not yet: %+v, %v", inv, err)
	}
	must(t, book.Answer(asked, p, true))
	if inv, _, err := book.Check(asked, askedSecret, p, now); err != nil || !inv.Confirmed {
		t.Errorf("confirmed: %+v, %v", inv, err)
	}
	check(asked, askedSecret, q, trust.ErrTicketDenied)
	denied, deniedSecret := add(5, func(i *trust.Invitation) { i.Confirm = true })
	must(t, book.Ask(denied, p))
	must(t, book.Answer(denied, p, false))
	check(denied, deniedSecret, p, trust.ErrTicketDenied)

	if list, err := book.List(); err != nil || len(list) != 5 || list[0].ID != late {
		t.Errorf("list %+v, %v", list, err)
	}
	must(t, book.Remove(id))
	must(t, book.Remove(id))
	check(id, secret, p, trust.ErrTicketUnknown)
}

func TestTicketBookIsBounded(t *testing.T) {
	dir := t.TempDir()
	book, err := trust.OpenTicketBook(dir)
	must(t, err)
	for i := range 256 {
		inv, secret := entry(i, nil)
		must(t, book.Add(inv, secret))
	}
	inv, secret := entry(300, nil)
	if err := book.Add(inv, secret); !errors.Is(err, trust.ErrFull) {
		t.Errorf("the 257th: %v", err)
	}
	first, _ := entry(0, nil)
	if err := book.Add(first, secret); err == nil {
		t.Error("an ID twice")
	}
	// What has ended long ago makes room; damaged files are no harm.
	must(t, os.WriteFile(filepath.Join(dir, "TICKETAAAAAAA.json"), []byte("{"), 0o600))
	if _, _, err := book.Check("TICKETAAAAAAA", secret, "x", time.Now()); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a damaged ticket: %v", err)
	}
	if list, err := book.List(); err != nil || len(list) != 255 {
		t.Errorf("%d, %v", len(list), err)
	}
	for _, bad := range []func(*trust.Invitation){
		func(i *trust.Invitation) { i.ID = "../x" }, func(i *trust.Invitation) { i.Role = "king" },
		func(i *trust.Invitation) { i.Name = "" }, func(i *trust.Invitation) { i.LifetimeMs = -1 },
	} {
		inv, secret := entry(400, bad)
		if err := book.Add(inv, secret); err == nil || errors.Is(err, trust.ErrFull) {
			t.Errorf("%+v: %v", inv, err)
		}
	}
}

// Of many who come at once exactly one is let in.
func TestTicketRace(t *testing.T) {
	o := newOwner(t)
	dir := t.TempDir()
	first, err := trust.OpenTicketBook(dir)
	must(t, err)
	inv, secret := entry(1, nil)
	must(t, first.Add(inv, secret))
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 16 {
		p := newPerson(t).id
		chain := o.issue(o.second, trust.Grant{Subject: p, Role: trust.RoleWorker, Name: "rig"})
		book, err := trust.OpenTicketBook(dir)
		must(t, err)
		wg.Go(func() {
			_, err := book.Use(inv.ID, p, chain, time.Now())
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, trust.ErrTicketUsed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

const crashDir = "SWARM_TEST_TICKET_DIR"

// A redeemer that is killed after its mark and before its answer has let in nobody
// else: the one it marked gets its grant when it asks again.
func TestTicketMarkSurvivesKill(t *testing.T) {
	inv, secret := entry(1, nil)
	if dir := os.Getenv(crashDir); dir != "" {
		o := newOwner(t)
		book, err := trust.OpenTicketBook(dir)
		must(t, err)
		p, err := peer.Decode(os.Getenv("SWARM_TEST_PEER"))
		must(t, err)
		_, err = book.Use(inv.ID, p, o.issue(o.second, trust.Grant{Subject: p, Role: trust.RoleWorker, Name: "rig"}), time.Now())
		must(t, err)
		self, _ := os.FindProcess(os.Getpid())
		self.Kill()
		select {}
	}
	if runtime.GOOS == "windows" {
		t.Skip("no kill -9 there")
	}
	dir := t.TempDir()
	book, err := trust.OpenTicketBook(dir)
	must(t, err)
	must(t, book.Add(inv, secret))
	p := newPerson(t).id
	cmd := exec.Command(os.Args[0], "-test.run=^TestTicketMarkSurvivesKill$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, "SWARM_TEST_PEER="+p.String())
	if err := cmd.Run(); err == nil {
		t.Fatal("the child ended well")
	}
	if _, chain, err := book.Check(inv.ID, secret, p, time.Now()); err != nil || chain == nil {
		t.Errorf("the one that was marked: %v", err)
	}
	if _, _, err := book.Check(inv.ID, secret, newPerson(t).id, time.Now()); !errors.Is(err, trust.ErrTicketUsed) {
		t.Errorf("another: %v", err)
	}
}

func TestRootFile(t *testing.T) {
	root, err := trust.NewRoot()
	must(t, err)
	dir := t.TempDir()
	sealed, open := filepath.Join(dir, "sealed"), filepath.Join(dir, "open")
	must(t, root.Save(sealed, trust.Seal{Passphrase: "sesame", WorkFactor: 4}))
	must(t, root.Save(open, trust.Seal{}))
	for _, tc := range []struct {
		path, passphrase string
		err              error
	}{
		{sealed, "sesame", nil}, {open, "", nil}, {open, "unused", nil},
		{sealed, "simsala", trust.ErrPassphrase}, {sealed, "", trust.ErrNeedPassphrase}, {filepath.Join(dir, "none"), "", fs.ErrNotExist},
	} {
		got, err := trust.LoadRoot(tc.path, tc.passphrase)
		if !errors.Is(err, tc.err) || err == nil && got.Fleet() != root.Fleet() {
			t.Errorf("%s: %v", tc.path, err)
		}
	}
	if err := root.Save(open, trust.Seal{}); !errors.Is(err, fs.ErrExist) {
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
	if _, err := trust.LoadRoot(filepath.Join(dir, "bad"), ""); !errors.Is(err, trust.ErrInvalid) {
		t.Errorf("too long: %v", err)
	}
	if words := strings.Fields(root.Fleet().Fingerprint()); len(words) != 8 {
		t.Errorf("fingerprint %v", words)
	}
}

func TestSheet(t *testing.T) {
	root, err := trust.NewRoot()
	must(t, err)
	p := newPerson(t).id
	s := &trust.Sheet{Root: root, FleetName: "home", Controller: newPerson(t).id}
	for i := range 20 {
		s.Members = append(s.Members, peer.AddrInfo{ID: newPerson(t).id, Addrs: []multiaddr.Multiaddr{
			multiaddr.StringCast(fmt.Sprintf("/ip4/192.0.2.%d/tcp/4747", i)), multiaddr.StringCast("/ip4/10.0.0.1/tcp/1"), multiaddr.StringCast("/ip4/10.0.0.1/tcp/2"),
		}})
	}
	for range 257 {
		s.Issuers = append(s.Issuers, newPerson(t).id)
	}
	s.Relays = []peer.AddrInfo{{ID: p, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/198.51.100.1/tcp/4747")}}}
	s.Shorten()
	text := s.Text("swarm key restore FILE")
	for _, typed := range []string{text, strings.ReplaceAll(text, "\n", "\r\n"), shout(text)} {
		got, err := trust.ParseSheet(typed)
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
		_, err := trust.ParseSheet(strings.Join(lines, "\n"))
		if !errors.Is(err, trust.ErrSheet) || !strings.Contains(err.Error(), fmt.Sprintf("line %d", n+1)) {
			t.Errorf("a typing error: %v", err)
		}
	}
	if _, err := trust.ParseSheet(text + "issuer " + p.String() + "\n"); !errors.Is(err, trust.ErrSheet) {
		t.Errorf("one issuer more: %v", err)
	}
	for _, bad := range []string{"", "fleet home", "hello", strings.Repeat("#", 70<<10), strings.Replace(text, "key 3", "key 4", 1)} {
		if _, err := trust.ParseSheet(bad); !errors.Is(err, trust.ErrSheet) {
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
