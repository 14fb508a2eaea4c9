package gossip

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/event"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multistream"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// failing is a host whose attempts to open a stream end in these errors, one after the other; nil
// is a stream.
type failing struct {
	corehost.Host
	errs []error
	net  away
}

// away is a network in which a peer is until that reports false.
type away struct {
	network.Network
	here func() bool
}

func (f *failing) Network() network.Network { return f.net }

func (f *failing) EventBus() event.Bus { return eventbus.NewBus() }

func (a away) Connectedness(peer.ID) network.Connectedness {
	if a.here() {
		return network.Connected
	}
	return network.NotConnected
}

func (f *failing) NewStream(ctx context.Context, _ peer.ID, _ ...protocol.ID) (network.Stream, error) {
	if no, _ := network.GetNoDial(ctx); !no {
		return nil, errors.New("it would dial")
	}
	err := f.errs[0]
	if len(f.errs) > 1 {
		f.errs = f.errs[1:]
	}
	return nil, err
}

func TestPatient(t *testing.T) {
	closing, none := errors.New("connection closed"), multistream.ErrNotSupported[protocol.ID]{}
	for _, tt := range []struct {
		name string
		errs []error
		gone time.Duration // since when the peer is away; 0 is never
		ends time.Duration // when ctx does
		took time.Duration
		err  error
	}{
		{"at once", []error{nil}, 0, time.Hour, 0, nil},
		{"a connection was just closing", []error{closing, nil}, 0, time.Hour, time.Second, nil},
		{"a grant is renewed later", []error{closing, closing, closing, closing, closing, closing, nil}, 0, time.Hour, 61 * time.Second, nil},
		{"it does not speak the protocol", []error{closing, none}, 0, time.Hour, time.Second, none},
		{"it goes away", []error{closing}, 10 * time.Second, time.Hour, 91 * time.Second, closing},
		{"a stranger goes away", []error{trust.ErrStranger, network.ErrNoConn}, 10 * time.Second, time.Hour, 15 * time.Second, network.ErrNoConn},
		{"pubsub ends", []error{closing}, 0, 10 * time.Second, 10 * time.Second, closing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.ends)
				defer cancel()
				began := time.Now()
				f := &failing{errs: tt.errs, net: away{here: func() bool { return tt.gone == 0 || time.Since(began) < tt.gone }}}
				h, err := newPubSubHost(f, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, err = h.NewStream(ctx, "", "/p/1")
				if took := time.Since(began); !errors.Is(err, tt.err) || took != tt.took {
					t.Errorf("%v after %v, want %v after %v", err, took, tt.err, tt.took)
				}
			})
		})
	}
}

func TestSubscriptionsOf(t *testing.T) {
	yes, no, topics := true, false, []string{"/a", "/b"}
	rpc := &pb.RPC{
		Subscriptions: []*pb.RPC_SubOpts{{Subscribe: &yes, Topicid: &topics[0]}, {Subscribe: &no, Topicid: &topics[1]}},
		Publish:       []*pb.Message{{Data: []byte("something"), Topic: &topics[0]}},
		Control:       &pb.ControlMessage{Graft: []*pb.ControlGraft{{TopicID: &topics[1]}}},
	}
	b := framed(t, rpc)
	got := subscriptions(b)
	if len(got) != 2 || !proto.Equal(got[0], rpc.Subscriptions[0]) || !proto.Equal(got[1], rpc.Subscriptions[1]) {
		t.Errorf("got %v", got)
	}
	for i := range b {
		if n := len(subscriptions(b[:i])); n > 2 {
			t.Errorf("%d subscriptions in %d bytes", n, i)
		}
	}
	rpc.Subscriptions = nil
	b = framed(t, rpc)
	if n := testing.AllocsPerRun(100, func() { got = subscriptions(b) }); len(got) != 0 || n != 0 {
		t.Errorf("an RPC without subscriptions: %v, %v allocations", got, n)
	}
}

// framed is an RPC as it is written.
func framed(t *testing.T, rpc *pb.RPC) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := protodelim.MarshalTo(&b, rpc); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stalled is a stream whose other end does not read until it is reset.
type stalled struct {
	network.Stream
	began          chan struct{} // has a token for each write
	over           chan struct{}
	writes, resets atomic.Int64
}

func (s *stalled) Conn() network.Conn               { return conn{} }
func (s *stalled) SetWriteDeadline(time.Time) error { return nil }
func (s *stalled) Protocol() protocol.ID            { return "/p/1" }
func (s *stalled) Reset() error {
	if s.resets.Add(1) == 1 {
		close(s.over)
	}
	return nil
}

func (s *stalled) Write([]byte) (int, error) {
	s.writes.Add(1)
	s.began <- struct{}{}
	<-s.over
	return 0, network.ErrReset
}

type conn struct{ network.Conn }

func (conn) RemotePeer() peer.ID { return "p" }

// TestReminderWaitsApart: a peer that does not read what it is told is heard all the same, however
// many streams it opens; one reminder is under way then, and one waits.
func TestReminderWaitsApart(t *testing.T) {
	s := &stalled{began: make(chan struct{}, 100), over: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	started := 0
	h, err := newPubSubHost(&failing{net: away{here: func() bool { return true }}}, func(f func(context.Context)) {
		started++
		running.Go(func() { f(ctx) })
	})
	if err != nil {
		t.Fatal(err)
	}
	a := h.announce(ctx, "p", s).(*announcer)
	yes, topic := true, "/a"
	a.said[topic] = &pb.RPC_SubOpts{Subscribe: &yes, Topicid: &topic}
	heard := 0
	hear := h.reminding(func(network.Stream) { heard++ })
	hear(s)
	<-s.began
	for range 99 {
		hear(s)
	}
	if heard != 100 || started != 2 {
		t.Errorf("of 100 streams %d were heard, with %d reminders", heard, started)
	}
	cancel() // the node closes
	running.Wait()
	if s.resets.Load() == 0 {
		t.Error("a stream with half a reminder on it lives")
	}
	if err := h.fresh.Close(); err != nil {
		t.Error(err)
	}
}

// TestReminderFails: a stream with half a reminder on it is of no use.
func TestReminderFails(t *testing.T) {
	s := &stalled{began: make(chan struct{}, 1), over: make(chan struct{})}
	a := &announcer{Stream: s, said: map[string]*pb.RPC_SubOpts{"/a": {}}}
	go func() {
		<-s.began
		s.over <- struct{}{} // the write fails
	}()
	a.remind(t.Context())
	if s.resets.Load() != 1 {
		t.Errorf("reset %d times", s.resets.Load())
	}
}
