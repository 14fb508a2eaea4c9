package streams

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"
)

type (
	plainPayload struct {
		Name  string
		Count int `json:",omitzero"`
	}
	taggedPayload struct {
		Name string `json:"name"`
		_    bool
		Off  bool `json:"-"`
	}
)

// A field without a JSON tag is found in any case, as encoding/json finds it. It stayed empty, without
// an error, for a peer that said "name".
func TestFieldsWithoutTags(t *testing.T) {
	p := newPair(t, allowAll)
	plain := Call[plainPayload, plainPayload]{testFamily, "plain", "plain_ack", VerbStatsRead}
	must(t, plain.Handle(p.mux, func(_ context.Context, _ Peer, v plainPayload) (plainPayload, error) { return v, nil }))
	for _, tt := range []struct {
		payload, want string
		code          Code
	}{
		{payload: `{"Name":"bob","Count":2}`, want: `{"Name":"bob","Count":2}`},
		{payload: `{"name":"bob","count":2}`, want: `{"Name":"bob","Count":2}`},
		{payload: `{"NAME":"bob","other":1}`, want: `{"Name":"bob"}`},
		{payload: `{"name":"bob","Name":"eve"}`, code: CodeInvalid},
		{payload: `{"name":1}`, code: CodeInvalid},
	} {
		raw := Call[jsontext.Value, jsontext.Value](plain)
		got, err := raw.Do(t.Context(), p.client, p.server.ID(), jsontext.Value(tt.payload))
		if tt.code != 0 {
			if CodeOf(err) != tt.code {
				t.Errorf("%s: got %s, %v, want %d", tt.payload, got, err, tt.code)
			}
			continue
		}
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.payload, got, err, tt.want)
		}
	}
	// The other way, and by hand.
	must(t, (Call[plainPayload, map[string]any]{testFamily, "lower", "lower_ack", VerbStatsRead}).Handle(p.mux,
		func(_ context.Context, _ Peer, v plainPayload) (map[string]any, error) {
			return map[string]any{"name": v.Name}, nil
		}))
	got, err := Call[plainPayload, plainPayload]{testFamily, "lower", "lower_ack", VerbStatsRead}.
		Do(t.Context(), p.client, p.server.ID(), plainPayload{Name: "bob"})
	if err != nil || got.Name != "bob" {
		t.Errorf("got %+v, %v", got, err)
	}
	m := Message{Payload: jsontext.Value(`{"name":"bob"}`)}
	var v plainPayload
	if must(t, m.ParsePayload(&v)); v.Name != "bob" {
		t.Errorf("got %+v", v)
	}
}

// Names in tags are names, letter for letter.
func TestFieldsWithTags(t *testing.T) {
	m := Message{Payload: jsontext.Value(`{"Name":"bob"}`)}
	var v taggedPayload
	if must(t, m.ParsePayload(&v)); v.Name != "" {
		t.Errorf("got %+v", v)
	}
}

func TestUntagged(t *testing.T) {
	type inner struct{ A int }
	type loop struct {
		Next *loop `json:"next"`
	}
	for _, tt := range []struct {
		v    any
		want bool
	}{
		{new(plainPayload), true},
		{new(taggedPayload), false},
		{struct{}{}, false},
		{"", false},
		{map[string]inner{}, true},
		{[][]*inner{}, true},
		{struct {
			inner
		}{}, true},
		{struct {
			taggedPayload
		}{}, false},
		{struct {
			In []inner `json:"in"`
		}{}, true},
		{new(loop), false},
		{struct {
			At   time.Time      `json:"at"`
			Peer peer.ID        `json:"peer"`
			Raw  jsontext.Value `json:"raw"`
			Any  any            `json:"any"`
		}{}, false},
		{new(Error), false},
	} {
		if got := untagged(reflect.TypeOf(tt.v), make(map[reflect.Type]bool)); got != tt.want {
			t.Errorf("%T: %v, want %v", tt.v, got, tt.want)
		}
	}
}
