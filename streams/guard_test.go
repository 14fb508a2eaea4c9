package streams

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// rawPeer writes bytes of its own making on a stream of the test family.
type rawPeer struct {
	t  *testing.T
	p  *pair
	s  network.Stream
	br *bufio.Reader
}

func (p *pair) raw(t *testing.T, f Family) *rawPeer {
	t.Helper()
	s, err := p.caller.NewStream(t.Context(), p.server.ID(), f.ProtocolID())
	must(t, err)
	t.Cleanup(func() { s.Reset() })
	must(t, s.SetReadDeadline(time.Now().Add(20*time.Second)))
	return &rawPeer{t, p, s, bufio.NewReader(s)}
}

// vars are what a message template may contain.
func (r *rawPeer) fill(template string) string {
	return strings.NewReplacer(
		"$id", uuid.NewString(), "$me", r.p.caller.ID().String(), "$other", r.p.server.ID().String(),
		"$now", time.Now().UTC().Format(timeLayout), "$tomorrow", time.Now().Add(24*time.Hour).UTC().Format(timeLayout),
		"$longago", time.Now().Add(-11*time.Minute).UTC().Format(timeLayout),
	).Replace(template)
}

func (r *rawPeer) frame(template string) {
	r.t.Helper()
	body := r.fill(template)
	r.write(append(binary.AppendUvarint(nil, uint64(len(body))), body...))
}

