package streams

import (
	"errors"
	"testing"

	"github.com/google/uuid"
)

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
		name string
		resp *Message
		ok   bool
		peer Code // the code of an error that the peer sent
	}{
		{"good", answer(func(*Message) {}), true, 0},
		{"an error", answer(fails), false, CodeForbidden},
		{"an error that names no request", answer(func(m *Message) { fails(m); m.ReplyTo = uuid.Nil }), false, CodeForbidden},
		{"an error for another request", answer(func(m *Message) { fails(m); m.ReplyTo = uuid.New() }), false, 0},
		{"an error of another peer", answer(func(m *Message) { fails(m); m.Sender = me }), false, 0},
		{"an error without a code", answer(func(m *Message) { m.Type = typeError }), false, 0},
		{"an error of null", answer(func(m *Message) { m.Type, m.Payload = typeError, []byte("null") }), false, 0},
		{"another peer", answer(func(m *Message) { m.Sender = me }), false, 0},
		{"another request", answer(func(m *Message) { m.ReplyTo = uuid.New() }), false, 0},
		{"no request", answer(func(m *Message) { m.ReplyTo = uuid.Nil }), false, 0},
		{"another type", answer(func(m *Message) { m.Type = "pong" }), false, 0},
		{"a payload of the wrong form", answer(func(m *Message) { m.Payload = []byte(`[]`) }), true, 0},
		{"a payload that breaks a rule", answer(func(m *Message) { m.Payload = []byte(`{}`) }), true, 0},
		{"no payload", answer(func(m *Message) { m.Payload = nil }), true, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := ValidateResponse(req, tc.resp, to, "stats")
			e, isError := errors.AsType[*Error](err)
			if (err == nil) != tc.ok || isError != (tc.peer != 0) || isError && e.Code != tc.peer {
				t.Errorf("ValidateResponse: %v", err)
			}
		})
	}
}
