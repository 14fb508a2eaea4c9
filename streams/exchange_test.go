package streams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func serveAll(t testing.TB, p *pair) (effects *atomic.Int64) {
	t.Helper()
	effects = new(atomic.Int64)
	must(t,
		echo.Handle(p.mux, func(_ context.Context, _ Peer, g greeting) (greeting, error) { return g, nil }),
		change.Handle(p.mux, func(_ context.Context, _ Peer, g greeting) (greeting, error) {
			return greeting{Text: fmt.Sprint(g.Text, effects.Add(1))}, nil
		}),
		count.Handle(p.mux, func(_ context.Context, _ Peer, g greeting, send func(greeting) error) (greeting, error) {
			for i := range g.Size - 1 {
				if err := send(greeting{Text: fmt.Sprint(i)}); err != nil {
					return greeting{}, err
				}
			}
			return greeting{Text: "last"}, nil
		}),
		push.Handle(p.mux, func(_ context.Context, _ Peer, g greeting, body io.Reader) (greeting, error) {
			b, err := io.ReadAll(body)
			return greeting{Text: fmt.Sprintf("%s %d", g.Text, len(b))}, err
		}),
		note.Handle(p.mux, func(_ context.Context, _ Peer, g greeting) error {
			if g.Text == "bad" {
				return Errorf(CodeRefused, "not this one")
			}
			effects.Add(1)
			return nil
		}),
	)
	return effects
}

func TestCallKeepsItsStream(t *testing.T) {
	p := newPair(t, allowAll)
	serveAll(t, p)
	for i := range 20 {
		got, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: fmt.Sprint("hi ", i)})
		if err != nil || got.Text != fmt.Sprint("hi ", i) {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if n := testStreams(p, testFamily); n != 1 {
		t.Errorf("20 calls in a row opened %d streams, want 1", n)
	}
	for _, o := range p.seen(t, 20) {
		if o.Err != nil || o.Peer != p.caller.ID() || !o.Inbound || o.Type != "echo" {
			t.Errorf("outcome %+v", o)
		}
	}
}

// testStreams counts the caller's open streams of a family.
func testStreams(p *pair, f Family) (n int) {
	for _, c := range p.caller.Network().ConnsToPeer(p.server.ID()) {
		for _, s := range c.GetStreams() {
			if s.Protocol() == f.ProtocolID() {
				n++
			}
		}
	}
	return n
}

func TestConcurrentCalls(t *testing.T) {
	p := newPair(t, allowAll)
	serveAll(t, p)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			got, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: fmt.Sprint(i)})
			if err != nil || got.Text != fmt.Sprint(i) {
				t.Errorf("call %d: got %v, %v", i, got, err)
			}
		})
	}
	wg.Wait()
	if n, limit := testStreams(p, testFamily), clientCalls; n > limit {
		t.Errorf("%d streams are open, want %d at most", n, limit)
	}
}

func TestKeptStreamThatDiedIsReplaced(t *testing.T) {
	p := newPair(t, allowAll)
	effects := serveAll(t, p)
	for i := range 3 {
		got, err := change.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "n"})
		if want := fmt.Sprint("n", i+1); err != nil || got.Text != want {
			t.Fatalf("got %v, %v, want %s", got, err, want)
		}
		for _, c := range p.server.Network().ConnsToPeer(p.caller.ID()) {
			for _, s := range c.GetStreams() {
				if s.Protocol() == testFamily.ProtocolID() {
					s.Reset()
				}
			}
		}
	}
	if effects.Load() != 3 {
		t.Errorf("%d effects, want 3", effects.Load())
	}
}

func TestFeed(t *testing.T) {
	p := newPair(t, allowAll)
	serveAll(t, p)
	for range 2 { // the second one over the kept stream
		var got []string
		for g, err := range count.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x", Size: 4}) {
			must(t, err)
			got = append(got, g.Text)
		}
		if s := strings.Join(got, " "); s != "0 1 2 last" {
			t.Errorf("got items %q", s)
		}
	}
	if n := testStreams(p, testFamily); n != 1 {
		t.Errorf("%d streams, want 1", n)
	}
}