func (r *rawPeer) write(b []byte) {
	r.t.Helper()
	if _, err := r.s.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// answer reads one message; code is 0 for one that is no error.
func (r *rawPeer) answer() (m Message, code Code, words string) {
	r.t.Helper()
	b, err := readFrame(r.br, nil, MaxFrame, nil)
	if err != nil {
		r.t.Fatalf("no answer: %v", err)
	}
	must(r.t, m.UnmarshalJSON(b))
	if m.Type == typeError {
		var e Error
		must(r.t, m.ParsePayload(&e))
		return m, e.Code, e.Message
	}
	return m, 0, ""
}

const goodMessage = `{"id":"$id","type":"echo","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`

// nested returns a message whose JSON is nested depth deep, envelope included.
func nested(depth int) string {
	inner := strings.Repeat(`[`, depth-2) + strings.Repeat(`]`, depth-2)
	return `{"id":"$id","type":"echo","sender":"$me","payload":{"text":"x","more":` + inner + `},"timestamp":"$now"}`
}

// padded returns a message of exactly n bytes once it is filled in.
func (r *rawPeer) padded(n int) string {
	body := r.fill(goodMessage)
	return strings.Replace(body, `"text":"x"`, `"text":"`+strings.Repeat("x", n-len(body)+1)+`"`, 1)
}

func TestBadMessages(t *testing.T) {
	tests := []struct {
		name, message string
		code          Code
		words         string
	}{
		{"good", goodMessage, 0, ""},
		{"unknown member", `{"id":"$id","type":"echo","sender":"$me","payload":{"text":"x","z":1},"timestamp":"$now","z":[1]}`, 0, ""},
		{"escaped names", `{"\u0069d":"$id","type":"ech\u006f","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`, 0, ""},
		{"time zone", strings.Replace(goodMessage, "$now", time.Now().In(time.FixedZone("", 7200)).Format(time.RFC3339), 1), 0, ""},
		{"depth 32", nested(32), 0, ""},
		{"depth 33", nested(33), CodeInvalid, "deeper than 32"},
		{"brackets in strings", strings.Replace(goodMessage, `"text":"x"`, `"text":"\"`+strings.Repeat("[{", 40)+`"`, 1), 0, ""},
		{"empty frame", ``, CodeInvalid, "not valid JSON"},
		{"not an object", `[1]`, CodeInvalid, "is a JSON object"},
		{"duplicate name", `{"id":"$id","type":"echo","type":"echo","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`, CodeInvalid, "duplicate name"},
		{"duplicate name by escape", `{"id":"$id","type":"echo","typ\u0065":"echo","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`, CodeInvalid, "duplicate name"},
		{"duplicate name in the payload", `{"id":"$id","type":"echo","sender":"$me","payload":{"text":"x","a":{"b":1,"b":1}},"timestamp":"$now"}`, CodeInvalid, "duplicate name"},
		{"bad UTF-8", `{"id":"$id","type":"echo","sender":"$me","payload":{"text":"` + "\xff" + `"},"timestamp":"$now"}`, CodeInvalid, "UTF-8"},
		{"lone surrogate", `{"id":"$id","type":"echo","sender":"$me","payload":{"text":"\ud800"},"timestamp":"$now"}`, CodeInvalid, "not valid JSON"},
		{"NaN", `{"id":"$id","type":"echo","sender":"$me","payload":{"text":"x","size":NaN},"timestamp":"$now"}`, CodeInvalid, "not valid JSON"},
		{"number out of range", `{"id":"$id","type":"echo","sender":"$me","payload":{"text":"x","size":1e400},"timestamp":"$now"}`, CodeInvalid, "/size"},
		{"wrong JSON type", `{"id":"$id","type":"echo","sender":"$me","payload":{"text":5},"timestamp":"$now"}`, CodeInvalid, "/text"},
		{"cut short", `{"id":"$id","type":"echo"`, CodeInvalid, "not valid JSON"},
		{"trailing bytes", goodMessage + `x`, CodeInvalid, "follow the message"},
		{"second object", goodMessage + goodMessage, CodeInvalid, "follow the message"},
		{"trailing space", goodMessage + " \n", 0, ""},
		{"unknown type", `{"id":"$id","type":"nonsense","sender":"$me","payload":{},"timestamp":"$now"}`, CodeUnsupported, "not known"},
		{"type of another family", `{"id":"$id","type":"push","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`, CodeInvalid, "belongs to family testpush"},
		{"type too long", `{"id":"$id","type":"` + strings.Repeat("x", 65) + `","sender":"$me","payload":{},"timestamp":"$now"}`, CodeInvalid, "type"},
		{"type is a number", `{"id":"$id","type":7,"sender":"$me","payload":{},"timestamp":"$now"}`, CodeInvalid, "type"},
		{"id is no UUID", `{"id":"17","type":"echo","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`, CodeInvalid, "UUID"},
		{"id is a UUID of version 1", `{"id":"1b4e28ba-2fa1-11d2-883f-0016d3cca427","type":"echo","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`, CodeInvalid, "UUID"},
		{"id in braces", `{"id":"{$id}","type":"echo","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`, CodeInvalid, "UUID"},
		{"no id", `{"type":"echo","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`, CodeInvalid, `"id"`},
		{"no type", `{"id":"$id","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`, CodeInvalid, `"type"`},
		{"no sender", `{"id":"$id","type":"echo","payload":{"text":"x"},"timestamp":"$now"}`, CodeInvalid, `"sender"`},
		{"forged sender", `{"id":"$id","type":"echo","sender":"$other","payload":{"text":"x"},"timestamp":"$now"}`, CodeUnauthenticated, "not the peer"},
		{"forged sender, bad payload", `{"id":"$id","type":"echo","sender":"$other","payload":null,"timestamp":"$now"}`, CodeUnauthenticated, "not the peer"},
		{"sender is nonsense", `{"id":"$id","type":"echo","sender":"me","payload":{"text":"x"},"timestamp":"$now"}`, CodeInvalid, "peer ID"},
		{"no timestamp", `{"id":"$id","type":"echo","sender":"$me","payload":{"text":"x"}}`, CodeInvalid, `"timestamp"`},
		{"timestamp is no time", `{"id":"$id","type":"echo","sender":"$me","payload":{"text":"x"},"timestamp":"noon"}`, CodeInvalid, "RFC 3339"},
		{"timestamp a day ahead", strings.Replace(goodMessage, "$now", "$tomorrow", 1), CodeInvalid, "ahead of"},
		{"timestamp 11 minutes ago", strings.Replace(goodMessage, "$now", "$longago", 1), CodeInvalid, "behind"},
		{"no payload", `{"id":"$id","type":"echo","sender":"$me","timestamp":"$now"}`, CodeInvalid, "payload is missing"},
		{"payload null", `{"id":"$id","type":"echo","sender":"$me","payload":null,"timestamp":"$now"}`, CodeInvalid, "payload is missing"},
		{"payload empty", `{"id":"$id","type":"echo","sender":"$me","payload":{},"timestamp":"$now"}`, CodeInvalid, "text is required"},
		{"payload is a string", `{"id":"$id","type":"echo","sender":"$me","payload":"x","timestamp":"$now"}`, CodeInvalid, "payload"},
	}
	p := newPair(t, allowAll)
	serveAll(t, p)
	r := p.raw(t, testFamily) // one stream for all: none of these ends it
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r.frame(tc.message)
			m, code, words := r.answer()
			if code == CodeInvalid && tc.code == 0 || code != tc.code || !strings.Contains(words, tc.words) {
				t.Errorf("got %d %q, want %d with %q", code, words, tc.code, tc.words)
			}
			if m.Sender != p.server.ID() {
				t.Errorf("the answer's sender is %s", m.Sender)
			}
		})
	}
	if got := p.seen(t, len(tests)); len(got) != len(tests) {
		t.Errorf("%d outcomes for %d messages", len(got), len(tests))
	}
}

