package streams

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

var chat = Bidi[greeting, greeting, greeting]{
	Family{Name: "testbidi", Versions: []string{"1.0.0"}}, "chat", "chat_line", "chat_item", VerbMinerControl,
}

// chatting answers each input in capitals until it is "bye"; ended has a value for each end of it.
func chatting(t *testing.T, p *pair) (ended chan error) {
	t.Helper()
	ended = make(chan error, 10)
	must(t, chat.Handle(p.mux, func(ctx context.Context, _ Peer, req greeting, in <-chan greeting, send func(greeting) error) (greeting, error) {
		if req.Text == "no" {
			return greeting{}, Errorf(CodeRefused, "not now")
		}
		if err := send(greeting{Text: "hello " + req.Text}); err != nil {
			ended <- err
			return greeting{}, err
		}
		for {
			select {
			case g := <-in:
				if g.Text == "bye" {
					ended <- nil
					return greeting{Text: "bye"}, nil
				}
				if err := send(greeting{Text: strings.ToUpper(g.Text[:min(len(g.Text), 100)])}); err != nil {
					ended <- err
					return greeting{}, err
				}
			case <-ctx.Done():
				ended <- context.Cause(ctx)
				return greeting{}, ctx.Err()
			}
		}
	}))
	return ended
}

func says(words ...string) func(context.Context, func(greeting) error) error {
	return func(_ context.Context, send func(greeting) error) error {
		for _, w := range words {
			if err := send(greeting{Text: w}); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestBidi(t *testing.T) {
	for _, on := range []string{overTCP, overQUIC, overWebSocket} {
		t.Run(on, func(t *testing.T) {
			p := newPairOn(t, on, allowAll)
			ended := chatting(t, p)
			for range 2 {
				var got []string
				for g, err := range chat.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "you"}, says("a", "b", "bye")) {
					must(t, err)
					got = append(got, g.Text)
				}
				if s := strings.Join(got, " "); s != "hello you A B bye" || <-ended != nil {
					t.Errorf("got items %q", s)
				}
			}
			for _, err := range chat.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "no"}, says("never sent")) {
				if CodeOf(err) != CodeRefused {
					t.Errorf("got %v, want the refusal", err)
				}
			}
			waitFor(t, func() bool { return testStreams(p, chat.Family) <= 1 })
		})
	}
}

// However the asker leaves, the handler notices at once.
func TestBidiEndsWithItsAsker(t *testing.T) {
	wait := func(ctx context.Context, _ func(greeting) error) error { <-ctx.Done(); return nil }
	for _, how := range []string{"break", "cancel", "talk fails", "hang up"} {
		t.Run(how, func(t *testing.T) {
			p := newPair(t, allowAll)
			ended := chatting(t, p)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			talk, failed := wait, errors.New("standard input is broken")
			if how == "talk fails" {
				talk = func(context.Context, func(greeting) error) error { return failed }
			}
			var last error
			for _, err := range chat.Do(ctx, p.client, p.server.ID(), greeting{Text: "you"}, talk) {
				last = err
				switch how {
				case "cancel":
					cancel()
				case "hang up":
					p.caller.Network().ClosePeer(p.server.ID())
				case "break":
				}
				if how == "break" {
					break
				}
			}
			select {
			case err := <-ended:
				if err == nil {
					t.Error("it ended as if all had been said")
				}
			case <-time.After(5 * time.Second):
				t.Fatal("the handler goes on")
			}
			if want := map[string]error{"cancel": context.Canceled, "talk fails": failed, "hang up": ErrUnreachable}[how]; !errors.Is(last, want) {
				t.Errorf("the asker got %v, want %v", last, want)
			}
		})
	}
}

