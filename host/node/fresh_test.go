package node_test

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/record"

	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/addrs"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// ownWord is a grant that somebody signs who is not held by our code.
type ownWord struct{ grant trust.Grant }

func (w *ownWord) Domain() string               { return "swarm-grant" }
func (w *ownWord) Codec() []byte                { return []byte("/swarm/grant/2") }
func (w *ownWord) UnmarshalRecord([]byte) error { return nil }
func (w *ownWord) MarshalRecord() ([]byte, error) {
	return json.Marshal(&w.grant, json.Deterministic(true))
}

// A stranger that signs a grant for itself is a stranger all the same, and learns no statement:
// they tell the names, labels and rights of members.
func TestStrangerLearnsNothingByItsOwnWord(t *testing.T) {
	f := newFounder(t)
	worker := f.member(trust.RoleWorker, "rig-01")
	stranger := newNode(t, node.Config{Role: "controller", Name: "x"})
	must(t, stranger.Connect(t.Context(), info(worker)))
	key := stranger.Peerstore().PrivKey(stranger.ID())
	env, err := record.Seal(&ownWord{trust.Grant{Fleet: f.root.Fleet(), By: stranger.ID(), Line: trust.Line{By: stranger.ID(), Serial: "AAAAAAAAAAAAAAAAAAAAAAAAAA"}, N: 1,
		Subject: stranger.ID(), Role: trust.RoleWorker, Name: "y", Paper: "AAAAAAAAAAAAAAAAAAAAAAAAAA", Issued: 1, Expires: time.Now().Add(time.Hour).UnixMilli()}}, key)
	must(t, err)
	data, err := env.Marshal()
	must(t, err)
	asker := streams.NewClient(stranger.Host, streams.Config{})
	defer asker.Close()
	_, err = membership.PutStatements.Do(t.Context(), asker, worker.ID(), membership.Statements{Statements: [][]byte{data}})
	must(t, err)
	got, err := membership.Compare.Do(t.Context(), asker, worker.ID(), membership.CompareRequest{Sums: make([]string, trust.Buckets)})
	if streams.CodeOf(err) != streams.CodeUnauthenticated {
		bodies, err := membership.GetStatements.Do(t.Context(), asker, worker.ID(), membership.StatementsRequest{IDs: got.IDs})
		must(t, err)
		for _, data := range bodies.Statements {
			st, err := f.root.Fleet().Open(data)
			must(t, err)
			if st.Grant != nil {
				t.Errorf("it was told: %s, %s, verbs %v", st.Grant.Name, st.Grant.Role, st.Grant.Verbs)
			}
		}
	}
}

// Members that somebody tells of are not taken for those that have shown themselves: they push out
// nobody who waits to be signed anew.
func TestToldOfIsNotShown(t *testing.T) {
	f := newFounder(t)
	fleet := fleetOf(f.laptop)
	key, id := newKey(t)
	chain, err := f.signer.Issue(trust.Grant{Subject: id, Role: trust.RoleIssuer, Name: "lost", Verbs: []string{trust.AllVerbs},
		MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleWorker}, ForAll: true}}, time.Now())
	must(t, err)
	lost, err := trust.NewIssuer(f.root.Fleet(), key, chain)
	must(t, err)
	f.revoke(f.laptop, id)
	made := func() membership.Contact {
		_, p := newKey(t)
		c, err := lost.Issue(trust.Grant{Subject: p, Role: trust.RoleWorker, Name: "x"}, time.Now())
		must(t, err)
		return membership.Contact{Peer: p, Grant: c.JSON()}
	}
	var real []membership.Contact
	for range 512 { // as many as wait for a person
		m := made()
		c, err := trust.ParseChain(m.Grant)
		must(t, err)
		fleet.Admit(m.Peer, c)
		real = append(real, m)
	}
	for range 64 {
		_, err := addrs.Save(f.laptop.Book(), fleet, []membership.Contact{made()})
		must(t, err)
	}
	gone := 0
	for _, m := range real {
		if _, known := fleet.Known(m.Peer); !known {
			gone++
		}
	}
	if gone > 0 {
		t.Errorf("%d machines that were there are forgotten", gone)
	}
}

// A relay that a thief made up, and that was signed anew by itself, has no machine's commands held.
func TestUnconfirmedRelayHoldsNobody(t *testing.T) {
	f := newFounder(t)
	_, lost := newKey(t)
	chain, err := f.signer.Issue(trust.Grant{Subject: lost, Role: trust.RoleIssuer, Name: "lost", Verbs: []string{trust.AllVerbs},
		MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleWorker}, ForAll: true}}, time.Now())
	must(t, err)
	paper, err := f.root.Fleet().Open(chain[0])
	must(t, err)
	own, self := newKey(t)
	worker := f.start(own, f.grant(self, trust.RoleWorker, "rig-01", time.Now()), node.Config{Role: "worker", Sole: true}, nil)
	_, err = fleetOf(worker).Learn(chain[0])
	must(t, err)
	f.revoke(worker, lost)
	key, id := newKey(t)
	made, err := f.signer.Issue(trust.Grant{Subject: id, Role: trust.RoleRelay, Name: "x", Origins: []trust.Origin{{By: lost, Paper: paper.Grant.Line.Serial}}}, time.Now())
	must(t, err)
	relay := f.start(key, made, node.Config{Role: "relay"}, nil)
	must(t, relay.Connect(t.Context(), info(worker)))
	got, err := relay.Greeting(t.Context(), worker.ID())
	must(t, err)
	if m, _ := fleetOf(worker).Known(id); m.Err != nil || !m.Unconfirmed {
		t.Fatalf("unconfirmed %v, %v", m.Unconfirmed, m.Err)
	}
	news := greet.TwinsNews{Peer: worker.ID(), Twins: greet.Twins{Boots: []string{got.Hello.Boot, "worker-x"}}}
	if _, err := greet.TellTwins.Do(t.Context(), relay.Client, worker.ID(), news); streams.CodeOf(err) != streams.CodeForbidden {
		t.Errorf("got %v, want %d", err, streams.CodeForbidden)
	}
	if _, held := worker.Twin(worker.ID()); held {
		t.Error("its commands are held")
	}
}