// The answer to a message whose ID could be read names it.
func TestErrorNamesItsRequest(t *testing.T) {
	p := newPair(t, allowAll)
	serveAll(t, p)
	r := p.raw(t, testFamily)
	id := uuid.NewString()
	for _, message := range []string{
		`{"id":"` + id + `","type":"echo","sender":"$other","payload":{},"timestamp":"$now"}`,
		`{"id":"` + id + `","type":"echo","type":`,
	} {
		r.frame(message)
		if m, code, _ := r.answer(); m.ReplyTo.String() != id || code == 0 {
			t.Errorf("answer %d to %s, want an error to %s", code, m.ReplyTo, id)
		}
	}
}

func TestBadFrames(t *testing.T) {
	limits := func(c *Config) { c.Limits.Header, c.Limits.FirstByte = 100*time.Millisecond, 100*time.Millisecond }
	uvarint := func(n uint64) []byte { return binary.AppendUvarint(nil, n) }
	tests := []struct {
		name  string
		bytes []byte
		close bool // half-close after writing
		code  Code
		words string
	}{
		{"length 2^63", append([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}, 0x01), false, CodeTooLarge, "1048576"},
		{"length 2^63-1", uvarint(math.MaxInt64), false, CodeTooLarge, "1048576"},
		{"length 1 MiB + 1 and as many bytes", append(uvarint(MaxFrame+1), make([]byte, MaxFrame+1)...), false, CodeTooLarge, "1048576"},
		{"length then silence", uvarint(100), false, CodeTimeout, "100ms"},
		{"half a length", []byte{0x80}, false, CodeTimeout, "100ms"},
		{"length not minimal", []byte{0x81, 0x00}, false, CodeInvalid, "shortest"},
		{"end within the frame", append(uvarint(100), "abc"...), true, CodeInvalid, "ended within"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p := newPair(t, allowAll, limits)
			serveAll(t, p)
			r := p.raw(t, testFamily)
			r.write(tc.bytes)
			if tc.close {
				must(t, r.s.CloseWrite())
			}
			if _, code, words := r.answer(); code != tc.code || !strings.Contains(words, tc.words) {
				t.Errorf("got %d %q, want %d with %q", code, words, tc.code, tc.words)
			}
			if _, err := r.br.ReadByte(); err == nil {
				t.Error("the stream goes on")
			}
			if _, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"}); err != nil {
				t.Errorf("the connection is not usable any more: %v", err)
			}
		})
	}
}

func TestFrameSizeAtTheLimit(t *testing.T) {
	p := newPair(t, allowAll)
	must(t, echo.Handle(p.mux, func(context.Context, Peer, greeting) (greeting, error) { return greeting{Text: "got it"}, nil }))
	r := p.raw(t, testFamily)
	r.frame(r.padded(MaxFrame))
	if _, code, words := r.answer(); code != 0 {
		t.Errorf("1 MiB: got %d %q", code, words)
	}
	r.frame(r.padded(MaxFrame + 1))
	if _, code, _ := r.answer(); code != CodeTooLarge {
		t.Errorf("1 MiB + 1: got %d, want 413", code)
	}
}

func TestSlowDribble(t *testing.T) {
	p := newPair(t, allowAll, func(c *Config) { c.Limits.Header = 200 * time.Millisecond })
	serveAll(t, p)
	r := p.raw(t, testFamily)
	body := r.fill(goodMessage)
	r.write(binary.AppendUvarint(nil, uint64(len(body))))
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := range body {
			if _, err := r.s.Write([]byte(body[i : i+1])); err != nil {
				return
			}
			<-tick.C
		}
	}()
	if _, code, _ := r.answer(); code != CodeTimeout {
		t.Errorf("got %d, want 408", code)
	}
	r.s.Reset()
}

