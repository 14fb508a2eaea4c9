package greet

import (
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/streams"
)

// FuzzPayloads reads payloads of the types here: what is accepted keeps its rules through encoding.
func FuzzPayloads(f *testing.F) {
	const sender = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"
	types := []streams.Type{"handshake", "ping", "pong", "disconnect", "error"}
	for i, typ := range types {
		for _, c := range payloadCases() {
			if c.Type == typ {
				f.Add(byte(i), []byte(c.Payload))
			}
		}
	}
	f.Fuzz(func(t *testing.T, which byte, in []byte) {
		typ := types[int(which)%len(types)]
		// The guard hands over a payload of a checked envelope only.
		var m streams.Message
		body := `{"id":"1b4e28ba-2fa1-4d27-883f-0016d3cca401","type":"x","sender":"` + sender +
			`","timestamp":"2026-11-21T08:30:00Z","payload":` + string(in) + `}`
		if m.UnmarshalJSON([]byte(body)) != nil {
			return
		}
		v := map[streams.Type]any{"handshake": new(Hello), "ping": new(PingRequest), "pong": new(Pong), "disconnect": new(Goodbye), "error": new(streams.Error)}[typ]
		err := m.ParsePayload(v)
		if err != nil {
			if streams.CodeOf(err) != streams.CodeInvalid {
				t.Errorf("%s %q: got %v, want a 400", typ, in, err)
			}
			return
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("encode what was decoded: %v", err)
		}
		if err := parsePayloadOf(typ, out); err != nil {
			t.Errorf("%s %q became %q: %v", typ, in, out, err)
		}
	})
}
