package node_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/streams"
)

// TestSubscribersStay ends the stream on which a node sends to a subscriber, as when the one of two
// connections is closed.
func TestSubscribersStay(t *testing.T) {
	const topic, relayed = "/swarm/test/1.0.0", "/swarm/test/2.0.0"
	synctest.Test(t, func(t *testing.T) {
		nodes := simulated(t, 2, node.Config{Topics: []string{topic, relayed}})
		pusher, subscriber := nodes[0], nodes[1]
		joined, err := subscriber.PubSub.Join(topic)
		must(t, err)
		sub, err := joined.Subscribe()
		must(t, err)
		defer sub.Cancel()
		joined, err = subscriber.PubSub.Join(relayed)
		must(t, err)
		stop, err := joined.Relay()
		must(t, err)
		must(t, pusher.Connect(t.Context(), info(subscriber)))
		time.Sleep(time.Second)
		knows := func(topic string) bool { return slices.Contains(pusher.PubSub.ListPeers(topic), subscriber.ID()) }
		if !knows(topic) || !knows(relayed) {
			t.Fatal("the subscriptions did not arrive")
		}
		for cuts := 1; cuts <= 12; cuts++ { // pubsub itself opens four streams within ten minutes
			cut(t, pusher, subscriber)
			time.Sleep(32 * time.Second)
			if !knows(topic) || !knows(relayed) {
				t.Fatalf("after %d cuts the pusher knows of a subscription: %v, of another: %v", cuts, knows(topic), knows(relayed))
			}
		}
		stop()
		time.Sleep(time.Second)
		cut(t, pusher, subscriber)
		time.Sleep(32 * time.Second)
		if !knows(topic) || knows(relayed) {
			t.Errorf("one of two subscriptions has ended; after a cut the pusher knows of the one: %v, of the other: %v", knows(topic), knows(relayed))
		}
	})
}

// cut ends the stream of pubsub from one node to another.
func cut(t *testing.T, from, to *node.Node) {
	t.Helper()
	for _, c := range from.Network().ConnsToPeer(to.ID()) {
		for _, s := range c.GetStreams() {
			if strings.HasPrefix(string(s.Protocol()), "/meshsub/") && s.Stat().Direction == network.DirOutbound {
				must(t, s.Reset())
				return
			}
		}
	}
	t.Error("there is no stream")
}

// simulated are running nodes in a network without a wire, in the virtual time of the test, which
// ends them.
func simulated(t *testing.T, count int, cfg node.Config) (nodes []*node.Node) {
	t.Helper()
	wire := &simnet.Simnet{LatencyFunc: simnet.StaticLatency(10 * time.Millisecond)}
	wire.Start()
	t.Cleanup(wire.Close)
	speed := simnet.LinkSettings{BitsPerSecond: 20 * simlibp2p.OneMbps}
	for i := range count {
		cfg.Host = host.Config{
			StateDir: t.TempDir(), DHT: host.DHTOff,
			Listen: []multiaddr.Multiaddr{multiaddr.StringCast(fmt.Sprintf("/ip4/1.0.0.%d/udp/4747/quic-v1", i+1))},
			Options: []libp2p.Option{
				simlibp2p.QUICSimnet(wire, simnet.NodeBiDiLinkSettings{Downlink: speed, Uplink: speed}),
				libp2p.DisableIdentifyAddressDiscovery(),
			},
		}
		nodes = append(nodes, runNode(t, cfg))
	}
	return nodes
}

// TestRefusedPushIsReported: a peer whose message on a topic was refused is told, now and then.
func TestRefusedPushIsReported(t *testing.T) {
	const topic = "/swarm/test/1.0.0"
	synctest.Test(t, func(t *testing.T) {
		var log lines
		nodes := simulated(t, 2, node.Config{Topics: []string{topic}, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		pusher, receiver := nodes[0], nodes[1]
		subject, err := streams.Topic[helloRequest]{Name: topic, Type: "hello"}.Join(receiver.PubSub, receiver.ID(), receiver.Streams, nil)
		must(t, err)
		stop, err := subject.Relay()
		must(t, err)
		defer stop()
		raw, err := pusher.PubSub.Join(topic)
		must(t, err)
		must(t, pusher.Connect(t.Context(), info(receiver)))
		for _, tt := range []struct {
			after time.Duration
			want  int // reports in all
		}{{time.Second, 1}, {time.Second, 1}, {time.Minute, 2}} {
			time.Sleep(tt.after)
			must(t, raw.Publish(t.Context(), fmt.Append(nil, "rubbish after ", log.len())))
			time.Sleep(time.Second)
			if got := log.count("a peer reports an error"); got != tt.want || !log.has("a message on "+topic+" was refused: not valid JSON") {
				t.Errorf("%d reports, want %d", got, tt.want)
			}
		}
	})
}

// lines is a log in memory.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) len() int           { return len(l.text()) }
func (l *lines) count(s string) int { return strings.Count(l.text(), s) }
func (l *lines) has(s string) bool  { return l.count(s) > 0 }
