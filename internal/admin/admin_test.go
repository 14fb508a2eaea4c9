package admin

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newID(t *testing.T) peer.ID {
	t.Helper()
	key, err := identity.New()
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// newAdmin makes a fleet with its first controller.
func newAdmin(t *testing.T) *Admin {
	t.Helper()
	adm, err := InitFleet(Init{StateDir: t.TempDir(), Fleet: "home", Name: "laptop"})
	if err != nil {
		t.Fatal(err)
	}
	return adm
}

// Whoever may do more than read is confirmed by a person, or named: also a "worker".
func TestInviteAsksForConfirmation(t *testing.T) {
	adm := newAdmin(t)
	for i, tc := range []struct {
		role  trust.Role
		verbs []string
		peer  peer.ID
		want  bool
	}{
		{trust.RoleWorker, nil, "", false},
		{trust.RoleRelay, nil, "", false},
		{trust.RoleViewer, nil, "", false},
		{trust.RoleWorker, []string{"stats.read"}, "", false},
		{trust.RoleWorker, []string{"deploy"}, "", true},
		{trust.RoleViewer, []string{"*.read", "admit"}, "", true},
		{trust.RoleWorker, []string{"deploy"}, newID(t), false},
		{trust.RoleController, nil, "", true},
		{trust.RoleController, []string{}, "", true},
		{trust.RoleController, nil, newID(t), false},
	} {
		_, inv, err := adm.Invite(Ticket{Name: fmt.Sprintf("m%d", i), Role: tc.role, Verbs: tc.verbs, Peer: tc.peer, TTL: time.Hour, Redeemer: peer.AddrInfo{ID: adm.self()}})
		if err != nil || inv.Confirm != tc.want {
			t.Errorf("%s %v, named %v: confirm %+v, %v", tc.role, tc.verbs, tc.peer != "", inv, err)
		}
	}
}

// Several commands sign at the same time: what each of them revokes counts.
func TestConcurrentRevocationsAllCount(t *testing.T) {
	first := newAdmin(t)
	const commands, each = 6, 4
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		out []peer.ID
	)
	for range commands {
		adm, err := OpenAdmin(first.stateDir, nil) // as another process has it
		if err == nil {
			err = adm.UnlockRoot("", "")
		}
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range each {
				p := newID(t)
				if err := adm.Revoke([]peer.ID{p}, nil); err != nil {
					t.Error(err)
				}
				mu.Lock()
				out = append(out, p)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	last, err := OpenAdmin(first.stateDir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := last.Fleet.Revocations(); len(got) != commands*each {
		t.Errorf("%d are revoked, want %d", len(got), commands*each)
	}
	if err := first.Fleet.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, p := range out {
		if !first.Fleet.Revoked(p) || !last.Fleet.Revoked(p) {
			t.Errorf("the revocation of %s is lost", p)
		}
	}
}
