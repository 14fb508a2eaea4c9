// Package gossip is pubsub for the members of a node: what peers may have it look at is bounded,
// and what the library loses when connections come and go is made good.
package gossip

import (
	"context"
	"errors"
	"fmt"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// Config says which topics there are, and what is thought of peers.
type Config struct {
	// Topics are those that this node may join; no others are spoken of with peers.
	Topics []string
	// Score returns a number for a peer that is 0 for a neutral one, and less for a bad one: from
	// -25 on nothing is passed on to it by gossip, from -35 on it gets no messages of ours, and
	// from -45 on nothing is taken from it.
	Score func(peer.ID) float64
	// Go runs a function in a goroutine that the node waits for when it closes; its context ends
	// with the node.
	Go func(func(context.Context))
}

// maxTopics bounds the subscriptions that a peer may have.
const maxTopics = 64

// PubSub is a node's pubsub.
type PubSub struct {
	*pubsub.PubSub
	host *pubsubHost
}

// New starts pubsub on h. It ends with ctx; Close it after that.
func New(ctx context.Context, h corehost.Host, cfg Config) (*PubSub, error) {
	repaired, err := newPubSubHost(h, cfg.Go)
	if err != nil {
		return nil, err
	}
	ps, err := pubsub.NewGossipSub(ctx, repaired,
		pubsub.WithMaxMessageSize(2*streams.MaxTopicMessage),
		pubsub.WithAppSpecificRpcInspector(repaired.inspect),
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(
			pubsub.NewAllowlistSubscriptionFilter(cfg.Topics...), maxTopics)),
		pubsub.WithPeerScore(&pubsub.PeerScoreParams{
			AppSpecificScore:  cfg.Score,
			AppSpecificWeight: 1,
			DecayInterval:     pubsub.DefaultDecayInterval,
			DecayToZero:       pubsub.DefaultDecayToZero,
			// Colocation is no sign of anything here: a fleet sits behind one address.
			IPColocationFactorWeight: 0,
		}, &pubsub.PeerScoreThresholds{GossipThreshold: -25, PublishThreshold: -35, GraylistThreshold: -45}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start pubsub: %w", err), repaired.fresh.Close())
	}
	return &PubSub{ps, repaired}, nil
}

// Close frees what pubsub held.
func (p *PubSub) Close() error { return p.host.fresh.Close() }
