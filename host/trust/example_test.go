package trust_test

import (
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// The owner makes a fleet, lets a machine and a controller in, and throws the controller out.
func ExampleFleet() {
	dir, err := os.MkdirTemp("", "fleet-")
	check(err)
	defer os.RemoveAll(dir)
	root, err := trust.NewRoot()
	check(err)
	owner, err := root.Signer()
	check(err)

	machine, controller := newPeer(), newPeer()
	own, err := owner.Issue(trust.Grant{Subject: machine, Role: trust.RoleWorker, Name: "rig-01"}, time.Now())
	check(err)
	fleet, err := trust.CreateFleet(
		trust.FleetConfig{Dir: filepath.Join(dir, "fleet"), Self: machine},
		trust.Membership{Fleet: root.Fleet(), Name: "home", Chain: own}, nil)
	check(err)

	chain, err := fleet.Issuance().Decide(owner, trust.Decision{Grant: trust.Grant{Subject: controller, Role: trust.RoleController, Name: "laptop"}})
	check(err)
	_, err = fleet.Admit(controller, chain) // it shows this when it connects
	check(err)
	fmt.Println(fleet.May(controller, "miner.control"))

	check(fleet.Issuance().Revoke(owner, []peer.ID{controller}, nil))
	fmt.Println(fleet.May(controller, "miner.control") == nil)
	// Output:
	// <nil>
	// false
}

func newPeer() peer.ID {
	_, pub, err := crypto.GenerateEd25519Key(rand.Reader)
	check(err)
	id, err := peer.IDFromPublicKey(pub)
	check(err)
	return id
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
