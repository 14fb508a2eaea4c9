package node_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/addrs"
	"github.com/seed-b490fa12/swarm/host/node/greet"
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
			if got.Hello.Version != greet.ProtocolVersion || len(got.Hello.Families) == 0 || got.RTT <= 0 || got.ClockOffset.Abs() > 5*time.Second {
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
	answer, _, err := greet.Handshake.DoOn(t.Context(), n.Client, conn, greet.Hello{Version: "9.0.0"})
	must(t, err)
	if answer.Accepted == nil || *answer.Accepted || !strings.Contains(answer.Reason, "9.0.0") {
		t.Errorf("answer %+v", answer)
	}
	waitFor(t, "the connection to end", func() bool { return conn.IsClosed() })
}

func TestDisconnect(t *testing.T) {
	n, other := newNode(t, node.Config{}), newNode(t, node.Config{})
	must(t, n.Connect(t.Context(), info(other)))
	must(t, n.Disconnect(t.Context(), other.ID(), greet.DisconnectRequested, "enough"))
	waitFor(t, "the connection to end", func() bool {
		return len(n.Network().ConnsToPeer(other.ID())) == 0 && len(other.Network().ConnsToPeer(n.ID())) == 0
	})
	waitFor(t, "the peer to be forgotten", func() bool { return len(n.Peers()) == 0 })
}

func TestOutcomesBecomeScores(t *testing.T) {
	asker := newNode(t, node.Config{})
	asked := newNode(t, node.Config{})
	must(t, hello.Handle(asked.Mux, sayHello))
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

// When nobody answers any more it may be our own link that is down: then it costs nobody's score.
func TestOwnLinkDownCostsNobodysScore(t *testing.T) {
	asker := newNode(t, node.Config{})
	judge := trust.NewOpen(asker.ID())
	gone, there := newNode(t, node.Config{Judge: judge}), newNode(t, node.Config{Judge: judge})
	for _, n := range []*node.Node{gone, there} {
		must(t, hello.Handle(n.Mux, sayHello))
	}
	must(t, asker.Connect(t.Context(), info(gone)))
	must(t, ping(t, asker, gone))
	before := asker.Scores.Score(gone.ID())
	must(t, gone.Close())
	waitFor(t, "the end of the connection", func() bool { return len(asker.Network().ConnsToPeer(gone.ID())) == 0 })
	if err := ping(t, asker, gone); err == nil {
		t.Fatal("it answers")
	}
	if got := asker.Scores.Score(gone.ID()); got < before-1 {
		t.Errorf("with nobody else answering the score went from %v to %v", before, got)
	}
	must(t, asker.Connect(t.Context(), info(there)))
	must(t, ping(t, asker, there))
	if err := ping(t, asker, gone); err == nil {
		t.Fatal("it answers")
	}
	if got := asker.Scores.Score(gone.ID()); got >= before-1 {
		t.Errorf("though another answers the score is still %v, and was %v", got, before)
	}
}

// Of two newcomers that know a seed and nothing else, each finds the other; one that is no seed
// tells nothing.
func TestSeed(t *testing.T) {
	found := make(chan discovery.Found, 8)
	for _, tells := range []bool{true, false} {
		seed := newNode(t, node.Config{Seed: tells, Host: host.Config{DHT: host.DHTOff}})
		first := newNode(t, node.Config{Host: host.Config{DHT: host.DHTOff}})
		must(t, first.Connect(t.Context(), info(seed)))
		waitFor(t, "the seed to know its addresses", func() bool { return multiaddr.Contains(seed.Peerstore().Addrs(first.ID()), first.Addrs()[0]) })
		second := newNode(t, node.Config{Host: host.Config{DHT: host.DHTOff, OnFound: func(f discovery.Found) { found <- f }}})
		must(t, second.Connect(t.Context(), info(seed)))
		if !tells {
			if _, err := addrs.GetAddr.Do(t.Context(), second.Client, seed.ID(), addrs.AddrRequest{}); streams.CodeOf(err) != streams.CodeUnsupported {
				t.Errorf("one that is no seed answers %v", err)
			}
			continue
		}
		if f := <-found; f.ID != first.ID() || f.Source != "peers" || len(f.Addrs) == 0 {
			t.Errorf("found %+v", f)
		}
		waitFor(t, "the newcomers to meet", func() bool { return len(second.Network().ConnsToPeer(first.ID())) > 0 })
	}
}

// One who turns us away closes the connection, too. Whichever comes first, we learn why.
func TestRefusalIsTold(t *testing.T) {
	n := newNode(t, node.Config{})
	other, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	must(t, err)
	defer other.Close()
	mux, no := streams.NewMux(other, streams.Config{}), false
	must(t, greet.Handshake.Handle(mux, func(context.Context, streams.Peer, greet.Hello) (greet.Hello, error) {
		return greet.Hello{Version: "9.0.0", Accepted: &no, Reason: "update the older one"}, nil
	}))
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- mux.Serve(ctx) }()
	n.Peerstore().AddAddrs(other.ID(), other.Addrs(), time.Hour)
	for range 50 {
		if _, err := n.Greeting(t.Context(), other.ID()); streams.CodeOf(err) != streams.CodeUnsupported {
			t.Fatalf("got %v, want what the other has said", err)
		}
	}
	stop()
	must(t, <-served)
}

