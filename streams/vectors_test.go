package streams

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// The vectors in testdata/vectors are for other implementations too; their form
// is described in docs/protocol.md. They are made here, by
//
//	go test ./streams -run Vectors -update
//
// and the tests run the files, so that a change of the wire shows as a change of
// these files.
var update = flag.Bool("update", false, "write testdata/vectors anew")

// vectorFile is one file of vectors.
type vectorFile[C any] struct {
	About string `json:"about"`
	Cases []C    `json:"cases"`
}

// vectors writes the cases on -update and returns those of the file.
func vectors[C any](t *testing.T, name, about string, cases []C) []C {
	t.Helper()
	path := filepath.Join("testdata", "vectors", name)
	want, err := json.Marshal(vectorFile[C]{about, cases}, jsontext.WithIndent("  "), json.Deterministic(true))
	must(t, err)
	want = append(want, '\n')
	if *update {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, want, 0o644))
	}
	got, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the tests make: after a wanted change of the wire run with -update, and write it down in docs/protocol.md", path)
	}
	var f vectorFile[C]
	must(t, json.Unmarshal(got, &f))
	if len(f.Cases) == 0 {
		t.Fatalf("%s has no cases", path)
	}
	return f.Cases
}

// vectorPeer returns the peer ID of the Ed25519 key whose seed is 32 times b.
func vectorPeer(t testing.TB, b byte) peer.ID {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	must(t, err)
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	return id
}

// vectorTime is the time of all vectors.
var vectorTime = time.Date(2026, 11, 21, 8, 30, 0, 250e6, time.UTC)

// vectorID returns the n-th message ID of the vectors.
func vectorID(n byte) uuid.UUID {
	id := uuid.MustParse("1b4e28ba-2fa1-4d27-883f-0016d3cca400")
	id[15] = n
	return id
}

// wireMessage is a Message as the vectors tell what to decode: the envelope in its plain form, the
// timestamp in milliseconds.
type wireMessage struct {
	ID        string         `json:"id"`
	Type      string         `json:"type"`
	Sender    string         `json:"sender"`
	Payload   jsontext.Value `json:"payload,omitzero"`
	Timestamp int64          `json:"timestampMs"`
	ReplyTo   string         `json:"replyTo,omitzero"`
	End       bool           `json:"end,omitzero"`
}

func wireOf(m Message) *wireMessage {
	w := &wireMessage{ID: m.ID.String(), Type: string(m.Type), Sender: m.Sender.String(), Payload: m.Payload.Clone(), Timestamp: m.Timestamp.UnixMilli(), End: m.End}
	if m.ReplyTo != uuid.Nil {
		w.ReplyTo = m.ReplyTo.String()
	}
	return w
}

// frameCase is bytes that arrive on a stream, which ends after them.
type frameCase struct {
	Name    string       `json:"name"`
	Bytes   string       `json:"bytes"` // hexadecimal
	Message *wireMessage `json:"message,omitzero"`
	Code    Code         `json:"code,omitzero"`
}