func TestFeedEndsWithItsReceiver(t *testing.T) {
	for _, how := range []string{"break", "cancel", "hang up"} {
		t.Run(how, func(t *testing.T) {
			p := newPair(t, allowAll)
			ended := make(chan error, 1)
			must(t, count.Handle(p.mux, func(ctx context.Context, _ Peer, _ greeting, send func(greeting) error) (greeting, error) {
				must(t, send(greeting{Text: "first"}))
				<-ctx.Done()
				ended <- ctx.Err()
				return greeting{}, ctx.Err()
			}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for _, err := range count.Do(ctx, p.client, p.server.ID(), greeting{Text: "x"}) {
				if how == "break" {
					break
				}
				if err != nil {
					if how == "cancel" && !errors.Is(err, context.Canceled) || how == "hang up" && !errors.Is(err, ErrUnreachable) {
						t.Errorf("got %v", err)
					}
					break
				}
				if how == "cancel" {
					cancel()
				} else {
					must(t, p.caller.Network().ClosePeer(p.server.ID()))
				}
			}
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the handler's context ended with %v", err)
			}
			// That is nobody's fault, and nothing for the log.
			if o := p.seen(t, 1)[0]; !errors.Is(o.Err, ErrUnavailable) || strings.Contains(p.log.String(), "request failed") {
				t.Errorf("outcome %v, log %q", o.Err, p.log)
			}
		})
	}
}

func TestUpload(t *testing.T) {
	const size = 3 << 20
	tests := []struct {
		name string
		body io.Reader
		size int64
		want string
		err  error
	}{
		{"whole", bytes.NewReader(make([]byte, size)), size, fmt.Sprint("x ", size), nil},
		{"longer than announced", bytes.NewReader(make([]byte, size)), size - 1, fmt.Sprint("x ", size-1), nil},
		{"empty", strings.NewReader(""), 0, "x 0", nil},
		{"shorter than announced", strings.NewReader("abc"), 4, "", io.ErrUnexpectedEOF},
		{"negative", strings.NewReader("abc"), -1, "", ErrInvalid},
	}
	p := newPair(t, allowAll)
	serveAll(t, p)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := push.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x", Size: tc.size}, tc.body)
			if !errors.Is(err, tc.err) || got.Text != tc.want {
				t.Errorf("got %q, %v, want %q, %v", got.Text, err, tc.want, tc.err)
			}
		})
	}
}

// A refusal has to reach a sender that is still sending.
func TestUploadRefusedInTheMiddle(t *testing.T) {
	p := newPair(t, func(c *Config) {
		c.Authorize = func(context.Context, Peer, Verb) error { return Errorf(CodeForbidden, "no") }
	})
	serveAll(t, p)
	for range 3 {
		const size = 64 << 20
		_, err := push.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x", Size: size}, io.LimitReader(zeros{}, size))
		if !errors.Is(err, ErrForbidden) {
			t.Errorf("got %v, want 403", err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestNotice(t *testing.T) {
	p := newPair(t, allowAll)
	n := serveAll(t, p)
	must(t, note.Send(t.Context(), p.client, p.server.ID(), greeting{Text: "good"}))
	if n.Load() != 1 {
		t.Error("the handler had not run when Send returned")
	}
	if err := note.Send(t.Context(), p.client, p.server.ID(), greeting{Text: "bad"}); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want 422", err)
	}
}

func TestHandlerFaultsTouchOneStreamOnly(t *testing.T) {
	p := newPair(t, allowAll, func(c *Config) { c.Limits.Drain = 50 * time.Millisecond })
	stall := make(chan struct{})
	must(t, echo.Handle(p.mux, func(ctx context.Context, _ Peer, g greeting) (greeting, error) {
		switch g.Text {
		case "panic":
			panic("secret detail")
		case "fault":
			return greeting{}, errors.New("secret detail")
		case "stall":
			<-stall
		}
		return g, nil
	}))
	for _, kind := range []string{"panic", "fault"} {
		_, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: kind})
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeInternal || strings.Contains(e.Message, "secret") {
			t.Fatalf("%s: got %v, want a bare 500", kind, err)
		}
		if log := p.log.String(); e.Trace == "" || !strings.Contains(log, e.Trace) || !strings.Contains(log, "secret detail") {
			t.Errorf("%s: trace %q does not lead to the cause in the log:\n%s", kind, e.Trace, log)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := echo.Do(ctx, p.client, p.server.ID(), greeting{Text: "stall"})
	if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stall: got %v, want 408", err)
	}
	if _, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "fine"}); err != nil {
		t.Errorf("after the faults: %v", err)
	}
	close(stall)
}

