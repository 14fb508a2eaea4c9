package trust_test

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// again opens a machine's membership as its next start does.
func (o *owner) again(f *trust.Fleet) *trust.Fleet {
	o.t.Helper()
	next, err := trust.OpenFleet(trust.FleetConfig{Dir: f.Dir(), Self: f.Self().Grant.Subject})
	must(o.t, err)
	return next
}

// revocation is what one signs who has a key and is not held by our code.
func (o *owner) revocation(by person, paper []byte, p peer.ID, evidence ...[]byte) []byte {
	o.t.Helper()
	return trust.SealRevocation(o.t, &trust.Revocation{Fleet: o.root.Fleet(), By: by.id, Peer: p, Paper: paper, Evidence: evidence, Nonce: trust.NewSerial(), Issued: 1}, by.key)
}

// A machine that has heard what an issuer revoked, and then that its book is closed, starts anew
// and is whole.
func TestClosedBookIsNotMissed(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	s, thief, c := o.stolen()
	friend := newPerson(t)
	o.learn(f, c...)
	o.learn(f, o.issue(o.second, trust.Grant{Subject: friend.id, Role: trust.RoleController, Name: "friend"})...)
	must(t, f.Revoke(s, []peer.ID{friend.id}, nil))
	o.revoke(f, o.signer, thief.id)
	must(t, f.Close(o.signer, thief.id, nil))
	for range 3 {
		f = o.again(f)
		must(t, f.Whole())
		must(t, f.May(friend.id, "deploy"))
	}
}
