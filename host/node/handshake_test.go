package node_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/scoring"
	"github.com/seed-b490fa12/swarm/streams"
)

func TestStrangersHearLess(t *testing.T) {
	friend, stranger := newNode(t, node.Config{Role: "controller", Name: "laptop"}), newNode(t, node.Config{})
	worker := newNode(t, node.Config{
		Role: "worker", Name: "rig", Labels: map[string]string{"gpu": "3080"}, Judge: trust.NewOpen(friend.ID()),
	})
	for _, tc := range []struct {
		name string
		n    *node.Node
		hear string
	}{{"friend", friend, "rig"}, {"stranger", stranger, ""}} {
		t.Run(tc.name, func(t *testing.T) {
			must(t, tc.n.Connect(t.Context(), info(worker)))
			got, err := tc.n.Greeting(t.Context(), worker.ID())
			must(t, err)
			if got.Hello.Name != tc.hear || (got.Hello.Role == "") != (tc.hear == "") || (len(got.Hello.Labels) == 0) != (tc.hear == "") {
				t.Errorf("heard %+v", got.Hello)
			}
			if got.Hello.Version != streams.ProtocolVersion || len(got.Hello.Families) == 0 || got.RTT <= 0 || got.ClockOffset.Abs() > 5*time.Second {
				t.Errorf("greeting %+v", got)
			}
		})
	}
	waitFor(t, "the worker to know who called", func() bool {
		for _, p := range worker.Peers() {
			if p.ID == friend.ID() && p.Hello.Name == "laptop" {
				return true
			}
		}
		return false
	})
}

func TestIncompatibleVersion(t *testing.T) {
	n, other := newNode(t, node.Config{}), newNode(t, node.Config{})
	must(t, n.Host.Host.Connect(t.Context(), info(other)))
	conn := n.Network().ConnsToPeer(other.ID())[0]
	answer, _, err := streams.Handshake.DoOn(t.Context(), n.Client, conn, streams.Hello{Version: "9.0.0"})
	must(t, err)
	if answer.Accepted == nil || *answer.Accepted || !strings.Contains(answer.Reason, "9.0.0") {
		t.Errorf("answer %+v", answer)
	}
	waitFor(t, "the connection to end", func() bool { return conn.IsClosed() })
}

func TestDisconnect(t *testing.T) {
	n, other := newNode(t, node.Config{}), newNode(t, node.Config{})
	must(t, n.Connect(t.Context(), info(other)))
	must(t, n.Disconnect(t.Context(), other.ID(), streams.DisconnectRequested, "enough"))
	waitFor(t, "the connection to end", func() bool {
		return len(n.Network().ConnsToPeer(other.ID())) == 0 && len(other.Network().ConnsToPeer(n.ID())) == 0
	})
	if len(n.Peers()) != 0 {
		t.Errorf("peers %v", n.Peers())
	}
}

func TestOutcomesBecomeScores(t *testing.T) {
	asker := newNode(t, node.Config{})
	asked := newNode(t, node.Config{})
	must(t, hello.Handle(asked.Mux, greet))
	must(t, asker.Connect(t.Context(), info(asked)))
	if _, err := hello.Do(t.Context(), asker.Client, asked.ID(), helloRequest{"x"}); !errors.Is(err, streams.ErrForbidden) {
		t.Fatalf("got %v, want 403", err)
	}
	waitFor(t, "both scores", func() bool {
		return asker.Scores.Score(asked.ID()) > scoring.Neutral && asked.Scores.Score(asker.ID()) < scoring.Neutral
	})
	tag := asked.ConnManager().GetTagInfo(asker.ID())
	if tag == nil || tag.Tags[scoring.Tag] >= scoring.Neutral {
		t.Errorf("connection manager's tag %+v", tag)
	}
}

// A node that is not one of ours is let be: it has no handshake to offer.
func TestPeerWithoutHandshake(t *testing.T) {
	n, other := newNode(t, node.Config{}), newNode(t, node.Config{})
	for _, v := range streams.LifecycleFamily.ProtocolIDs() {
		other.RemoveStreamHandler(v)
	}
	must(t, n.Connect(t.Context(), info(other)))
	if _, err := n.Greeting(t.Context(), other.ID()); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestCloseTwice(t *testing.T) {
	n := newNode(t, node.Config{})
	must(t, n.Close())
	must(t, n.Close())
}
