package greet

import (
	"context"
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

func TestLifecycle(t *testing.T) {
	serve := streams.Config{Member: func(peer.ID) bool { return true }}
	p := streamtest.New(streamtest.PeerID("worker"), streamtest.PeerID("laptop"), serve, streams.Config{})
	defer p.Close()
	goodbyes := make(chan Goodbye, 1)
	yes := true
	must(t,
		Handshake.Handle(p.Mux, func(_ context.Context, from streams.Peer, h Hello) (Hello, error) {
			if h.Role != "controller" || !h.Compatible() || from.ID != p.Caller.ID() {
				t.Errorf("greeted by %s with %+v", from.ID, h)
			}
			return Hello{Version: ProtocolVersion, Families: p.Mux.Families(), Accepted: &yes}, nil
		}),
		Ping.Handle(p.Mux, func(_ context.Context, _ streams.Peer, r PingRequest) (Pong, error) { return r.Answer(), nil }),
		Disconnect.Handle(p.Mux, func(_ context.Context, _ streams.Peer, g Goodbye) error {
			goodbyes <- g
			return nil
		}),
	)
	hello, timing, err := Handshake.DoOn(t.Context(), p.Client, p.Conn, Hello{Version: ProtocolVersion, Role: "controller", Labels: map[string]string{"site": "attic"}})
	must(t, err)
	if hello.Accepted == nil || !*hello.Accepted || len(hello.Families) != 1 || hello.Families[0].Name != "lifecycle" {
		t.Errorf("answer %+v", hello)
	}
	if off := timing.ClockOffset(); off.Abs() > timing.RTT()+1e6 {
		t.Errorf("the same clock is off by %v in a round trip of %v", off, timing.RTT())
	}
	pong, err := Ping.Do(t.Context(), p.Client, p.Server.ID(), PingRequest{SentAt: 17})
	if err != nil || pong.SentAt != 17 || pong.ReceivedAt == 0 {
		t.Errorf("pong %+v, %v", pong, err)
	}
	for code := DisconnectRequested; code <= DisconnectSubprotocolError; code++ {
		g := Goodbye{Code: code, Reason: code.String()}
		must(t, Disconnect.Send(t.Context(), p.Client, p.Server.ID(), g))
		if got := <-goodbyes; got != g {
			t.Errorf("got %+v, want %+v", got, g)
		}
	}
	for _, code := range []DisconnectCode{0, DisconnectSubprotocolError + 1, -1} {
		if err := Disconnect.Send(t.Context(), p.Client, p.Server.ID(), Goodbye{Code: code}); !errors.Is(err, streams.ErrInvalid) {
			t.Errorf("code %d: got %v, want 400", code, err)
		}
	}
}

// The numbers and words of the enum are on the wire and in docs/protocol.md.
func TestDisconnectCodes(t *testing.T) {
	want := []string{"requested", "network error", "protocol error", "useless peer", "too many peers", "already connected", "incompatible version",
		"invalid identity", "shutting down", "unexpected identity", "self", "idle timeout", "revoked", "subprotocol error"}
	for i, words := range want {
		code := DisconnectCode(i + 1)
		if code.String() != words || code.ConnCode() != network.ConnErrorCode(0x53570001+i) {
			t.Errorf("%d is %q with the code %#x, want %q", code, code, code.ConnCode(), words)
		}
	}
	if len(disconnectWords) != len(want)+1 || DisconnectCode(99).String() != "reason 99" {
		t.Errorf("%d reasons, want %d", len(disconnectWords)-1, len(want))
	}
}

func TestClosed(t *testing.T) {
	for _, tt := range []struct {
		conn  network.ConnErrorCode
		code  streams.Code
		words string
	}{
		{DisconnectRevoked.ConnCode(), streams.CodeForbidden, "revoked"},
		{DisconnectShuttingDown.ConnCode(), 0, "shutting down"},
		{connCodeBase, 0, ""},
		{connCodeBase + 15, 0, ""},
		{network.ConnGated, 0, ""},
		{0, 0, ""},
		{0xffffffff, 0, ""},
	} {
		if code, words := Closed(tt.conn); code != tt.code || words != tt.words {
			t.Errorf("%#x means %d %q, want %d %q", tt.conn, code, words, tt.code, tt.words)
		}
	}
}