// A peer that announces large frames and sends nothing must not make us allocate them.
func TestAnnouncedLengthCostsNothing(t *testing.T) {
	p := newPair(t, allowAll)
	serveAll(t, p)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 100 {
		p.raw(t, testFamily).write(binary.AppendUvarint(nil, MaxFrame))
	}
	waitFor(t, func() bool {
		p.mux.mu.Lock()
		defer p.mux.mu.Unlock()
		return len(p.mux.streams) == 100
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("100 announced MiB took %d MiB", grown>>20)
	}
}

func TestClockOfTheHandshake(t *testing.T) {
	p := newPair(t, allowAll)
	serveAll(t, p)
	must(t, Handshake.Handle(p.mux, func(_ context.Context, peer Peer, h Hello) (Hello, error) {
		h.Reason = peer.ClockOffset.Round(time.Hour).String()
		return h, nil
	}))
	shake := func(when string) {
		r := p.raw(t, LifecycleFamily)
		r.frame(`{"id":"$id","type":"handshake","sender":"$me","payload":{"version":"1.0.0","families":[]},"timestamp":"` + when + `"}`)
		if _, code, words := r.answer(); code != 0 {
			t.Fatalf("handshake at %s: %d %s", when, code, words)
		}
	}
	try := func(when string) Code {
		r := p.raw(t, testFamily)
		r.frame(strings.Replace(goodMessage, "$now", when, 1))
		_, code, words := r.answer()
		if code != 0 && !strings.Contains(words, "handshake") {
			t.Errorf("words %q do not name the handshake", words)
		}
		return code
	}
	shake("$tomorrow")
	if code := try("$tomorrow"); code != 0 {
		t.Errorf("a clock that is a day off all the time: %d", code)
	}
	if code := try("$now"); code != CodeInvalid {
		t.Errorf("a timestamp a day off its own handshake: %d, want 400", code)
	}
}

func TestRightsAreAskedBeforeThePayload(t *testing.T) {
	var asked []Verb
	p := newPair(t, func(c *Config) {
		c.Authorize = func(_ context.Context, _ Peer, v Verb) error {
			asked = append(asked, v)
			if v == VerbLogsRead {
				return errors.New("the judge fell over: secret")
			}
			return Errorf(CodeForbidden, "no right to %s", v)
		}
	})
	effects := serveAll(t, p)
	for _, m := range []struct{ typ, payload, words string }{
		{"echo", `{"text":"x"}`, "no right to stats.read"},
		{"echo", `null`, "no right to stats.read"},
		{"change", `{"text":"x"}`, "no right to miner.control"},
		{"count", `{"text":"x"}`, "could not be judged"},
	} {
		r := p.raw(t, testFamily)
		r.frame(strings.NewReplacer(`"echo"`, `"`+m.typ+`"`, `{"text":"x"}`, m.payload).Replace(goodMessage))
		if _, code, words := r.answer(); code != CodeForbidden || !strings.Contains(words, m.words) || strings.Contains(words, "secret") {
			t.Errorf("%s: got %d %q, want 403 with %q", m.typ, code, words, m.words)
		}
		r.s.Reset()
	}
	if effects.Load() != 0 {
		t.Error("a refused request had an effect")
	}
	if len(asked) != 4 {
		t.Errorf("asked for %v", asked)
	}
}

func TestZeroConfigDenies(t *testing.T) {
	p := newPair(t)
	serveAll(t, p)
	if _, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("got %v, want 403", err)
	}
}

func TestRepeatedRequest(t *testing.T) {
	var recorded atomic.Int32
	p := newPair(t, allowAll, func(c *Config) {
		c.Audit = func(context.Context, Audited) (func(error), error) {
			recorded.Add(1)
			return nil, nil
		}
	})
	effects := serveAll(t, p)
	r := p.raw(t, testFamily)
	send := func(id, text string) (Message, Code) {
		r.frame(`{"id":"` + id + `","type":"change","sender":"$me","payload":{"text":"` + text + `"},"timestamp":"$now"}`)
		m, code, _ := r.answer()
		return m, code
	}
	id := uuid.NewString()
	first, _ := send(id, "a")
	again, code := send(id, "a")
	if n := recorded.Load(); n != 1 {
		t.Errorf("recorded %d times", n)
	}
	if code != 0 || string(again.Payload) != string(first.Payload) || effects.Load() != 1 {
		t.Errorf("repeated: %d %s after %s, %d effects", code, again.Payload, first.Payload, effects.Load())
	}
	if again.ID == first.ID {
		t.Error("the repeated answer has the same message ID")
	}
	if _, code := send(id, "b"); code != CodeConflict || effects.Load() != 1 {
		t.Errorf("same ID, other payload: %d, %d effects, want 409 and 1", code, effects.Load())
	}
	if _, code := send(uuid.NewString(), "a"); code != 0 || effects.Load() != 2 {
		t.Errorf("new ID: %d, %d effects", code, effects.Load())
	}
}

