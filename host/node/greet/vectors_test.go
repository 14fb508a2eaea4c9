package greet

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/streams"
)

// The vectors are for other implementations too, beside those of streams; see docs/protocol.md.
// They are made here, by
//
//	go test ./host/node/greet -run Vectors -update
var update = flag.Bool("update", false, "write the vectors anew")

var vectorsDir = filepath.Join("..", "..", "..", "streams", "testdata", "vectors")

// payloadCase is the payload of a message of the lifecycle and error families.
type payloadCase struct {
	Name    string         `json:"name"`
	Type    streams.Type   `json:"type"`
	Payload jsontext.Value `json:"payload,omitzero"`
	Code    streams.Code   `json:"code,omitzero"` // 0: valid
}

func payloadCases() (cases []payloadCase) {
	add := func(typ streams.Type, code streams.Code, name, payload string) {
		cases = append(cases, payloadCase{name, typ, jsontext.Value(payload), code})
	}
	x := func(n int) string { return strings.Repeat("x", n) }
	family := `{"name":"ops","versions":["1.0.0"]}`
	list := func(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	add("handshake", 0, "the least", `{"version":"1.0.0","families":[]}`)
	add("handshake", 0, "all members", `{"version":"1.0.0","families":[`+family+`],"role":"worker","name":"rig-01","labels":{"gpu":"3080"}}`)
	add("handshake", 0, "unknown members are ignored", `{"version":"1.0.0","families":[],"later":{"a":1}}`)
	add("handshake", 0, "another major version is told apart by its reader", `{"version":"2.0.0","families":[]}`)
	add("handshake_ack", 0, "refused", `{"version":"2.0.0","families":[],"accepted":false,"reason":"you speak protocol 1.0.0, this node 2.0.0: update the older one"}`)
	add("handshake", 0, "64 families", `{"version":"1.0.0","families":[`+list(family, MaxFamilies)+`]}`)
	add("handshake", streams.CodeInvalid, "65 families", `{"version":"1.0.0","families":[`+list(family, MaxFamilies+1)+`]}`)
	add("handshake", streams.CodeInvalid, "17 versions", `{"version":"1.0.0","families":[{"name":"ops","versions":[`+list(`"1.0.0"`, streams.MaxVersions+1)+`]}]}`)
	add("handshake", streams.CodeInvalid, "a family without versions", `{"version":"1.0.0","families":[{"name":"ops","versions":[]}]}`)
	add("handshake", streams.CodeInvalid, "a family name in upper case", `{"version":"1.0.0","families":[{"name":"OPS","versions":["1.0.0"]}]}`)
	add("handshake", streams.CodeInvalid, "no version", `{"families":[]}`)
	add("handshake", 0, "a name of 64 bytes", `{"version":"1.0.0","families":[],"name":"`+strings.Repeat("ä", MaxNameLength/2)+`"}`)
	add("handshake", streams.CodeInvalid, "a name of 65 bytes", `{"version":"1.0.0","families":[],"name":"`+x(MaxNameLength+1)+`"}`)
	add("handshake", 0, "a grant of 16 KiB", `{"version":"1.0.0","families":[],"grant":"`+x(MaxCredential-2)+`"}`)
	add("handshake", streams.CodeInvalid, "a grant of 16 KiB and a byte", `{"version":"1.0.0","families":[],"grant":"`+x(MaxCredential-1)+`"}`)
	add("handshake", streams.CodeInvalid, "a role of 65 bytes", `{"version":"1.0.0","families":[],"role":"`+x(MaxNameLength+1)+`"}`)
	add("handshake", streams.CodeInvalid, "an empty label", `{"version":"1.0.0","families":[],"labels":{"":"x"}}`)
	add("handshake", streams.CodeInvalid, "a label of 65 bytes", `{"version":"1.0.0","families":[],"labels":{"a":"`+x(MaxNameLength+1)+`"}}`)
	add("handshake", streams.CodeInvalid, "a reason of 1,025 bytes", `{"version":"1.0.0","families":[],"reason":"`+x(MaxReason+1)+`"}`)
	twins := func(boots, addrs string) string { return `{"boots":[` + boots + `],"addrs":[` + addrs + `]}` }
	const two, at = `"worker-a","worker-b"`, `"/ip4/192.0.2.1/tcp/4747"`
	add("handshake", 0, "a boot, and that another machine has the identity", `{"version":"1.0.0","families":[],"boot":"`+x(MaxBoot)+`","twins":`+twins(two, at)+`}`)
	add("handshake", streams.CodeInvalid, "a boot of 65 bytes", `{"version":"1.0.0","families":[],"boot":"`+x(MaxBoot+1)+`"}`)
	add("handshake", streams.CodeInvalid, "twins with one boot", `{"version":"1.0.0","families":[],"twins":`+twins(`"worker-a"`, "")+`}`)
	news := func(twins string) string {
		return `{"peer":"12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",` + strings.TrimPrefix(twins, "{")
	}
	add("twins", 0, "the least", news(`{"boots":[`+two+`]}`))
	add("twins", 0, "two addresses", news(twins(two, at+","+at)))
	add("twins", streams.CodeInvalid, "three addresses", news(twins(two, at+","+at+","+at)))
	add("twins", streams.CodeInvalid, "an address of 257 bytes", news(twins(two, `"`+x(maxTwinAddr+1)+`"`)))
	add("twins", streams.CodeInvalid, "three boots", news(twins(two+`,"worker-c"`, "")))
	add("twins", streams.CodeInvalid, "the same boot twice", news(twins(`"worker-a","worker-a"`, "")))
	add("twins", streams.CodeInvalid, "an empty boot", news(twins(`"worker-a",""`, "")))
	add("twins", streams.CodeInvalid, "a boot of 65 bytes", news(twins(`"worker-a","`+x(MaxBoot+1)+`"`, "")))
	add("twins", streams.CodeInvalid, "a peer that is none", `{"peer":"x","boots":[`+two+`]}`)
	add("twins_ack", 0, "nothing to say", `{}`)
	add("handshake", streams.CodeInvalid, "null", `null`)
	add("handshake", streams.CodeInvalid, "an array", `[]`)
	add("ping", 0, "a ping", `{"sentAt":1795249800250}`)
	add("ping", streams.CodeInvalid, "a time in words", `{"sentAt":"now"}`)
	add("ping", streams.CodeInvalid, "a time with a fraction", `{"sentAt":1.5}`)
	add("pong", 0, "a pong", `{"sentAt":1795249800250,"receivedAt":1795249800251}`)
	for code := DisconnectRequested; code <= DisconnectSubprotocolError; code++ {
		add("disconnect", 0, code.String(), fmt.Sprintf(`{"code":%d,"reason":"%s"}`, code, code))
	}
	add("disconnect", streams.CodeInvalid, "code 0", `{"code":0,"reason":""}`)
	add("disconnect", streams.CodeInvalid, "code 15", `{"code":15,"reason":""}`)
	add("disconnect", 0, "a reason of 1,024 bytes", `{"code":1,"reason":"`+x(MaxReason)+`"}`)
	add("disconnect", streams.CodeInvalid, "a reason of 1,025 bytes", `{"code":1,"reason":"`+x(MaxReason+1)+`"}`)
	add("error", 0, "an error", `{"code":403,"message":"not permitted","timestamp":1795249800250}`)
	add("error", 0, "all members", `{"code":500,"message":"internal error","details":{"a":[1]},"trace":"0123456789abcdef","timestamp":1795249800250}`)
	add("error", streams.CodeInvalid, "code 200", `{"code":200,"message":"fine","timestamp":0}`)
	add("error", streams.CodeInvalid, "code 600", `{"code":600,"message":"x","timestamp":0}`)
	add("error", 0, "a message of 4 KiB", `{"code":400,"message":"`+x(streams.MaxErrorMessage)+`","timestamp":0}`)
	add("error", streams.CodeInvalid, "a message of 4 KiB and a byte", `{"code":400,"message":"`+x(streams.MaxErrorMessage+1)+`","timestamp":0}`)
	add("error", streams.CodeInvalid, "a trace of 65 bytes", `{"code":500,"message":"x","trace":"`+x(65)+`","timestamp":0}`)
	return cases
}

// parsePayloadOf decodes a payload of these types.
func parsePayloadOf(typ streams.Type, raw jsontext.Value) error {
	switch typ {
	case "handshake", "handshake_ack":
		return (&streams.Message{Payload: raw}).ParsePayload(new(Hello))
	case "twins":
		return (&streams.Message{Payload: raw}).ParsePayload(new(TwinsNews))
	case "twins_ack":
		return (&streams.Message{Payload: raw}).ParsePayload(new(TwinsAck))
	case "ping":
		return (&streams.Message{Payload: raw}).ParsePayload(new(PingRequest))
	case "pong":
		return (&streams.Message{Payload: raw}).ParsePayload(new(Pong))
	case "disconnect":
		return (&streams.Message{Payload: raw}).ParsePayload(new(Goodbye))
	case "error":
		return (&streams.Message{Payload: raw}).ParsePayload(new(streams.Error))
	}
	return fmt.Errorf("type %q has no vectors", typ)
}

// vectorsOf returns the cases of a file.
func vectorsOf[C any](t *testing.T, name string) (about string, cases []C) {
	t.Helper()
	var f struct {
		About string `json:"about"`
		Cases []C    `json:"cases"`
	}
	b, err := os.ReadFile(filepath.Join(vectorsDir, name))
	must(t, err)
	must(t, json.Unmarshal(b, &f))
	return f.About, f.Cases
}

func TestPayloadVectors(t *testing.T) {
	const about = "Payloads of the lifecycle and error families. A case without a code is valid; one with a code is answered with it."
	want, err := json.Marshal(map[string]any{"about": about, "cases": payloadCases()}, jsontext.WithIndent("  "), json.Deterministic(true))
	must(t, err)
	want = append(want, '\n')
	path := filepath.Join(vectorsDir, "payloads.json")
	if *update {
		must(t, os.WriteFile(path, want, 0o644))
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the tests make (%v): after a wanted change of the wire run with -update, and write it down in docs/protocol.md", path, err)
	}
	_, cases := vectorsOf[payloadCase](t, "payloads.json")
	for _, c := range cases {
		t.Run(string(c.Type)+" "+c.Name, func(t *testing.T) {
			if err := parsePayloadOf(c.Type, c.Payload); streams.CodeOf(err) != c.Code {
				t.Errorf("got %v, want %d", err, c.Code)
			}
		})
	}
}

// The worked session of docs/protocol.md has payloads of this family.
func TestSessionVectors(t *testing.T) {
	_, steps := vectorsOf[struct {
		Name  string          `json:"name"`
		Bytes string          `json:"bytes"`
		JSON  streams.Message `json:"json"`
	}](t, "session.json")
	seen := 0
	for _, s := range steps {
		if _, err := hex.DecodeString(s.Bytes); err != nil {
			t.Error(err)
		}
		if s.JSON.Type == "" || s.JSON.Type == "get_stats" {
			continue
		}
		seen++
		if err := parsePayloadOf(s.JSON.Type, s.JSON.Payload); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if seen < 5 {
		t.Errorf("%d payloads", seen)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
