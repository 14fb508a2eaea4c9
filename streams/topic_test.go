package streams

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// news is the payload of the tests' topic; its Node is the signer's, as with pushed stats.
type news struct {
	Node string `json:"node"`
	Seq  int    `json:"seq"`
	Text string `json:"text,omitzero"`
}

func (n news) Validate() error {
	if n.Seq < 0 {
		return errors.New("seq is negative")
	}
	return nil
}

var newsTopic = Topic[news]{Name: "/swarm/stats/1.0.0", Type: "stats"}

// byNode refuses news that another node signed.
func byNode(from peer.ID, n news) error {
	if n.Node != from.String() {
		return Errorf(CodeUnauthenticated, "news of %s are signed by %s", n.Node, from)
	}
	return nil
}

// topicNode is a host with gossipsub, and what it received and refused.
type topicNode struct {
	host.Host
	ps      *pubsub.PubSub
	subject *Subject[news]
	got     chan Received[news]
	refused chan Outcome
}

// newTopicNode returns a host on the topic; without subscribe it only publishes.
func newTopicNode(t *testing.T, subscribe bool, accept func(peer.ID, news) error) *topicNode {
	t.Helper()
	n := &topicNode{Host: newHost(t), got: make(chan Received[news], 64), refused: make(chan Outcome, 64)}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	ps, err := pubsub.NewGossipSub(ctx, n.Host)
	must(t, err)
	n.ps = ps
	n.subject, err = newsTopic.Join(ps, n.ID(), Config{Observe: func(o Outcome) { n.refused <- o }}, accept)
	must(t, err)
	if !subscribe {
		return n
	}
	messages, err := n.subject.Subscribe(ctx)
	must(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for r, err := range messages {
			if err != nil {
				return
			}
			n.got <- r
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return n
}

func (n *topicNode) connect(t *testing.T, to *topicNode) {
	t.Helper()
	must(t, n.Connect(t.Context(), peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}))
}

// publish pushes news with the sequence number.
func (n *topicNode) publish(t *testing.T, seq int) {
	t.Helper()
	must(t, n.subject.Publish(t.Context(), news{Node: n.ID().String(), Seq: seq}))
}

// next returns what n receives next.
func (n *topicNode) next(t *testing.T) Received[news] {
	t.Helper()
	select {
	case r := <-n.got:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was received in 20 s")
		panic("unreachable")
	}
}

// publishUntil publishes until another node has received something: a message that is sent before
// the mesh stands is lost.
func publishUntil(t *testing.T, from, to *topicNode) Received[news] {
	t.Helper()
	seq := 0
	waitFor(t, func() bool {
		from.publish(t, seq)
		seq++
		return len(to.got) > 0
	})
	return to.next(t)
}

func TestTopicDelivers(t *testing.T) {
	worker, watcher := newTopicNode(t, false, nil), newTopicNode(t, true, byNode)
	worker.connect(t, watcher)
	waitFor(t, func() bool { return len(worker.subject.Subscribers()) == 1 })
	r := publishUntil(t, worker, watcher)
	if r.From != worker.ID() || r.Payload.Node != worker.ID().String() || time.Since(r.Timestamp).Abs() > time.Minute {
		t.Errorf("received %+v", r)
	}
	if len(worker.got) != 0 {
		t.Error("the publisher received its own message")
	}
}

// A message goes through a node in the middle, which only relays; what that node refuses it does
// not pass on.
func TestTopicGoesThroughOthers(t *testing.T) {
	worker, middle, watcher := newTopicNode(t, false, nil), newTopicNode(t, false, byNode), newTopicNode(t, true, byNode)
	stop, err := middle.subject.Relay()
	must(t, err)
	defer stop()
	worker.connect(t, middle)
	middle.connect(t, watcher)
	if r := publishUntil(t, worker, watcher); r.From != worker.ID() {
		t.Errorf("received %+v", r)
	}
	must(t, worker.subject.Publish(t.Context(), news{Node: watcher.ID().String()}))
	o := <-middle.refused
	if o.Peer != worker.ID() || !errors.Is(o.Err, ErrUnauthenticated) {
		t.Errorf("the middle refused %+v", o)
	}
	if len(watcher.refused) != 0 {
		t.Error("the refused message was passed on")
	}
}

// attacker publishes what it likes: its pubsub has no validator.
func TestTopicRefusesBadMessages(t *testing.T) {
	watcher := newTopicNode(t, true, byNode)
	evil := newHost(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ps, err := pubsub.NewGossipSub(ctx, evil)
	must(t, err)
	topic, err := ps.Join(newsTopic.Name)
	must(t, err)
	defer topic.Close()
	must(t, evil.Connect(ctx, peer.AddrInfo{ID: watcher.ID(), Addrs: watcher.Addrs()}))
	waitFor(t, func() bool { return len(topic.ListPeers()) == 1 })

	for i, tc := range topicTests(evil.ID(), watcher.ID(), time.Now()) {
		t.Run(tc.name, func(t *testing.T) {
			must(t, topic.Publish(ctx, []byte(tc.data)))
			switch tc.verdict {
			case "accept":
				if r := watcher.next(t); r.Payload.Seq != 1 {
					t.Errorf("received number %d", r.Payload.Seq)
				}
			case "reject":
				if o := <-watcher.refused; o.Peer != evil.ID() || o.Err == nil || !o.Inbound {
					t.Errorf("refused %+v", o)
				}
			}
			// Whatever came before, a good message still arrives, and it is the next one that does.
			good := newsMessage("stats", evil.ID(), time.Now(), fmt.Sprintf(`{"node":"%s","seq":%d}`, evil.ID(), 1000+i))
			must(t, topic.Publish(ctx, []byte(good)))
			if r := watcher.next(t); r.Payload.Seq != 1000+i {
				t.Errorf("received number %d", r.Payload.Seq)
			}
		})
	}
	if len(watcher.got)+len(watcher.refused) != 0 {
		t.Error("more was received or refused than that")
	}
}

func newsMessage(typ string, sender peer.ID, at time.Time, payload string) string {
	return fmt.Sprintf(`{"id":"1b4e28ba-2fa1-4d27-883f-0016d3cca401","type":"%s","sender":"%s","timestamp":"%s","payload":%s}`,
		typ, sender, at.UTC().Format(timeLayout), payload)
}

type topicTest struct{ name, data, verdict string }

// topicTests are messages that from signed, and what is to become of them.
func topicTests(from, other peer.ID, now time.Time) []topicTest {
	payload := fmt.Sprintf(`{"node":"%s","seq":1}`, from)
	good := newsMessage("stats", from, now, payload)
	sized := func(n int) string {
		return newsMessage("stats", from, now, fmt.Sprintf(`{"node":"%s","seq":1,"text":"%s"}`, from, strings.Repeat("x", n-len(good)-len(`,"text":""`))))
	}
	return []topicTest{
		{"good", good, "accept"},
		{"unknown members", newsMessage("stats", from, now, strings.Replace(payload, "}", `,"later":[]}`, 1)), "accept"},
		{"64 KiB", sized(MaxTopicMessage), "accept"},
		{"64 KiB and a byte", sized(MaxTopicMessage + 1), "reject"},
		{"a length prefix", string(frameBytes([]byte(good))), "reject"},
		{"empty", "", "reject"},
		{"not JSON", "stats", "reject"},
		{"a repeated name", strings.Replace(good, `"type"`, `"type":"stats","type"`, 1), "reject"},
		{"a forged sender", newsMessage("stats", other, now, payload), "reject"},
		{"a payload of another node", newsMessage("stats", from, now, fmt.Sprintf(`{"node":"%s","seq":1}`, other)), "reject"},
		{"another type", newsMessage("pong", from, now, payload), "reject"},
		{"no payload", newsMessage("stats", from, now, "null"), "reject"},
		{"a payload of the wrong form", newsMessage("stats", from, now, `{"node":5}`), "reject"},
		{"10 minutes and a second old", newsMessage("stats", from, now.Add(-10*time.Minute-time.Second), payload), "ignore"},
		{"10 minutes and a minute ahead", newsMessage("stats", from, now.Add(11*time.Minute), payload), "ignore"},
		{"9 minutes old", newsMessage("stats", from, now.Add(-9*time.Minute), payload), "accept"},
	}
}

func TestTopicAcceptHook(t *testing.T) {
	var mu sync.Mutex // validators run concurrently
	var newest int
	accept := func(from peer.ID, n news) error {
		mu.Lock()
		defer mu.Unlock()
		if n.Seq <= newest {
			return ErrIgnore
		}
		newest = n.Seq
		return nil
	}
	worker, watcher := newTopicNode(t, false, nil), newTopicNode(t, true, accept)
	worker.connect(t, watcher)
	waitFor(t, func() bool { return len(worker.subject.Subscribers()) == 1 })
	for want := 1; want <= 4; want++ { // each after an old one and before its repetition
		worker.publish(t, want-1)
		worker.publish(t, want)
		if r := watcher.next(t); r.Payload.Seq != want {
			t.Errorf("received %d, want %d", r.Payload.Seq, want)
		}
		worker.publish(t, want)
	}
	if len(watcher.got)+len(watcher.refused) != 0 {
		t.Error("an ignored message was delivered or refused")
	}
}

func TestTopicRefusesToPublish(t *testing.T) {
	n := newTopicNode(t, false, nil)
	fits := MaxTopicMessage - len(newsMessage("stats", n.ID(), time.Now(), fmt.Sprintf(`{"node":"%s","seq":1,"text":""}`, n.ID())))
	for extra, want := range []error{nil, ErrTooLarge} {
		err := n.subject.Publish(t.Context(), news{Node: n.ID().String(), Seq: 1, Text: strings.Repeat("x", fits+extra)})
		if !errors.Is(err, want) {
			t.Errorf("%d bytes over: got %v, want %v", extra, err, want)
		}
	}
	if _, err := newsTopic.Join(n.ps, n.ID(), Config{}, nil); err == nil {
		t.Error("a topic was joined twice")
	}
	must(t, n.subject.Close())
	again, err := newsTopic.Join(n.ps, n.ID(), Config{}, nil)
	must(t, err)
	must(t, again.Close())
}

// topicCase is one message on the stats topic.
type topicCase struct {
	Name    string `json:"name"`
	Now     string `json:"now"`
	From    string `json:"from"` // who signed it
	Data    string `json:"data"` // hexadecimal
	Verdict string `json:"verdict"`
}

func TestTopicVectors(t *testing.T) {
	const about = "Data of messages on the stats topic, signed by from, as they arrive at a node whose clock shows now and that watches from."
	var cases []topicCase
	from := vectorPeer(t, 1)
	for _, tc := range topicTests(from, vectorPeer(t, 2), vectorTime) {
		if len(tc.data) < MaxTopicMessage { // the large ones are told in words
			cases = append(cases, topicCase{tc.name, vectorTime.Format(time.RFC3339Nano), from.String(), hex.EncodeToString([]byte(tc.data)), tc.verdict})
		}
	}
	for _, c := range vectors(t, "topic.json", about, cases) {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now, err := time.Parse(time.RFC3339, c.Now)
				must(t, err)
				time.Sleep(time.Until(now))
				data, err := hex.DecodeString(c.Data)
				must(t, err)
				signer, err := peer.Decode(c.From)
				must(t, err)
				if got := verdictOf(data, signer); got != c.Verdict {
					t.Errorf("got %s, want %s", got, c.Verdict)
				}
			})
		})
	}
}

// verdictOf judges a message of the topic.
func verdictOf(data []byte, signer peer.ID) string {
	_, err := newsTopic.check(&pubsub.Message{Message: &pb.Message{From: []byte(signer), Data: data}}, exactly, byNode)
	switch {
	case err == nil:
		return "accept"
	case errors.Is(err, ErrIgnore):
		return "ignore"
	}
	return "reject"
}
