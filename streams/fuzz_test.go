package streams

import (
	"bytes"
	"encoding/hex"
	stdjson "encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"
)

func FuzzReadFrame(f *testing.F) {
	for _, seed := range []string{"", "00", "0141", "80", "8100", "808040", "818040", "ffffffffffffffff7f", "80808080808080808001", "05" + "7b7d"} {
		b, err := hex.DecodeString(seed)
		must(f, err)
		f.Add(b)
	}
	f.Add(frameBytes(make([]byte, growStep+1)))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		var reserved int
		got, err := readFrame(r, nil, MaxFrame, func(n int) error { reserved = n; return nil })
		if cap(got) > 2*(len(in)+growStep) {
			t.Errorf("%d bytes of input made a buffer of %d", len(in), cap(got))
		}
		if err != nil {
			if len(in) == 0 && err != io.EOF {
				t.Errorf("the end at once: %v", err)
			}
			return
		}
		if reserved > 0 && reserved != len(got) || len(got) > growStep && reserved == 0 {
			t.Errorf("a frame of %d bytes reserved %d", len(got), reserved)
		}
		if again := frameBytes(got); !bytes.Equal(again, in[:len(in)-r.Len()]) {
			t.Errorf("read %x as a frame of %x", in, got)
		}
	})
}

// stdEnvelope is the envelope in the way of encoding/json, which is the second opinion about what
// decodeEnvelope accepts.
type stdEnvelope struct {
	ID        uuid.UUID          `json:"id"`
	Type      string             `json:"type"`
	Sender    string             `json:"sender"`
	Payload   stdjson.RawMessage `json:"payload"`
	Timestamp time.Time          `json:"timestamp"`
	ReplyTo   uuid.UUID          `json:"replyTo"`
	End       bool               `json:"end"`
}

func FuzzDecodeEnvelope(f *testing.F) {
	me := vectorPeer(f, 1)
	for _, e := range envelopes(me.String()) {
		f.Add([]byte(e.body))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const depth = 32
		before := bytes.Clone(in)
		var m Message
		err := decodeEnvelope(in, &m, newSender(me), depth)
		if !bytes.Equal(in, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if CodeOf(err) != CodeInvalid {
				t.Errorf("got %v, want a 400", err)
			}
			return
		}
		checkAgainstStd(t, in, &m)
		checkStructure(t, in, depth)
		checkRoundTrip(t, &m)
	})
}

// checkAgainstStd compares with encoding/json. It takes names of any case, so inputs that have such
// names are left out.
func checkAgainstStd(t *testing.T, in []byte, m *Message) {
	t.Helper()
	var members map[string]stdjson.RawMessage
	must(t, stdjson.Unmarshal(in, &members))
	for name := range members {
		for _, ours := range []string{"id", "type", "sender", "payload", "timestamp", "replyTo", "end"} {
			if name != ours && strings.EqualFold(name, ours) {
				return
			}
		}
	}
	var std stdEnvelope
	if err := stdjson.Unmarshal(in, &std); err != nil {
		t.Fatalf("encoding/json refuses what was accepted: %v\n%q", err, in)
	}
	id, err := peer.Decode(std.Sender)
	must(t, err)
	switch {
	case std.ID != m.ID, Type(std.Type) != m.Type, id != m.Sender, std.ReplyTo != m.ReplyTo, std.End != m.End, !std.Timestamp.Equal(m.Timestamp):
		t.Errorf("got %+v, encoding/json got %+v", m, std)
	case !bytes.Equal(bytes.TrimSpace(std.Payload), bytes.TrimSpace(m.Payload)):
		t.Errorf("payload %q, encoding/json got %q", m.Payload, std.Payload)
	}
}

// checkStructure counts depth and names with another decoder.
func checkStructure(t *testing.T, in []byte, limit int) {
	t.Helper()
	dec := stdjson.NewDecoder(bytes.NewReader(in))
	dec.UseNumber()
	var walk func(depth int)
	walk = func(depth int) {
		tok, err := dec.Token()
		must(t, err)
		open, ok := tok.(stdjson.Delim)
		if !ok {
			return
		}
		if depth+1 > limit {
			t.Fatalf("accepted JSON that is %d deep", depth+1)
		}
		names := make(map[string]bool)
		for dec.More() {
			if open == '{' {
				name, err := dec.Token()
				must(t, err)
				if names[name.(string)] {
					t.Fatalf("accepted the name %q twice", name)
				}
				names[name.(string)] = true
			}
			walk(depth + 1)
		}
		_, err = dec.Token()
		must(t, err)
	}
	walk(0)
}

// checkRoundTrip encodes m and decodes it again.
func checkRoundTrip(t *testing.T, m *Message) {
	t.Helper()
	if len(m.Payload) == 0 {
		return // a message without a payload is never sent
	}
	b, err := m.MarshalJSON()
	if err != nil {
		if m.Timestamp.UTC().Year() > 9999 || m.Timestamp.UTC().Year() < 0 {
			return // a zone carried the year away
		}
		t.Fatalf("encode what was decoded: %v", err)
	}
	var again Message
	if err := again.UnmarshalJSON(b); err != nil {
		if y := m.Timestamp.UTC().Year(); y > 9999 || y < 0 {
			return
		}
		t.Fatalf("decode what was encoded: %v\n%q", err, b)
	}
	if d := m.Timestamp.Sub(again.Timestamp); d < 0 || d >= time.Millisecond {
		t.Errorf("the timestamp moved by %v", d)
	}
	if again.ID != m.ID || again.Type != m.Type || again.Sender != m.Sender || again.ReplyTo != m.ReplyTo || again.End != m.End || !sameJSON(again.Payload, m.Payload) {
		t.Errorf("got %+v, want %+v", again, m)
	}
}

func sameJSON(a, b jsontext.Value) bool {
	a, b = a.Clone(), b.Clone()
	return a.Compact() == nil && b.Compact() == nil && bytes.Equal(canonicalStrings(a), canonicalStrings(b))
}

// canonicalStrings writes strings in their shortest form and leaves numbers.
func canonicalStrings(v jsontext.Value) []byte {
	if v.Format(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false), jsontext.PreserveRawStrings(false)) != nil {
		return nil
	}
	return v
}

func FuzzTopicCheck(f *testing.F) {
	signer, now := vectorPeer(f, 1), time.Now()
	for _, tc := range topicTests(signer, vectorPeer(f, 2), now) {
		f.Add([]byte(tc.data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if verdictOf(data, signer) != "accept" {
			return
		}
		var m stdEnvelope
		must(t, stdjson.Unmarshal(data, &m))
		var n news
		must(t, stdjson.Unmarshal(m.Payload, &n))
		if len(data) > MaxTopicMessage || n.Node != signer.String() && !strings.Contains(strings.ToLower(string(m.Payload)), "node") {
			t.Errorf("accepted %q", data)
		}
	})
}

// FuzzType compares the quick check of types with what the frame encoder puts between quotes as it
// is.
func FuzzType(f *testing.F) {
	for _, seed := range []string{"get_stats", "", "A", `"`, strings.Repeat("x", MaxTypeLength), strings.Repeat("x", MaxTypeLength+1), "ü", "a\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		valid := len(s) >= 1 && len(s) <= MaxTypeLength && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
		if Type(s).valid() != valid {
			t.Errorf("%q: got %v", s, !valid)
		}
	})
}
