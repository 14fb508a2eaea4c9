package node_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/seed-b490fa12/swarm/host/node"
)

// TestSubscribersStay ends the stream on which a node sends to a subscriber, as when the one of two connections is closed.
func TestSubscribersStay(t *testing.T) {
	const topic, relayed = "/swarm/test/1.0.0", "/swarm/test/2.0.0"
	topics := []string{topic, relayed}
	pusher, subscriber := newNode(t, node.Config{Topics: topics}), newNode(t, node.Config{Topics: topics})
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

	knows := func(topic string) bool { return slices.Contains(pusher.PubSub.ListPeers(topic), subscriber.ID()) }
	stream := func() network.Stream {
		for _, c := range pusher.Network().ConnsToPeer(subscriber.ID()) {
			for _, s := range c.GetStreams() {
				if strings.HasPrefix(string(s.Protocol()), "/meshsub/") && s.Stat().Direction == network.DirOutbound {
					return s
				}
			}
		}
		return nil
	}
	cut := func() {
		before := stream()
		must(t, before.Reset())
		waitFor(t, "another stream", func() bool { s := stream(); return s != nil && s.ID() != before.ID() })
	}
	waitFor(t, "the first stream", func() bool { return stream() != nil })
	for range 3 {
		waitFor(t, "the subscriptions", func() bool { return knows(topic) && knows(relayed) })
		cut()
	}
	waitFor(t, "the subscriptions at last", func() bool { return knows(topic) && knows(relayed) })
	stop()
	waitFor(t, "one subscription to end", func() bool { return !knows(relayed) })
	cut()
	waitFor(t, "the other subscription", func() bool { return knows(topic) })
	if knows(relayed) {
		t.Error("a subscription that had ended is back")
	}
}
