package node_test

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/record"

	"github.com/seed-b490fa12/swarm/host/node"
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

// A stranger that signs a grant for itself is a stranger all the same, and learns no statement: they
// tell the names, labels and rights of members.
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
	_, err = node.PutStatements.Do(t.Context(), asker, worker.ID(), node.Statements{Statements: [][]byte{data}})
	must(t, err)
	got, err := node.Compare.Do(t.Context(), asker, worker.ID(), node.CompareRequest{Sums: make([]string, trust.Buckets)})
	if streams.CodeOf(err) != streams.CodeUnauthenticated {
		bodies, err := node.GetStatements.Do(t.Context(), asker, worker.ID(), node.StatementsRequest{IDs: got.IDs})
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
