package streamtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rawProtocol protocol.ID = "/raw/1.0.0"

// ends returns both ends of a stream between two hosts, which are closed with the test.
func ends(t *testing.T) (here, there network.Stream) {
	t.Helper()
	a, b := NewHost(PeerID("a")), NewHost(PeerID("b"))
	t.Cleanup(func() {
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
	got := make(chan network.Stream, 1)
	b.SetStreamHandlerMatch(rawProtocol, func(id protocol.ID) bool { return id == rawProtocol }, func(s network.Stream) { got <- s })
	Connect(a, b)
	s, err := a.NewStream(t.Context(), b.ID(), "/other/1.0.0", rawProtocol)
	if err != nil {
		t.Fatal(err)
	}
	there = <-got
	if s.Protocol() != rawProtocol || there.Protocol() != rawProtocol || there.Conn().RemotePeer() != a.ID() {
		t.Fatalf("the ends are of %s and %s", s.Protocol(), there.Protocol())
	}
	return s, there
}

func TestStreamHalfCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := ends(t)
		here.Write([]byte("question"))
		here.CloseWrite()
		if b, err := io.ReadAll(there); string(b) != "question" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		there.Write([]byte("answer"))
		there.Close()
		if b, err := io.ReadAll(here); string(b) != "answer" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		if _, err := here.Write([]byte("x")); err == nil {
			t.Error("a write after CloseWrite succeeded")
		}
		if _, err := there.Read(make([]byte, 1)); err == nil {
			t.Error("a read after Close succeeded")
		}
		here.Close()
		if n := len(here.Conn().GetStreams()) + len(there.Conn().GetStreams()); n != 0 {
			t.Errorf("%d ends are left open", n)
		}
	})
}

func TestStreamResetCarriesItsCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := ends(t)
		read := make(chan error, 1)
		go func() {
			_, err := there.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		here.ResetWithError(network.StreamRateLimited)
		for where, err := range map[bool]error{true: <-read, false: second(here.Read(make([]byte, 1)))} {
			if want := (&network.StreamError{ErrorCode: network.StreamRateLimited, Remote: where}); !errors.Is(err, want) || !errors.Is(err, network.ErrReset) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
	})
}

func second(_ int, err error) error { return err }

func TestConnectionCloseEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := ends(t)
		there.Conn().CloseWithError(7)
		_, err := here.Read(make([]byte, 1))
		if e := new(network.ConnError); !errors.As(err, &e) || e.ErrorCode != 7 || !e.Remote {
			t.Errorf("got %v", err)
		}
		if !here.Conn().IsClosed() {
			t.Error("the connection is open")
		}
		if _, err := here.Conn().NewStream(t.Context()); err == nil {
			t.Error("a closed connection opened a stream")
		}
	})
}

func TestStreamDeadlinesAndWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := ends(t)
		began := time.Now()
		there.SetReadDeadline(began.Add(time.Minute))
		if _, err := there.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("read: %v after %v", err, time.Since(began))
		}
		here.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := here.Write(make([]byte, window+1)); !errors.Is(err, os.ErrDeadlineExceeded) || n != window {
			t.Errorf("wrote %d, %v; the window is %d", n, err, window)
		}
		here.SetDeadline(time.Time{})
		there.SetDeadline(time.Time{})
		go func() {
			here.Write(bytes.Repeat([]byte("x"), 3*window))
			here.CloseWrite()
		}()
		if b, err := io.ReadAll(there); len(b) != 4*window || err != nil {
			t.Errorf("read %d bytes, %v, want %d", len(b), err, 4*window)
		}
	})
}

type hello struct {
	Text string `json:"text"`
}

var greet = streams.Call[hello, hello]{
	Family: streams.Family{Name: "greet", Versions: []string{"1.0.0"}}, Request: "hello", Reply: "hello_ack", Verb: streams.VerbPublic,
}

func TestPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(PeerID("server"), PeerID("caller"), streams.Config{}, streams.Config{})
		defer p.Close()
		err := greet.Handle(p.Mux, func(_ context.Context, from streams.Peer, h hello) (hello, error) {
			if from.ID != PeerID("caller") {
				t.Errorf("called by %s", from.ID)
			}
			return hello{strings.ToUpper(h.Text)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := greet.Do(t.Context(), p.Client, p.Server.ID(), hello{"x"}); got.Text != "X" || err != nil {
				t.Errorf("got %v, %v", got, err)
			}
		}
		if got, _, err := greet.DoOn(t.Context(), p.Client, p.Conn, hello{"y"}); got.Text != "Y" || err != nil {
			t.Errorf("over a connection: got %v, %v", got, err)
		}
		if _, err := greet.Do(t.Context(), p.Client, PeerID("absent"), hello{"x"}); !errors.Is(err, streams.ErrUnreachable) {
			t.Errorf("a peer that is not there: %v", err)
		}
		if err := errors.Join(p.Close(), p.Close()); err != nil {
			t.Error(err)
		}
		if _, err := greet.Do(t.Context(), p.Client, p.Server.ID(), hello{"x"}); err == nil {
			t.Error("a call after Close succeeded")
		}
	})
}

func TestNetworkView(t *testing.T) {
	a, b, c := NewHost(PeerID("a")), NewHost(PeerID("b")), NewHost(PeerID("c"))
	defer a.Close()
	defer b.Close()
	defer c.Close()
	var events []string
	a.Network().Notify(&network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { events = append(events, "+"+name(c.RemotePeer())) },
		DisconnectedF: func(_ network.Network, c network.Conn) { events = append(events, "-"+name(c.RemotePeer())) },
	})
	ConnectLimited(a, b)
	if state := a.Network().Connectedness(b.ID()); state != network.Limited {
		t.Errorf("over a relay: %v", state)
	}
	if _, err := a.NewStream(t.Context(), b.ID(), rawProtocol); !errors.Is(err, network.ErrNoConn) {
		t.Errorf("a stream over a limited connection: %v", err)
	}
	direct := Connect(b, a)
	Connect(a, c)
	if s, err := b.NewStream(network.WithAllowLimitedConn(t.Context(), "test"), a.ID(), rawProtocol); err == nil || s != nil {
		t.Errorf("a protocol nobody serves: %v", err)
	}
	for _, end := range []network.Conn{direct, b.Network().ConnsToPeer(a.ID())[0]} {
		if key := end.RemotePublicKey(); key == nil || !end.RemotePeer().MatchesPublicKey(key) || end.LocalPeer() != b.ID() || end.RemotePeer() != a.ID() {
			t.Errorf("connection %s of %s with %s", end.ID(), end.LocalPeer(), end.RemotePeer())
		}
		if end.LocalMultiaddr().String() != end.RemoteMultiaddr().String() || end.ConnState().Transport != "memory" || end.As(nil) || end.Scope() == nil {
			t.Errorf("connection %s: %v at %s", end.ID(), end.ConnState(), end.LocalMultiaddr())
		}
	}
	if c, err := a.Network().DialPeer(t.Context(), b.ID()); err != nil || c.RemotePeer() != b.ID() {
		t.Errorf("dial a connected peer: %v", err)
	}
	if _, err := b.Network().DialPeer(t.Context(), c.ID()); err == nil {
		t.Error("a peer without a connection was dialled")
	}
	if err := a.Network().Listen(); err == nil || len(a.Network().ListenAddresses()) != 0 || a.Network().CanDial(b.ID(), nil) {
		t.Error("memory has an address")
	}
	if state := a.Network().Connectedness(b.ID()); state != network.Connected || direct.Stat().Direction != network.DirOutbound {
		t.Errorf("with a direct connection: %v", state)
	}
	if n := len(a.Network().Peers()); n != 2 || len(a.Network().Conns()) != 3 {
		t.Errorf("%d peers over %d connections", n, len(a.Network().Conns()))
	}
	a.Network().ClosePeer(b.ID())
	if got := strings.Join(events, " "); got != "+b +b +c -b -b" {
		t.Errorf("events %s", got)
	}
}

func name(p peer.ID) string {
	for _, n := range []string{"a", "b", "c"} {
		if PeerID(n) == p {
			return n
		}
	}
	return "?"
}

// A handler of the network takes streams before any protocol is named.
func TestRawStreamHandler(t *testing.T) {
	a, b := NewHost(PeerID("a")), NewHost(PeerID("b"))
	defer a.Close()
	defer b.Close()
	b.Network().SetStreamHandler(func(s network.Stream) {
		s.Write([]byte("hello"))
		s.Close()
	})
	Connect(a, b)
	s, err := a.Network().NewStream(t.Context(), b.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := io.ReadAll(s); string(got) != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := a.Network().NewStream(t.Context(), PeerID("c")); !errors.Is(err, network.ErrNoConn) {
		t.Errorf("a stream to nobody: %v", err)
	}
}
