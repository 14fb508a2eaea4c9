package ticket_test

import (
	"bytes"
	"crypto/rand"
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
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
)

func TestTicketText(t *testing.T) {
	root := newRoot(t)
	k, err := ticket.New(ticket.Ticket{
		Fleet: root.Fleet(), FleetName: "home", Redeemer: newPerson(t), Role: trust.RoleWorker, Name: "rig-01",
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
		got, err := ticket.Parse(pasted)
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
			if _, err := ticket.Parse(bad); err == nil && bad != text {
				t.Errorf("character %d changed to %q, and accepted", i, c)
			}
		}
	}
	for _, bad := range []string{"", "swarm", "swarm1-", "swarm1-AAAA", strings.Repeat("x", 5000)} {
		if _, err := ticket.Parse(bad); !errors.Is(err, ticket.ErrNotTicket) && !errors.Is(err, ticket.ErrAltered) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// entry is an invitation with the secret of its ticket.
func entry(i int, change func(*ticket.Invitation)) (ticket.Invitation, []byte) {
	inv := ticket.Invitation{ID: fmt.Sprintf("TICKET%s", strings.NewReplacer("0", "A", "1", "B", "8", "Y", "9", "Z").Replace(fmt.Sprintf("%07d", i))), Name: "rig", Role: trust.RoleWorker, Expires: time.Now().Add(time.Hour)}
	if change != nil {
		change(&inv)
	}
	return inv, bytes.Repeat([]byte{byte(i)}, 16)
}

func TestTicketBook(t *testing.T) {
	root := newRoot(t)
	book, err := ticket.OpenBook(filepath.Join(t.TempDir(), "tickets"))
	must(t, err)
	p, q := newPerson(t), newPerson(t)
	chain := worker(t, root, p)
	now := time.Now()
	add := func(i int, change func(*ticket.Invitation)) (string, []byte) {
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
	check(id, []byte("wrong"), p, ticket.ErrUnknown)
	check("../../etc/passwd", secret, p, ticket.ErrUnknown)
	check("", secret, p, ticket.ErrUnknown)
	check("TICKETZZZZZZZ", secret, p, ticket.ErrUnknown)
	if got, err := book.Use(id, p, chain, now); err != nil || !got.Equal(chain) {
		t.Errorf("use: %v", err)
	}
	if _, got, err := book.Check(id, secret, p, now); err != nil || !got.Equal(chain) {
		t.Errorf("the same peer again: %v", err)
	}
	check(id, secret, q, ticket.ErrUsed)
	if _, err := book.Use(id, q, chain, now); !errors.Is(err, ticket.ErrUsed) {
		t.Errorf("another peer uses it: %v", err)
	}
	if _, _, err := book.Check(id, secret, p, now.Add(11*time.Minute)); !errors.Is(err, ticket.ErrUsed) {
		t.Errorf("much later: %v", err)
	}
	late, lateSecret := add(2, func(i *ticket.Invitation) { i.Expires = now })
	check(late, lateSecret, p, ticket.ErrExpired)
	bound, boundSecret := add(3, func(i *ticket.Invitation) { i.Peer = q })
	check(bound, boundSecret, p, ticket.ErrOtherPeer)
	check(bound, boundSecret, q, nil)

	// A person confirms one of two who wait.
	asked, askedSecret := add(4, func(i *ticket.Invitation) { i.Confirm = true })
	must(t, book.Ask(asked, p))
	must(t, book.Ask(asked, p))
	if err := book.Ask(asked, q); !errors.Is(err, ticket.ErrUsed) {
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
	check(asked, askedSecret, q, ticket.ErrDenied)
	denied, deniedSecret := add(5, func(i *ticket.Invitation) { i.Confirm = true })
	must(t, book.Ask(denied, p))
	must(t, book.Answer(denied, p, false))
	check(denied, deniedSecret, p, ticket.ErrDenied)

	if list, err := book.List(); err != nil || len(list) != 5 || list[0].ID != late {
		t.Errorf("list %+v, %v", list, err)
	}
	must(t, book.Remove(id))
	must(t, book.Remove(id))
	check(id, secret, p, ticket.ErrUnknown)
}

func TestTicketBookIsBounded(t *testing.T) {
	dir := t.TempDir()
	book, err := ticket.OpenBook(dir)
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
	// Damaged files are no harm.
	must(t, os.WriteFile(filepath.Join(dir, "TICKETAAAAAAA.json"), []byte("{"), 0o600))
	if _, _, err := book.Check("TICKETAAAAAAA", secret, "x", time.Now()); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a damaged ticket: %v", err)
	}
	if list, err := book.List(); err != nil || len(list) != 255 {
		t.Errorf("%d, %v", len(list), err)
	}
	for _, bad := range []func(*ticket.Invitation){
		func(i *ticket.Invitation) { i.ID = "../x" }, func(i *ticket.Invitation) { i.Role = "king" },
		func(i *ticket.Invitation) { i.Name = "" }, func(i *ticket.Invitation) { i.LifetimeMs = -1 },
	} {
		inv, secret := entry(400, bad)
		if err := book.Add(inv, secret); err == nil || errors.Is(err, trust.ErrFull) {
			t.Errorf("%+v: %v", inv, err)
		}
	}
}

// Of many who come at once exactly one is let in.
func TestTicketRace(t *testing.T) {
	root := newRoot(t)
	dir := t.TempDir()
	first, err := ticket.OpenBook(dir)
	must(t, err)
	inv, secret := entry(1, nil)
	must(t, first.Add(inv, secret))
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 16 {
		p := newPerson(t)
		chain := worker(t, root, p)
		book, err := ticket.OpenBook(dir)
		must(t, err)
		wg.Go(func() {
			_, err := book.Use(inv.ID, p, chain, time.Now())
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, ticket.ErrUsed) {
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
		root := newRoot(t)
		book, err := ticket.OpenBook(dir)
		must(t, err)
		p, err := peer.Decode(os.Getenv("SWARM_TEST_PEER"))
		must(t, err)
		_, err = book.Use(inv.ID, p, worker(t, root, p), time.Now())
		must(t, err)
		self, _ := os.FindProcess(os.Getpid())
		self.Kill()
		select {}
	}
	if runtime.GOOS == "windows" {
		t.Skip("no kill -9 there")
	}
	dir := t.TempDir()
	book, err := ticket.OpenBook(dir)
	must(t, err)
	must(t, book.Add(inv, secret))
	p := newPerson(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestTicketMarkSurvivesKill$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, "SWARM_TEST_PEER="+p.String())
	if err := cmd.Run(); err == nil {
		t.Fatal("the child ended well")
	}
	if _, chain, err := book.Check(inv.ID, secret, p, time.Now()); err != nil || chain == nil {
		t.Errorf("the one that was marked: %v", err)
	}
	if _, _, err := book.Check(inv.ID, secret, newPerson(t), time.Now()); !errors.Is(err, ticket.ErrUsed) {
		t.Errorf("another: %v", err)
	}
}

// One member's tickets leave room for the owner's.
func TestBroughtTicketsAreFew(t *testing.T) {
	book, err := ticket.OpenBook(t.TempDir())
	must(t, err)
	sender := newPerson(t)
	add := func(by peer.ID) error {
		inv := ticket.Invitation{ID: rand.Text()[:13], Name: "x", Role: trust.RoleWorker, Expires: time.Now().Add(time.Hour), Sender: by}
		return book.Add(inv, make([]byte, 16))
	}
	for n := range ticket.MaxBrought + 1 {
		if err := add(sender); (err == nil) != (n < ticket.MaxBrought) {
			t.Errorf("ticket %d: %v", n+1, err)
		}
	}
	must(t, add(""))
}

// TestFlippedBits: a text with one other bit is no ticket.
func TestFlippedBits(t *testing.T) {
	text := []byte(ticketText(t))
	for i := range text {
		for bit := range 8 {
			text[i] ^= 1 << bit
			if _, err := ticket.Parse(string(text)); err == nil {
				t.Errorf("bit %d of byte %d", bit, i)
			}
			text[i] ^= 1 << bit
		}
	}
}

func FuzzTicket(f *testing.F) {
	text := ticketText(f)
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add("swarm1-")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ticket.Parse(text)
		if err != nil {
			return
		}
		again, err := k.Encode()
		must(t, err)
		if _, err := ticket.Parse(again); err != nil {
			t.Errorf("%q became %q: %v", text, again, err)
		}
	})
}

// FuzzTicketBook: nothing but the secret of a ticket lets in.
func FuzzTicketBook(f *testing.F) {
	inv, secret := entry(1, nil)
	f.Add(secret)
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		book, err := ticket.OpenBook(t.TempDir())
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

func ticketText(t testing.TB) string {
	t.Helper()
	k, err := ticket.New(ticket.Ticket{
		Fleet: newRoot(t).Fleet(), FleetName: "home", Redeemer: newPerson(t), Role: trust.RoleWorker, Name: "rig-01",
		Labels: map[string]string{"gpu": "3080"}, Expires: time.Now().Add(time.Hour),
	})
	must(t, err)
	text, err := k.Encode()
	must(t, err)
	return text
}

func newPerson(t testing.TB) peer.ID {
	t.Helper()
	_, pub, err := crypto.GenerateEd25519Key(rand.Reader)
	must(t, err)
	id, err := peer.IDFromPublicKey(pub)
	must(t, err)
	return id
}

// newRoot returns a fleet's root.
func newRoot(t testing.TB) *trust.Root {
	t.Helper()
	root, err := trust.NewRoot()
	must(t, err)
	return root
}

// worker returns a credential as a redeemer gives it.
func worker(t testing.TB, root *trust.Root, p peer.ID) trust.Chain {
	t.Helper()
	s, err := root.Signer()
	must(t, err)
	c, err := s.Issue(trust.Grant{Subject: p, Role: trust.RoleWorker, Name: "rig"}, time.Now())
	must(t, err)
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A clock that is two years ahead for a moment costs no ticket: one that was used stays used, and one
// that was not is good when the clock is right again.
func TestClockAheadForAMoment(t *testing.T) {
	root := newRoot(t)
	book, err := ticket.OpenBook(t.TempDir())
	must(t, err)
	p := newPerson(t)
	chain := worker(t, root, p)
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		add := func(i int, ends time.Time) (string, []byte) {
			inv, secret := entry(i, func(inv *ticket.Invitation) { inv.Expires = ends })
			must(t, book.Add(inv, secret))
			return inv.ID, secret
		}
		used, usedSecret := add(1, begun.Add(time.Hour))
		unused, unusedSecret := add(2, begun.Add(time.Hour))
		_, err := book.Use(used, p, chain, begun)
		must(t, err)
		time.Sleep(2 * 365 * 24 * time.Hour) // the clock is ahead
		add(3, time.Now().Add(time.Hour))
		right := begun.Add(time.Minute) // and right again
		if _, _, err := book.Check(used, usedSecret, newPerson(t), right); !errors.Is(err, ticket.ErrUsed) {
			t.Errorf("the used one: %v", err)
		}
		if _, _, err := book.Check(unused, unusedSecret, p, right); err != nil {
			t.Errorf("the one that nobody used: %v", err)
		}
		// An answer that was given while the clock was ahead is not given again for two years.
		_, err = book.Use(unused, p, chain, time.Now())
		must(t, err)
		if _, _, err := book.Check(unused, unusedSecret, p, right); !errors.Is(err, ticket.ErrUsed) {
			t.Errorf("used by a clock that was ahead: %v", err)
		}
	})
}

// The book is bounded by count: for want of room a used ticket is forgotten first, then the one that
// ended first, and never an open one.
func TestEndedTicketsMakeRoom(t *testing.T) {
	root := newRoot(t)
	dir := t.TempDir()
	book, err := ticket.OpenBook(dir)
	must(t, err)
	p := newPerson(t)
	chain := worker(t, root, p)
	now := time.Now()
	var ids []string
	add := func(i int, ends time.Time) {
		t.Helper()
		inv, secret := entry(i, func(inv *ticket.Invitation) { inv.Expires = ends })
		must(t, book.Add(inv, secret))
		ids = append(ids, inv.ID)
	}
	for i := range ticket.MaxKept - 1 { // as Add writes them, which reads all each time
		inv, _ := entry(i, func(inv *ticket.Invitation) { inv.Expires = now.Add(time.Duration(i-10_000) * time.Second) })
		data, err := json.Marshal(inv)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, inv.ID+".json"), data, 0o600))
		ids = append(ids, inv.ID)
	}
	add(ticket.MaxKept-1, now.Add(time.Hour))
	_, err = book.Use(ids[7], p, chain, now)
	must(t, err)
	known := func(want ...int) {
		t.Helper()
		list, err := book.List()
		if err != nil || len(list) != ticket.MaxKept {
			t.Errorf("%d are kept, %v", len(list), err)
		}
		for i, id := range ids {
			_, err := book.State(id)
			if gone := errors.Is(err, ticket.ErrUnknown); gone != slices.Contains(want, i) {
				t.Errorf("ticket %d: %v", i, err)
			}
		}
	}
	known()
	add(ticket.MaxKept, now.Add(time.Hour))
	known(7)
	add(ticket.MaxKept+1, now.Add(time.Hour))
	known(7, 0)
}
