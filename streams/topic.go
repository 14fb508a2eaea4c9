package streams

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// MaxTopicMessage is the largest message on a topic, in bytes.
const MaxTopicMessage = 64 << 10

// subscribed is how many messages wait for a subscriber; further ones it misses. The library's 32
// are too few for what a fleet pushes.
const subscribed = 1024

// Topic is a message type that is pushed to all who subscribe to its name. The data of each pubsub
// message is one envelope, without a length prefix.
type Topic[T any] struct {
	Name string // such as "/swarm/stats/1.0.0"
	Type Type
}

// ErrIgnore is returned by the accept function of [Topic.Join] for a message that is not wrong but
// not wanted: it is dropped, and its sender keeps its standing.
var ErrIgnore = errors.New("message not wanted")

// Received is a message of a topic.
type Received[T any] struct {
	From      peer.ID // who signed it
	Timestamp time.Time
	Payload   T
}

// Subject is a topic that this node has joined.
type Subject[T any] struct {
	topic *pubsub.Topic
	ps    *pubsub.PubSub
	def   Topic[T]
	self  sender
}

// Join joins the topic on ps, whose messages must be signed (pubsub's default). Every message is
// checked before it is delivered or passed on: its size, the envelope, that its sender signed it,
// its timestamp against our clock, its type and payload, and then accept, which may be nil and is
// called concurrently. accept returns [ErrIgnore] to drop a message, any other error to refuse it
// and count it against its sender. Join it once for each pubsub.
func (t Topic[T]) Join(
	ps *pubsub.PubSub, self peer.ID, cfg Config, accept func(from peer.ID, v T) error) (*Subject[T], error) {
	cfg = cfg.withDefaults()
	how := readingOf(reflect.TypeFor[T]())
	validate := func(_ context.Context, _ peer.ID, msg *pubsub.Message) pubsub.ValidationResult {
		if msg.GetFrom() == self {
			return pubsub.ValidationAccept
		}
		r, err := t.check(msg, how, accept)
		switch {
		case err == nil:
			msg.ValidatorData = r
			return pubsub.ValidationAccept
		case errors.Is(err, ErrIgnore):
			return pubsub.ValidationIgnore
		}
		cfg.Observe(Outcome{Peer: msg.GetFrom(), Family: t.Name, Type: t.Type, Inbound: true, Err: err})
		return pubsub.ValidationReject
	}
	if err := ps.RegisterTopicValidator(t.Name, validate, pubsub.WithValidatorInline(true)); err != nil {
		return nil, fmt.Errorf("join %s: %w", t.Name, err)
	}
	topic, err := ps.Join(t.Name)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("join %s: %w", t.Name, err), ps.UnregisterTopicValidator(t.Name))
	}
	return &Subject[T]{topic: topic, ps: ps, def: t, self: newSender(self)}, nil
}

// check decodes a message and says what is wrong with it.
func (t Topic[T]) check(msg *pubsub.Message, how reading, accept func(peer.ID, T) error) (*Received[T], error) {
	if len(msg.Data) > MaxTopicMessage {
		return nil, Errorf(CodeTooLarge, "a topic message may have %d bytes at most", MaxTopicMessage)
	}
	var m Message
	if err := decodeEnvelope(msg.Data, &m, sender{}, maxDepth); err != nil {
		return nil, err
	}
	if m.Sender != msg.GetFrom() {
		return nil, Errorf(CodeUnauthenticated, "sender %s did not sign the message", m.Sender)
	}
	if m.Type != t.Type {
		return nil, Errorf(CodeUnsupported, "type %s does not belong on topic %s", m.Type, t.Name)
	}
	if time.Since(m.Timestamp).Abs() > maxClockSkew {
		return nil, ErrIgnore // a wrong clock is no ill will
	}
	r := &Received[T]{From: m.Sender, Timestamp: m.Timestamp}
	if err := parsePayload(m.Payload, &r.Payload, how); err != nil {
		return nil, err
	}
	if accept != nil {
		if err := accept(m.Sender, r.Payload); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Publish pushes v to the subscribers.
func (s *Subject[T]) Publish(ctx context.Context, v T) error {
	m, err := NewMessage(s.self.id, s.def.Type, v)
	if err != nil {
		return err
	}
	b, err := m.MarshalJSON()
	if err != nil {
		return err
	}
	if len(b) > MaxTopicMessage {
		return Errorf(CodeTooLarge, "the %s message is %d bytes, over the limit of %d", m.Type, len(b), MaxTopicMessage)
	}
	return s.topic.Publish(ctx, b)
}

// Subscribers returns the connected peers that subscribe to the topic.
func (s *Subject[T]) Subscribers() []peer.ID { return s.topic.ListPeers() }

// Joins returns a channel that gets a value when a peer begins to subscribe; several at once may
// give one value. It ends with ctx; stop waits for that.
func (s *Subject[T]) Joins(ctx context.Context) (joined <-chan struct{}, stop func(), err error) {
	events, err := s.topic.EventHandler()
	if err != nil {
		return nil, nil, fmt.Errorf("watch the subscribers of %s: %w", s.def.Name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ch, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		defer events.Cancel()
		for {
			e, err := events.NextPeerEvent(ctx)
			if err != nil {
				return
			}
			if e.Type == pubsub.PeerJoin {
				select {
				case ch <- struct{}{}:
				default:
				}
			}
		}
	}()
	return ch, func() { cancel(); <-ended }, nil
}

// Relay passes messages on without reading them, until stop is called.
func (s *Subject[T]) Relay() (stop func(), err error) { return s.topic.Relay() }

// Subscribe returns the messages of others as they arrive, until ctx ends; then it yields its error
// once. The sequence must be ranged over, and ends the subscription when it is left.
func (s *Subject[T]) Subscribe(ctx context.Context) (iter.Seq2[Received[T], error], error) {
	sub, err := s.topic.Subscribe(pubsub.WithBufferSize(subscribed))
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", s.def.Name, err)
	}
	return func(yield func(Received[T], error) bool) {
		defer sub.Cancel()
		for {
			msg, err := sub.Next(ctx)
			if err != nil {
				yield(Received[T]{}, err)
				return
			}
			if r, ok := msg.ValidatorData.(*Received[T]); ok && !yield(*r, nil) {
				return
			}
		}
	}, nil
}

// Close leaves the topic. Subscriptions must have ended.
func (s *Subject[T]) Close() error {
	return errors.Join(s.topic.Close(), s.ps.UnregisterTopicValidator(s.def.Name))
}