// envelopes are the bodies that frames.json is made of; code 0 is a valid one.
func envelopes(me string) []struct {
	name, body string
	code       Code
} {
	const id = `"1b4e28ba-2fa1-4d27-883f-0016d3cca401"`
	env := func(change ...string) string {
		return strings.NewReplacer(change...).Replace(`{"id":` + id + `,"type":"get_stats","sender":"` + me + `","timestamp":"2026-11-21T08:30:00.250Z","payload":{}}`)
	}
	deep := func(n int) string {
		return env(`"payload":{}`, `"payload":`+strings.Repeat("[", n-1)+strings.Repeat("]", n-1))
	}
	return []struct {
		name, body string
		code       Code
	}{
		{"a request", env(), 0},
		{"a reply", env(`"payload"`, `"replyTo":"1b4e28ba-2fa1-4d27-883f-0016d3cca402","payload"`), 0},
		{"the last item of a feed", env(`"payload"`, `"end":true,"payload"`), 0},
		{"end false", env(`"payload"`, `"end":false,"payload"`), 0},
		{"an unknown member is ignored", env(`"payload"`, `"more":[1,{"a":2}],"payload"`), 0},
		{"members in another order", `{"payload":{"a":1},"timestamp":"2026-11-21T08:30:00.250Z","sender":"` + me + `","type":"get_stats","id":` + id + `}`, 0},
		{"white space between", "  " + env(`,`, " ,\n\t") + "\r\n", 0},
		{"an escaped member name", env(`"type"`, `"t\u0079pe"`), 0},
		{"escapes in values", env(`get_stats`, `get\u005fstats`), 0},
		{"an ID in upper case", env(`1b4e28ba`, `1B4E28BA`), 0},
		{"a time with an offset", env(`08:30:00.250Z`, `10:30:00.250+02:00`), 0},
		{"a time without a fraction", env(`00.250Z`, `00Z`), 0},
		{"a time with nanoseconds", env(`00.250Z`, `00.250000000Z`), 0},
		{"a payload that is a string", env(`{}`, `"x"`), 0},
		{"no payload: the type decides", env(`,"payload":{}`, ``), 0},
		{"32 deep, the envelope counted", deep(32), 0},
		{"brackets within a string do not count", env(`{}`, `{"text":"\"`+strings.Repeat("[", 40)+`"}`), 0},

		{"33 deep", deep(33), CodeInvalid},
		{"an empty frame", ``, CodeInvalid},
		{"not JSON", `get_stats`, CodeInvalid},
		{"an array", `[]`, CodeInvalid},
		{"null", `null`, CodeInvalid},
		{"cut short", env()[:40], CodeInvalid},
		{"bytes after the object", env() + `x`, CodeInvalid},
		{"a second object", env() + env(), CodeInvalid},
		{"a duplicate member", env(`"payload"`, `"type":"get_stats","payload"`), CodeInvalid},
		{"a duplicate member, once escaped", env(`"payload"`, `"typ\u0065":"get_stats","payload"`), CodeInvalid},
		{"a duplicate name within the payload", env(`{}`, `{"a":{"b":1,"b":1}}`), CodeInvalid},
		{"a duplicate name within an unknown member", env(`"payload"`, `"more":{"b":1,"b":1},"payload"`), CodeInvalid},
		{"invalid UTF-8", env(`{}`, "{\"a\":\"\xff\"}"), CodeInvalid},
		{"a lone surrogate", env(`{}`, `{"a":"\ud800"}`), CodeInvalid},
		{"NaN", env(`{}`, `{"a":NaN}`), CodeInvalid},
		{"a leading zero", env(`{}`, `{"a":01}`), CodeInvalid},
		{"a trailing comma", env(`{}`, `{"a":1,}`), CodeInvalid},
		{"a comment", env(`{}`, `{}/**/`), CodeInvalid},
		{"a control character in a string", env(`{}`, "{\"a\":\"\n\"}"), CodeInvalid},
		{"a byte order mark", "\xef\xbb\xbf" + env(), CodeInvalid},
		{"no id", env(`"id":`+id+`,`, ``), CodeInvalid},
		{"an ID that is no UUID", env(id, `"17"`), CodeInvalid},
		{"a UUID of version 1", env(`4d27`, `11d2`), CodeInvalid},
		{"a UUID of another variant", env(`-883f`, `-083f`), CodeInvalid},
		{"a UUID in braces", env(id, `"{1b4e28ba-2fa1-4d27-883f-0016d3cca401}"`), CodeInvalid},
		{"a UUID without hyphens", env(id, `"1b4e28ba2fa14d27883f0016d3cca401"`), CodeInvalid},
		{"an ID that is null", env(id, `null`), CodeInvalid},
		{"no type", env(`"type":"get_stats",`, ``), CodeInvalid},
		{"an empty type", env(`get_stats`, ``), CodeInvalid},
		{"a type of 65 characters", env(`get_stats`, strings.Repeat("x", MaxTypeLength+1)), CodeInvalid},
		{"a type in upper case", env(`get_stats`, `GET_STATS`), CodeInvalid},
		{"a type that is a number", env(`"get_stats"`, `7`), CodeInvalid},
		{"no sender", env(`"sender":"`+me+`",`, ``), CodeInvalid},
		{"a sender that is no peer ID", env(me, `me`), CodeInvalid},
		{"no timestamp", env(`"timestamp":"2026-11-21T08:30:00.250Z",`, ``), CodeInvalid},
		{"a timestamp in Unix seconds", env(`"2026-11-21T08:30:00.250Z"`, `1795249800`), CodeInvalid},
		{"a timestamp without a zone", env(`.250Z`, `.250`), CodeInvalid},
		{"a timestamp with a blank for the T", env(`21T08`, `21 08`), CodeInvalid},
		{"a replyTo that is no UUID", env(`"payload"`, `"replyTo":"","payload"`), CodeInvalid},
		{"an end that is no boolean", env(`"payload"`, `"end":1,"payload"`), CodeInvalid},
	}
}

