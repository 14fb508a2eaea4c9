package agent

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// Where others are is asked of those first who have something to say in the fleet; a worker is any
// machine.
func TestWhoIsAskedFirst(t *testing.T) {
	root, err := trust.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := root.Signer()
	if err != nil {
		t.Fatal(err)
	}
	issue := func(role trust.Role) (peer.ID, trust.Chain) {
		id := newID(t)
		chain, err := signer.Issue(trust.Grant{Subject: id, Role: role, Name: string(role)}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return id, chain
	}
	self, chain := issue(trust.RoleWorker)
	fleet, err := trust.CreateFleet(trust.FleetConfig{Dir: filepath.Join(t.TempDir(), "fleet"), Self: self},
		trust.Membership{Fleet: root.Fleet(), Name: "home", Chain: chain}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &leaders{fleet: fleet}
	var want, got []peer.ID
	for _, role := range []trust.Role{trust.RoleRelay, trust.RoleController, trust.RoleWorker} {
		id, chain := issue(role)
		if _, err := fleet.Admit(id, chain); err != nil {
			t.Fatal(err)
		}
		want = append(want, id)
	}
	got = append(got, want[2], want[1], want[0])
	slices.SortStableFunc(got, func(a, b peer.ID) int { return l.rank(a) - l.rank(b) })
	if !slices.Equal(got, want) {
		t.Errorf("asked in the order %v, want relay, controller, worker: %v", got, want)
	}
}
