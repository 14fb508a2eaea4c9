package streams

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/network"
)

func TestLifecycle(t *testing.T) {
	p := newPair(t)
	goodbyes := make(chan Goodbye, 1)
	yes := true
	must(t,
		Handshake.Handle(p.mux, func(_ context.Context, peer Peer, h Hello) (Hello, error) {
			if h.Role != "controller" || !h.Compatible() || peer.ID != p.caller.ID() {
				t.Errorf("greeted by %s with %+v", peer.ID, h)
			}
			return Hello{Version: ProtocolVersion, Families: p.mux.Families(), Accepted: &yes}, nil
		}),
		Ping.Handle(p.mux, func(_ context.Context, _ Peer, r PingRequest) (Pong, error) { return r.Answer(), nil }),
		Disconnect.Handle(p.mux, func(_ context.Context, _ Peer, g Goodbye) error {
			goodbyes <- g
			return nil
		}),
	)
	must(t, p.caller.Connect(t.Context(), p.server.Peerstore().PeerInfo(p.server.ID())))
	conn := p.caller.Network().ConnsToPeer(p.server.ID())[0]
	hello, timing, err := Handshake.DoOn(t.Context(), p.client, conn, Hello{Version: ProtocolVersion, Role: "controller", Labels: map[string]string{"site": "attic"}})
	must(t, err)
	if hello.Accepted == nil || !*hello.Accepted || len(hello.Families) != 1 || hello.Families[0].Name != "lifecycle" {
		t.Errorf("answer %+v", hello)
	}
	if off := timing.ClockOffset(); off.Abs() > timing.RTT()+1e6 {
		t.Errorf("the same clock is off by %v in a round trip of %v", off, timing.RTT())
	}
	pong, err := Ping.Do(t.Context(), p.client, p.server.ID(), PingRequest{SentAt: 17})
	if err != nil || pong.SentAt != 17 || pong.ReceivedAt == 0 {
		t.Errorf("pong %+v, %v", pong, err)
	}
	for code := DisconnectRequested; code <= DisconnectSubprotocolError; code++ {
		g := Goodbye{Code: code, Reason: code.String()}
		must(t, Disconnect.Send(t.Context(), p.client, p.server.ID(), g))
		if got := <-goodbyes; got != g {
			t.Errorf("got %+v, want %+v", got, g)
		}
	}
	for _, code := range []DisconnectCode{0, DisconnectSubprotocolError + 1, -1} {
		if err := Disconnect.Send(t.Context(), p.client, p.server.ID(), Goodbye{Code: code}); !errors.Is(err, ErrInvalid) {
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
	if len(disconnectWords) != len(want) || DisconnectCode(99).String() != "reason 99" {
		t.Errorf("%d reasons, want %d", len(disconnectWords), len(want))
	}
}

func TestValidateResponse(t *testing.T) {
	me, to := vectorPeer(t, 1), vectorPeer(t, 2)
	req, err := NewMessage(me, "get_stats", struct{}{})
	must(t, err)
	answer := func(change func(*Message)) *Message {
		m, err := req.Reply(to, "stats", greeting{Text: "x"})
		must(t, err)
		change(m)
		return m
	}
	fails := func(m *Message) {
		m.Type = typeError
		must(t, m.SetPayload(Errorf(CodeForbidden, "no")))
	}
	tests := []struct {
		name   string
		resp   *Message
		ok     bool
		peer   Code // the code of an error that the peer sent
		parsed bool // ValidateResponse passes it, ParseResponse does not
	}{
		{"good", answer(func(*Message) {}), true, 0, false},
		{"an error", answer(fails), false, CodeForbidden, false},
		{"an error that names no request", answer(func(m *Message) { fails(m); m.ReplyTo = uuid.Nil }), false, CodeForbidden, false},
		{"an error for another request", answer(func(m *Message) { fails(m); m.ReplyTo = uuid.New() }), false, 0, false},
		{"an error of another peer", answer(func(m *Message) { fails(m); m.Sender = me }), false, 0, false},
		{"an error without a code", answer(func(m *Message) { m.Type = typeError }), false, 0, false},
		{"an error of null", answer(func(m *Message) { m.Type, m.Payload = typeError, []byte("null") }), false, 0, false},
		{"another peer", answer(func(m *Message) { m.Sender = me }), false, 0, false},
		{"another request", answer(func(m *Message) { m.ReplyTo = uuid.New() }), false, 0, false},
		{"no request", answer(func(m *Message) { m.ReplyTo = uuid.Nil }), false, 0, false},
		{"another type", answer(func(m *Message) { m.Type = "pong" }), false, 0, false},
		{"a payload of the wrong form", answer(func(m *Message) { m.Payload = []byte(`[]`) }), true, 0, true},
		{"a payload that breaks a rule", answer(func(m *Message) { m.Payload = []byte(`{}`) }), true, 0, true},
		{"no payload", answer(func(m *Message) { m.Payload = nil }), true, 0, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := ValidateResponse(req, tc.resp, to, "stats")
			e, isError := errors.AsType[*Error](err)
			if (err == nil) != tc.ok || isError != (tc.peer != 0) || isError && e.Code != tc.peer {
				t.Errorf("ValidateResponse: %v", err)
			}
			got, err := ParseResponse[greeting](req, tc.resp, to, "stats")
			_, isError = errors.AsType[*Error](err)
			if (err == nil) != (tc.ok && !tc.parsed) || isError != (tc.peer != 0) || err == nil && got.Text != "x" {
				t.Errorf("ParseResponse: %v, %v", got, err)
			}
		})
	}
}