// A request that is repeated while the first one runs waits for its answer.
func TestRepeatedWhileRunning(t *testing.T) {
	p := newPair(t, allowAll)
	began, finish := make(chan struct{}, 2), make(chan struct{})
	must(t, change.Handle(p.mux, func(context.Context, Peer, greeting) (greeting, error) {
		began <- struct{}{}
		<-finish
		return greeting{Text: "done"}, nil
	}))
	message := `{"id":"` + uuid.NewString() + `","type":"change","sender":"$me","payload":{"text":"x"},"timestamp":"$now"}`
	a, b := p.raw(t, testFamily), p.raw(t, testFamily)
	a.frame(message)
	<-began
	b.frame(message)
	a.s.Reset() // the asker goes away; what was begun is finished
	close(finish)
	if m, code, _ := b.answer(); code != 0 || string(m.Payload) != `{"text":"done"}` {
		t.Errorf("got %d %s", code, m.Payload)
	}
	if len(began) != 0 {
		t.Error("the handler ran twice")
	}
}

func TestRecordsAreBounded(t *testing.T) {
	r := newReplays(2, 3, nil)
	runs := 0
	do := func(p peerID, id uuid.UUID) {
		_, err := r.once(t.Context(), Peer{ID: p}, &Message{ID: id, Type: "x"}, func() (any, *Error) { runs++; return 1, nil })
		must(t, err)
	}
	ids := make([]uuid.UUID, 4)
	for i := range ids {
		ids[i] = uuid.New()
	}
	for _, id := range ids[:3] {
		do("a", id)
	}
	do("a", ids[0]) // n records: still known
	if runs != 3 {
		t.Fatalf("%d runs for 3 requests and a repeated one", runs)
	}
	do("a", ids[3]) // n+1: the oldest one goes
	do("a", ids[1])
	if runs != 5 {
		t.Errorf("%d runs, want 5", runs)
	}
	do("b", ids[0])
	do("c", ids[0]) // a third peer: the first one's records go
	if r.done.Len() != 2 || r.done.Contains("a") {
		t.Errorf("records of peers %v", r.done.Keys())
	}
}