func TestServeDrains(t *testing.T) {
	server, caller := newHost(t), newHost(t)
	cfg := Config{}
	allowAll(&cfg)
	mux := NewMux(server, cfg)
	began, finish := make(chan struct{}), make(chan struct{})
	must(t, echo.Handle(mux, func(context.Context, Peer, greeting) (greeting, error) {
		close(began)
		<-finish
		return greeting{Text: "done"}, nil
	}), count.Handle(mux, func(ctx context.Context, _ Peer, _ greeting, send func(greeting) error) (greeting, error) {
		must(t, send(greeting{Text: "first"}))
		<-ctx.Done()
		return greeting{}, ctx.Err()
	}))
	caller.Peerstore().AddAddrs(server.ID(), server.Addrs(), peerstoreTTL)
	client := NewClient(caller, Config{})
	defer client.Close()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- mux.Serve(ctx) }()

	var wg sync.WaitGroup
	wg.Go(func() {
		if got, err := echo.Do(t.Context(), client, server.ID(), greeting{Text: "x"}); err != nil || got.Text != "done" {
			t.Errorf("a running call got %v, %v", got, err)
		}
	})
	wg.Go(func() {
		var last error
		for _, err := range count.Do(t.Context(), client, server.ID(), greeting{Text: "x"}) {
			if last = err; err == nil {
				<-began
				stop()
			}
		}
		if !errors.Is(last, ErrUnavailable) {
			t.Errorf("a feed ended with %v, want 503", last)
		}
		close(finish)
	})
	wg.Wait()
	must(t, <-served)
	if _, err := echo.Do(t.Context(), client, server.ID(), greeting{Text: "x"}); err == nil {
		t.Error("a call after Serve succeeded")
	}
}

func TestCallErrorsInWords(t *testing.T) {
	p := newPair(t, allowAll)
	stranger := newHost(t)
	tests := []struct {
		name string
		do   func() error
		want error
		is   error
	}{
		{"family not spoken", func() error {
			_, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"})
			return err
		}, ErrUnsupported, nil},
		{"no address", func() error {
			_, err := echo.Do(t.Context(), p.client, stranger.ID(), greeting{Text: "x"})
			return err
		}, ErrUnavailable, ErrUnreachable},
		{"cancelled", func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := echo.Do(ctx, p.client, p.server.ID(), greeting{Text: "x"})
			return err
		}, context.Canceled, nil},
		{"too large to send", func() error {
			_, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: strings.Repeat("x", MaxFrame)})
			return err
		}, ErrTooLarge, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.do()
			if !errors.Is(err, tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than one line: %q", err)
			}
		})
		if tc.name == "family not spoken" {
			serveAll(t, p)
		}
	}
}

func TestBetterPathReplacesKeptStreams(t *testing.T) {
	var p pools
	key := poolKey{"p", "f"}
	if _, err := p.slot(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	var open []network.Conn
	p.conns = func(peer.ID) []network.Conn { return open }
	stream := func(c *fakeConn) *clientStream {
		return &clientStream{Stream: &fakeStream{conn: c}, key: key, relayed: relayed(c), br: getReader(nil)}
	}
	byRelay := &fakeConn{addr: "/ip4/16.1.0.10/tcp/4747/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X/p2p-circuit"}
	limited, direct := &fakeConn{limited: true, addr: "/ip4/192.0.2.1/tcp/1"}, &fakeConn{addr: "/ip4/192.0.2.1/tcp/1"}
	for _, c := range []*fakeConn{limited, byRelay, direct} {
		p.put(stream(c))
	}
	open = []network.Conn{limited, byRelay, direct}
	p.connected(direct)
	if st := p.take(key, nil); st == nil || st.Conn() != direct {
		t.Errorf("got %v, want the direct stream", st)
	}
	if st := p.take(key, nil); st != nil {
		t.Error("a stream over the relay was kept")
	}
	p.put(stream(byRelay)) // it was in use when the direct connection appeared
	if st := p.take(key, nil); st != nil {
		t.Error("a stream over the relay was kept after its call")
	}
}

type fakeConn struct {
	network.Conn
	limited bool
	addr    string
}

func (f *fakeConn) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Limited: f.limited}}
}
func (f *fakeConn) IsClosed() bool                       { return false }
func (f *fakeConn) RemotePeer() (p peerID)               { return "p" }
func (f *fakeConn) RemoteMultiaddr() multiaddr.Multiaddr { return multiaddr.StringCast(f.addr) }

type fakeStream struct {
	network.Stream
	conn network.Conn
}

func (f *fakeStream) Conn() network.Conn { return f.conn }
func (f *fakeStream) Close() error       { return nil }