func frameBytes(body []byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

func frameCases(t *testing.T) (cases []frameCase) {
	for _, e := range envelopes(vectorPeer(t, 1).String()) {
		c := frameCase{Name: e.name, Bytes: hex.EncodeToString(frameBytes([]byte(e.body))), Code: e.code}
		if e.code == 0 {
			var m Message
			if err := m.UnmarshalJSON([]byte(e.body)); err != nil {
				t.Errorf("%s: %v", e.name, err)
			}
			c.Message = wireOf(m)
		}
		cases = append(cases, c)
	}
	for _, c := range []struct {
		name, bytes string
		code        Code
	}{
		{"a length of 1 MiB + 1", "818040", CodeTooLarge},
		{"a length of 2^63 - 1", "ffffffffffffffff7f", CodeTooLarge},
		{"a length of 2^63", "80808080808080808001", CodeTooLarge},
		{"a length that is not in its shortest form", "8100", CodeInvalid},
		{"the end within the length", "80", CodeInvalid},
		{"the end within the body", "05" + "7b7d", CodeInvalid},
	} {
		cases = append(cases, frameCase{Name: c.name, Bytes: c.bytes, Code: c.code})
	}
	return cases
}

func TestFrameVectors(t *testing.T) {
	const about = "Bytes of one stream, which ends after them. A case has either the message they hold, or the code they are answered with."
	for _, c := range vectors(t, "frames.json", about, frameCases(t)) {
		t.Run(c.Name, func(t *testing.T) {
			raw, err := hex.DecodeString(c.Bytes)
			must(t, err)
			m, err := decodeAll(raw)
			if c.Code != 0 {
				if code := frameCode(err); code != c.Code {
					t.Errorf("got %v, want %d", err, c.Code)
				}
				return
			}
			must(t, err)
			got, err := json.Marshal(wireOf(m))
			must(t, err)
			want, err := json.Marshal(c.Message)
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// decodeAll decodes the first message of raw.
func decodeAll(raw []byte) (m Message, err error) {
	in, err := readFrame(bufio.NewReader(bytes.NewReader(raw)), nil, MaxFrame, nil)
	if err != nil {
		return m, err
	}
	return m, m.UnmarshalJSON(in)
}

// frameCode is what a mux answers to a frame that was not read.
func frameCode(err error) Code {
	switch {
	case errors.As(err, new(tooLargeError)):
		return CodeTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF):
		return CodeInvalid
	}
	return CodeOf(err)
}

// step is what one side writes on one stream of a session.
type step struct {
	Name   string         `json:"name"`
	Stream int            `json:"stream"` // 1 is the first one the dialler opens
	From   string         `json:"from"`   // dialler or listener
	Bytes  string         `json:"bytes"`  // hexadecimal
	Text   string         `json:"text,omitzero"`
	JSON   jsontext.Value `json:"json,omitzero"` // the envelope
	Close  bool           `json:"closeWrite,omitzero"`
}

// worked makes the worked session of docs/protocol.md.
type worked struct {
	t                 *testing.T
	dialler, listener peer.ID
	steps             []step
	ids               byte
}

func (w *worked) negotiate(stream int, f Family) {
	for _, from := range []string{"dialler", "listener"} {
		for _, line := range []string{"/multistream/1.0.0\n", string(f.ProtocolID()) + "\n"} {
			w.steps = append(w.steps, step{Name: "multistream-select", Stream: stream, From: from,
				Bytes: hex.EncodeToString(frameBytes([]byte(line))), Text: line})
		}
	}
}

// say adds one message and returns its ID.
func (w *worked) say(stream int, from, name string, typ Type, payload string, replyTo uuid.UUID) uuid.UUID {
	w.t.Helper()
	w.ids++
	h := header{id: vectorID(w.ids), typ: typ, sender: w.dialler.String(), timestamp: vectorTime.Add(time.Duration(w.ids) * time.Millisecond), replyTo: replyTo}
	if from == "listener" {
		h.sender = w.listener.String()
	}
	var f frame
	b, err := f.encodeFrame(h, jsontext.Value(payload), MaxFrame)
	must(w.t, err)
	w.steps = append(w.steps, step{Name: name, Stream: stream, From: from, Bytes: hex.EncodeToString(b), JSON: jsontext.Value(b[2:]).Clone()})
	return h.id
}

func workedSession(t *testing.T) []step {
	w := &worked{t: t, dialler: vectorPeer(t, 1), listener: vectorPeer(t, 2)}
	ops := Family{Name: "ops", Versions: []string{"1.0.0"}}
	w.negotiate(1, LifecycleFamily)
	id := w.say(1, "dialler", "handshake", "handshake", `{"version":"1.0.0","families":[],"role":"controller","name":"laptop"}`, uuid.Nil)
	w.say(1, "listener", "its answer to a stranger", "handshake_ack",
		`{"version":"1.0.0","families":[{"name":"lifecycle","versions":["1.0.0"]},{"name":"ops","versions":["1.0.0"]}],"accepted":true}`, id)
	id = w.say(1, "dialler", "ping, on the same stream", "ping", `{"sentAt":1795249800253}`, uuid.Nil)
	w.say(1, "listener", "pong", "pong", `{"sentAt":1795249800253,"receivedAt":1795249800254}`, id)
	w.negotiate(2, ops)
	id = w.say(2, "dialler", "a request", "get_stats", `{}`, uuid.Nil)
	w.say(2, "listener", "its refusal", "error", `{"code":403,"message":"not permitted: ask the owner for --allow","timestamp":1795249800256}`, id)
	w.negotiate(3, LifecycleFamily)
	w.say(3, "dialler", "a goodbye, and the end of the writing side", "disconnect", `{"code":1,"reason":"done"}`, uuid.Nil)
	w.steps[len(w.steps)-1].Close = true
	return w.steps
}

func TestSessionVectors(t *testing.T) {
	about := "A whole session, between the dialler " + vectorPeer(t, 1).String() + " (Ed25519 seed 32 times 01) and the listener " +
		vectorPeer(t, 2).String() + " (seed 32 times 02): what each side writes on each stream, after the transport's security and muxer."
	doc, err := os.ReadFile(filepath.Join("..", "docs", "protocol.md"))
	must(t, err)
	hexOfDoc := strings.Join(strings.Fields(string(doc)), "")
	for i, s := range vectors(t, "session.json", about, workedSession(t)) {
		raw, err := hex.DecodeString(s.Bytes)
		must(t, err)
		if !strings.Contains(hexOfDoc, s.Bytes) {
			t.Errorf("step %d, %s: its bytes are not in docs/protocol.md:\n%s", i+1, s.Name, s.Bytes)
		}
		if s.JSON == nil {
			continue
		}
		m, err := decodeAll(raw)
		if err != nil {
			t.Errorf("step %d, %s: %v", i+1, s.Name, err)
			continue
		}
		if s.From == "dialler" && m.Sender != vectorPeer(t, 1) || s.From == "listener" && m.Sender != vectorPeer(t, 2) {
			t.Errorf("step %d, %s: it is from %s", i+1, s.Name, m.Sender)
		}
	}
}