// An input is judged as strictly as a request.
func TestBidiInputs(t *testing.T) {
	exact := strings.Repeat("x", maxInput-len(`{"id":"","type":"chat_line","sender":"","replyTo":"","timestamp":"","payload":{"text":""}}`)-36-52-36-len(timeLayout))
	for _, tt := range []struct {
		name string
		h    func(*header)
		text string
		code Code
	}{
		{"as it should be", func(*header) {}, "hi", 0},
		{"the largest", func(*header) {}, exact, 0},
		{"one byte more", func(*header) {}, exact + "x", CodeTooLarge},
		{"of another type", func(h *header) { h.typ = "chat" }, "hi", CodeInvalid},
		{"for another request", func(h *header) { h.replyTo = uuid.New() }, "hi", CodeInvalid},
		{"of somebody else", func(h *header) { h.sender = peerIDs[0] }, "hi", CodeUnauthenticated},
		{"that breaks its rules", func(*header) {}, "", CodeInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, allowAll)
			ended := chatting(t, p)
			s, err := p.caller.NewStream(t.Context(), p.server.ID(), chat.Family.ProtocolID())
			must(t, err)
			defer s.Reset()
			br := getReader(s)
			write := func(h header, text string) {
				t.Helper()
				b, err := new(frame).encodeFrame(h, greeting{Text: text}, MaxFrame)
				must(t, err)
				_, err = s.Write(b)
				must(t, err)
			}
			read := func() (m Message) {
				t.Helper()
				b, err := readFrame(br, nil, MaxFrame, nil)
				must(t, err)
				must(t, decodeEnvelope(b, &m, sender{}, maxDepth))
				return m
			}
			id := uuid.New()
			write(header{id: id, typ: "chat", sender: p.caller.ID().String(), timestamp: time.Now()}, "you")
			if m := read(); m.Type != "chat_item" {
				t.Fatalf("got %s %s", m.Type, m.Payload)
			}
			h := header{id: uuid.New(), typ: "chat_line", sender: p.caller.ID().String(), timestamp: time.Now(), replyTo: id}
			tt.h(&h)
			write(h, tt.text)
			m := read()
			if tt.code == 0 {
				if m.Type != "chat_item" {
					t.Errorf("got %s %s", m.Type, m.Payload)
				}
				return
			}
			e := new(Error)
			must(t, m.ParsePayload(e))
			if m.Type != typeError || e.Code != tt.code || <-ended == nil {
				t.Errorf("got %s %s, want %d", m.Type, m.Payload, tt.code)
			}
			s.CloseWrite()
			if _, err := io.ReadAll(br); err != nil {
				t.Errorf("the stream does not end in peace: %v", err)
			}
		})
	}
}

// peerIDs are of nobody.
var peerIDs = []string{"12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"}

// A request with an effect that is repeated does not run again, and one that has lost its right ends.
func TestBidiIsGuarded(t *testing.T) {
	var allowed atomic.Bool
	allowed.Store(true)
	p := newPair(t, allowAll, func(c *Config) {
		c.Authorize = func(context.Context, Peer, Verb) error {
			if allowed.Load() {
				return nil
			}
			return Errorf(CodeForbidden, "not any more")
		}
	})
	ended := chatting(t, p)
	open := chat
	open.Verb = VerbPublic
	if err := open.Handle(p.mux, nil); err == nil {
		t.Error("it is open to everyone")
	}
	for _, err := range open.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"}, says()) {
		if err == nil {
			t.Error("asked without a right")
		}
	}
	nameless := chat
	nameless.Request, nameless.Input = "chat2", ""
	if err := nameless.Handle(p.mux, nil); err == nil {
		t.Error("inputs without a type")
	}
	for _, err := range chat.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"}, says()) {
		if err != nil {
			if CodeOf(err) != CodeForbidden || CodeOf(<-ended) != CodeForbidden {
				t.Errorf("ended with %v", err)
			}
			break
		}
		allowed.Store(false)
	}
}

// FuzzBidiInputs writes bytes where inputs are due: whatever they are, the handler gets valid inputs only,
// and the stream ends soon with an answer that is a message.
func FuzzBidiInputs(f *testing.F) {
	server, caller := newHost(f), newHost(f)
	mux := NewMux(server, Config{
		Authorize: func(context.Context, Peer, Verb) error { return nil }, Member: func(peerID) bool { return true },
		Limits: Limits{Effect: Rate{PerSecond: 1e6, Burst: 1e6}},
	})
	serve(f, mux)
	must(f, chat.Handle(mux, func(ctx context.Context, _ Peer, _ greeting, in <-chan greeting, send func(greeting) error) (greeting, error) {
		if err := send(greeting{Text: "go on"}); err != nil {
			return greeting{}, err
		}
		for {
			select {
			case g := <-in:
				if g.Text == "" {
					panic("an input that breaks its rules")
				}
			case <-ctx.Done():
				return greeting{}, ctx.Err()
			}
		}
	}))
	caller.Peerstore().AddAddrs(server.ID(), server.Addrs(), peerstoreTTL)
	f.Add([]byte{})
	f.Add([]byte{0x81, 0x80, 0x40})
	f.Add([]byte("\x02{}"))
	f.Add([]byte{0x05, '{', '"'})
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := caller.NewStream(t.Context(), server.ID(), chat.Family.ProtocolID())
		must(t, err)
		defer s.Reset()
		s.SetDeadline(time.Now().Add(20 * time.Second))
		b, err := new(frame).encodeFrame(header{id: uuid.New(), typ: "chat", sender: caller.ID().String(), timestamp: time.Now()}, greeting{Text: "x"}, MaxFrame)
		must(t, err)
		if len(in) > 0 { // its last frame may be valid so far: this one is not
			in = append(slices.Clone(in), 2, '{', '}')
		}
		_, err = s.Write(append(slices.Clone(b), in...))
		must(t, err, s.CloseWrite())
		br := getReader(s)
		for range 2 { // the item, and an error where there were inputs
			b, err := readFrame(br, nil, MaxFrame, nil)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			var m Message
			must(t, decodeEnvelope(b, &m, sender{}, maxDepth))
			if len(in) == 0 || m.Type == typeError {
				return
			}
		}
	})
}