func TestTemporaryErrorsAreNotRecorded(t *testing.T) {
	r := newReplays(maxPeers, maxAnswers, nil)
	m := &Message{ID: uuid.New(), Type: "x"}
	for _, want := range []error{ErrUnavailable, ErrConflict, ErrConflict} {
		_, err := r.once(t.Context(), Peer{ID: "p"}, m, func() (any, *Error) {
			if errors.Is(want, ErrUnavailable) {
				return nil, Errorf(CodeUnavailable, "later")
			}
			return nil, Errorf(CodeConflict, "no")
		})
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestStrangersRate(t *testing.T) {
	p := newPair(t, func(c *Config) { c.Limits.Stranger = Rate{0.001, 5} })
	must(t, Ping.Handle(p.mux, func(_ context.Context, _ Peer, r PingRequest) (Pong, error) { return r.Answer(), nil }))
	for i := range 6 {
		_, err := Ping.Do(t.Context(), p.client, p.server.ID(), PingRequest{})
		if want := i < 5; (err == nil) != want || !want && !errors.Is(err, ErrTooMany) {
			t.Errorf("request %d: %v", i+1, err)
		}
	}
	// To come back over a new connection does not help.
	must(t, p.caller.Network().ClosePeer(p.server.ID()))
	if _, err := Ping.Do(t.Context(), p.client, p.server.ID(), PingRequest{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("on a new connection: %v", err)
	}
	// Rubbish beyond the rate ends the stream.
	r := p.raw(t, LifecycleFamily)
	r.frame(`rubbish`)
	if _, err := r.br.ReadByte(); resetCode(err) != CodeTooMany {
		t.Errorf("rubbish: %v", err)
	}
}

func TestMembersEffectRate(t *testing.T) {
	p := newPair(t, allowAll, func(c *Config) { c.Limits.Effect = Rate{0.001, 3} })
	serveAll(t, p)
	for i := range 4 {
		_, err := change.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"})
		if want := i < 3; (err == nil) != want || !want && !errors.Is(err, ErrTooMany) {
			t.Errorf("request %d: %v", i+1, err)
		}
	}
	for range 50 {
		if _, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"}); err != nil {
			t.Fatalf("a read beyond the rate of effects: %v", err)
		}
	}
}

// One caller opens 10,000 streams at once: those over the limit are reset with a code, which its
// client turns into 429, and the rest of the node goes on.
func TestTenThousandStreams(t *testing.T) {
	for _, who := range []string{"stranger", "member"} {
		t.Run(who, func(t *testing.T) {
			configure := allowAll
			limit := 128
			if who == "stranger" {
				configure, limit = func(*Config) {}, 4
			}
			// The streams that are let in stay open: none of them is ended for being slow.
			p := newPair(t, configure, func(c *Config) { c.Limits.Header = time.Minute })
			must(t, Ping.Handle(p.mux, func(_ context.Context, _ Peer, r PingRequest) (Pong, error) { return r.Answer(), nil }))
			must(t, p.caller.Connect(t.Context(), p.server.Peerstore().PeerInfo(p.server.ID())))
			refused := openMany(t, p, 10_000)
			waitForCount(t, refused, int64(10_000-limit))
			if n := refused.Load(); n != int64(10_000-limit) {
				t.Errorf("%d of 10,000 were refused, want %d", n, 10_000-limit)
			}
			if _, err := Ping.Do(t.Context(), p.client, p.server.ID(), PingRequest{}); !errors.Is(err, ErrTooMany) {
				t.Errorf("a call in the crowd: %v, want 429", err)
			}
		})
	}
}

// openMany opens n streams of the lifecycle family at once, each with the first byte of a frame,
// and counts those that the server resets for a limit.
func openMany(t *testing.T, p *pair, n int) (refused *atomic.Int64) {
	t.Helper()
	refused = new(atomic.Int64)
	conn := p.caller.Network().ConnsToPeer(p.server.ID())[0]
	var opening, open sync.WaitGroup
	t.Cleanup(func() {
		conn.Close()
		open.Wait()
	})
	for range 8 {
		opening.Go(func() {
			for range n / 8 {
				s, err := openOn(t.Context(), conn, []protocol.ID{LifecycleFamily.ProtocolID()})
				if err != nil {
					if resetCode(err) == CodeTooMany {
						refused.Add(1)
					} else {
						t.Error(err)
					}
					continue
				}
				open.Go(func() {
					_, err := s.Write([]byte{1})
					if err == nil {
						_, err = s.Read(make([]byte, 1))
					}
					if resetCode(err) == CodeTooMany {
						refused.Add(1)
					}
					s.Reset()
				})
			}
		})
	}
	opening.Wait()
	return refused
}

func TestRegistrationRules(t *testing.T) {
	m := NewMux(newHost(t), Config{})
	fn := func(context.Context, Peer, greeting) (greeting, error) { return greeting{}, nil }
	tests := []struct {
		name string
		call Call[greeting, greeting]
		want string
	}{
		{"good", Call[greeting, greeting]{testFamily, "a", "b", VerbStatsRead}, ""},
		{"twice", Call[greeting, greeting]{testFamily, "a", "b", VerbStatsRead}, "already"},
		{"same type, other family", Call[greeting, greeting]{Family{Name: "other", Versions: []string{"1.0.0"}}, "a", "b", VerbStatsRead}, "already"},
		{"other versions", Call[greeting, greeting]{Family{Name: "test", Versions: []string{"1.1.0"}}, "c", "b", VerbStatsRead}, "versions"},
		{"other greeting", Call[greeting, greeting]{Family{"test", []string{"1.0.0"}, "hello"}, "c", "b", VerbStatsRead}, "greeting"},
		{"bad greeting", Call[greeting, greeting]{Family{"x", []string{"1.0.0"}, "C!"}, "c", "b", VerbStatsRead}, "greeting"},
		{"no verb", Call[greeting, greeting]{testFamily, "c", "d", ""}, "no verb"},
		{"no family", Call[greeting, greeting]{Family{}, "c", "d", VerbStatsRead}, "family name"},
		{"bad version", Call[greeting, greeting]{Family{Name: "x", Versions: []string{"one"}}, "c", "d", VerbStatsRead}, "semantic version"},
		{"bad type", Call[greeting, greeting]{testFamily, "C!", "d", VerbStatsRead}, "type"},
		{"no reply", Call[greeting, greeting]{testFamily, "c", "", VerbStatsRead}, "reply type"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.call.Handle(m, fn)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if s := fmt.Sprint(m.Specs()); s != "[{{test [1.0.0] } call a b stats.read}]" {
		t.Errorf("registered %s", s)
	}
}

// What has an effect, and reads that are not public, are recorded before they are done: once,
// however often they are repeated.
func TestRecord(t *testing.T) {
	var (
		mu    sync.Mutex
		began []Audited
		ended []error
		fail  error
	)
	p := newPair(t, func(c *Config) {
		c.Authorize = func(context.Context, Peer, Verb) error { return nil }
		c.Audit = func(_ context.Context, r Audited) (func(error), error) {
			mu.Lock()
			defer mu.Unlock()
			if fail != nil {
				return nil, fail
			}
			began = append(began, r)
			return func(err error) {
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, err)
			}, nil
		}
	})
	effects := 0
	set := Call[summed, summed]{Family: Family{Name: "rec", Versions: []string{"1.0.0"}}, Request: "set_rec", Reply: "set_rec_ack", Verb: "rec.control"}
	must(t, set.Handle(p.mux, func(_ context.Context, _ Peer, s summed) (summed, error) {
		effects++
		if s.Text == "bad" {
			return s, Errorf(CodeConflict, "no")
		}
		return s, nil
	}))
	for _, text := range []string{"good", "bad"} {
		_, err := set.Do(t.Context(), p.client, p.server.ID(), summed{text})
		if (err != nil) != (text == "bad") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if len(began) != 2 || len(ended) != 2 || ended[0] != nil || CodeOf(ended[1]) != CodeConflict {
		t.Fatalf("recorded %+v, ended %v", began, ended)
	}
	if r := began[0]; r.Type != "set_rec" || r.Verb != "rec.control" || r.Peer.ID != p.caller.ID() || r.Summary() != "text good" || r.ID == began[1].ID {
		t.Errorf("recorded %+v", r)
	}
	fail = errors.New("disk full")
	if _, err := set.Do(t.Context(), p.client, p.server.ID(), summed{"good"}); CodeOf(err) != CodeUnavailable || effects != 2 {
		t.Errorf("not recorded: %v, %d effects", err, effects)
	}
	if _, err := Ping.Do(t.Context(), p.client, p.server.ID(), PingRequest{}); CodeOf(err) == CodeUnavailable {
		t.Errorf("what is public is recorded: %v", err)
	}
}

// A handler that panicked was recorded as one that had succeeded.
func TestPanicIsRecordedAsFault(t *testing.T) {
	var mu sync.Mutex
	var ended []error
	p := newPair(t, allowAll, func(c *Config) {
		c.Audit = func(context.Context, Audited) (func(error), error) {
			return func(err error) {
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, err)
			}, nil
		}
	})
	must(t,
		change.Handle(p.mux, func(context.Context, Peer, greeting) (greeting, error) { panic("x") }),
		count.Handle(p.mux, func(context.Context, Peer, greeting, func(greeting) error) (greeting, error) { panic("x") }),
		push.Handle(p.mux, func(context.Context, Peer, greeting, io.Reader) (greeting, error) { panic("x") }))
	_, err := change.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"})
	failed := []error{err}
	for _, err := range count.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"}) {
		failed = append(failed, err)
	}
	_, err = push.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"}, strings.NewReader(""))
	failed = append(failed, err)
	mu.Lock()
	defer mu.Unlock()
	if len(ended) != 3 || len(failed) != 3 {
		t.Fatalf("recorded %v, told %v", ended, failed)
	}
	for i := range ended {
		if CodeOf(ended[i]) != CodeInternal || CodeOf(failed[i]) != CodeInternal {
			t.Errorf("recorded %v, told %v", ended[i], failed[i])
		}
	}
}

type summed struct {
	Text string `json:"text"`
}

func (s summed) Summary() string { return "text " + s.Text }