// A node that is not one of ours is let be: it has no handshake to offer.
func TestPeerWithoutHandshake(t *testing.T) {
	n, other := newNode(t, node.Config{}), newNode(t, node.Config{})
	for _, v := range greet.Family.ProtocolIDs() {
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

// However many strangers come, members get in.
func TestStrangersDoNotLockMembersOut(t *testing.T) {
	member := newNode(t, node.Config{})
	n := newNode(t, node.Config{Host: host.Config{MaxPeers: 3}, Judge: trust.NewOpen(member.ID())})
	var let int
	for range 5 {
		stranger := newNode(t, node.Config{})
		if stranger.Connect(t.Context(), info(n)) == nil {
			if _, err := stranger.Greeting(t.Context(), n.ID()); err == nil {
				let++
			}
		}
	}
	if let != 3 {
		t.Errorf("%d strangers got in, want 3", let)
	}
	must(t, member.Connect(t.Context(), info(n)))
	if _, err := greet.Ping.Do(t.Context(), member.Client, n.ID(), greet.PingRequest{}); err != nil {
		t.Errorf("a member: %v", err)
	}
	// Those who leave make room.
	for _, c := range n.Network().Conns() {
		must(t, c.Close())
	}
	waitFor(t, "room for a stranger", func() bool {
		stranger := newNode(t, node.Config{})
		if stranger.Connect(t.Context(), info(n)) != nil {
			return false
		}
		_, err := stranger.Greeting(t.Context(), n.ID())
		return err == nil
	})
}

// A peer that greets back on a connection that we dialled changes nothing of what our handshake has
// measured; the race detector watches.
func TestBothGreet(t *testing.T) {
	n, other := newNode(t, node.Config{}), newNode(t, node.Config{})
	for range 5 {
		must(t, n.Connect(t.Context(), info(other)))
		waitFor(t, "the other to know the connection", func() bool { return len(other.Network().ConnsToPeer(n.ID())) == 1 })
		_, _, err := greet.Handshake.DoOn(t.Context(), other.Client, other.Network().ConnsToPeer(n.ID())[0],
			greet.Hello{Version: greet.ProtocolVersion, Name: "mallory"})
		must(t, err)
		got, err := n.Greeting(t.Context(), other.ID())
		must(t, err)
		if got.RTT == 0 || got.Hello.Name == "mallory" {
			t.Errorf("greeting %+v", got)
		}
		must(t, n.Network().ClosePeer(other.ID()))
		waitFor(t, "the end of the connection", func() bool { return len(other.Network().ConnsToPeer(n.ID())) == 0 })
	}
}

// A handshake that failed is tried again by the next request.
func TestFailedHandshakeIsTriedAgain(t *testing.T) {
	n, other := newNode(t, node.Config{}), newNode(t, node.Config{})
	var refusals atomic.Int32
	id := greet.Family.ProtocolID()
	other.RemoveStreamHandler(id)
	other.Host.Host.SetStreamHandler(id, func(s network.Stream) {
		refusals.Add(1)
		s.ResetWithError(network.StreamResourceLimitExceeded)
	})
	must(t, n.Host.Host.Connect(t.Context(), info(other)))
	if _, err := n.Greeting(t.Context(), other.ID()); err == nil {
		t.Fatal("the refused handshake succeeded")
	}
	before := refusals.Load()
	_, err := n.Greeting(t.Context(), other.ID())
	if err == nil || refusals.Load() == before {
		t.Errorf("not tried again: %v", err)
	}
}

// TestCloseSaysWhy: the peers of a node that closes can tell that from a lost link. TCP itself may
// lose the last words, where something crosses them: one of five tries is enough.
func TestCloseSaysWhy(t *testing.T) {
	n := newNode(t, node.Config{})
	var err error
	for range 5 {
		other := newNode(t, node.Config{})
		err = endOfStream(t, n, other)
		if e, ok := errors.AsType[*network.ConnError](err); ok && e.ErrorCode == greet.DisconnectShuttingDown.ConnCode() {
			return
		}
	}
	t.Errorf("the stream ended with %v", err)
}

// endOfStream closes other, and returns the error with which a stream to it ended.
func endOfStream(t *testing.T, n, other *node.Node) error {
	t.Helper()
	other.SetStreamHandler("/raw/1", func(network.Stream) {})
	must(t, n.Connect(t.Context(), info(other)))
	s, err := n.Host.NewStream(t.Context(), other.ID(), "/raw/1")
	must(t, err)
	_, err = s.Write([]byte("x"))
	must(t, err)
	must(t, other.Close())
	_, err = s.Read(make([]byte, 1))
	return err
}

// TestTwinsAreHeld: a node that is one of two with its identity refuses what has an effect; see
// package twins.
func TestTwinsAreHeld(t *testing.T) {
	key, id := newKey(t)
	hub := newNode(t, node.Config{Role: "relay", Sole: true, Judge: trust.NewOpen(id)})
	worker := node.Config{Role: "worker", Sole: true, Judge: trust.NewOpen(hub.ID()), Host: host.Config{Identity: key}}
	act := streams.Call[helloRequest, helloReply]{Family: hello.Family, Request: "act", Reply: "act_ack", Verb: "greet.change"}
	for range 2 {
		w := newNode(t, worker)
		must(t, act.Handle(w.Mux, sayHello))
		must(t, w.Connect(t.Context(), info(hub)))
		_, err := w.Greeting(t.Context(), hub.ID())
		must(t, err)
	}
	waitFor(t, "the hub sees two", func() bool { _, two := hub.Twin(id); return two && len(hub.Twins()) == 1 })
	waitFor(t, "an effect is held", func() bool {
		_, err := act.Do(t.Context(), hub.Client, id, helloRequest{"x"})
		return streams.CodeOf(err) == streams.CodeConflict
	})
}
