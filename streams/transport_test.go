package streams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// The exchanges mean the same on every transport, whose streams differ in how they close and reset.
func TestExchangesOnEachTransport(t *testing.T) {
	for name, listen := range map[string]string{"tcp": overTCP, "quic": overQUIC, "websocket": overWebSocket} {
		t.Run(name, func(t *testing.T) {
			t.Run("calls", func(t *testing.T) { tryCalls(t, listen) })
			t.Run("feeds", func(t *testing.T) { tryFeeds(t, listen) })
			t.Run("uploads", func(t *testing.T) { tryUploads(t, listen) })
			t.Run("refused uploads", func(t *testing.T) { tryRefusedUploads(t, listen) })
			t.Run("notices", func(t *testing.T) { tryNotices(t, listen) })
			t.Run("limits", func(t *testing.T) { tryLimits(t, listen) })
			t.Run("unknown family", func(t *testing.T) { tryUnknownFamily(t, listen) })
			t.Run("close code", func(t *testing.T) { tryCloseCode(t, listen) })
		})
	}
}

func tryCalls(t *testing.T, listen string) {
	p := newPairOn(t, listen, allowAll)
	serveAll(t, p)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			want := fmt.Sprint(i, strings.Repeat("x", i<<10))
			for range 3 {
				if got, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: want}); err != nil || got.Text != want {
					t.Errorf("call %d: %d bytes, %v", i, len(got.Text), err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 3 {
		got, err := change.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "n"})
		if want := fmt.Sprint("n", i+1); err != nil || got.Text != want {
			t.Errorf("got %v, %v, want %s", got, err, want)
		}
	}
}

func tryFeeds(t *testing.T, listen string) {
	p := newPairOn(t, listen, allowAll)
	serveAll(t, p)
	for _, take := range []int{1000, 3, 1000} { // all, broken off, and all again
		n := 0
		for _, err := range count.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x", Size: 1000}) {
			must(t, err)
			if n++; n == take {
				break
			}
		}
		if n != take {
			t.Errorf("got %d items, want %d", n, take)
		}
	}
}

func tryUploads(t *testing.T, listen string) {
	const size = 3 << 20
	p := newPairOn(t, listen, allowAll)
	serveAll(t, p)
	for range 3 {
		got, err := push.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x", Size: size}, bytes.NewReader(make([]byte, size)))
		if want := fmt.Sprint("x ", size); err != nil || got.Text != want {
			t.Errorf("got %q, %v, want %q", got.Text, err, want)
		}
	}
}

func tryRefusedUploads(t *testing.T, listen string) {
	const size = 64 << 20
	p := newPairOn(t, listen, func(c *Config) {
		c.Authorize = func(context.Context, Peer, Verb) error { return Errorf(CodeForbidden, "no") }
	})
	serveAll(t, p)
	for range 5 {
		_, err := push.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x", Size: size}, io.LimitReader(zeros{}, size))
		if !errors.Is(err, ErrForbidden) {
			t.Errorf("got %v, want 403", err)
		}
	}
}

func tryNotices(t *testing.T, listen string) {
	p := newPairOn(t, listen, allowAll)
	n := serveAll(t, p)
	must(t, note.Send(t.Context(), p.client, p.server.ID(), greeting{Text: "good"}))
	if n.Load() != 1 {
		t.Error("the handler had not run when Send returned")
	}
	if err := note.Send(t.Context(), p.client, p.server.ID(), greeting{Text: "bad"}); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want 422", err)
	}
}

// A stranger's fifth stream is reset with a code, which its client tells as 429.
func tryLimits(t *testing.T, listen string) {
	p := newPairOn(t, listen, func(c *Config) { allowAll(c); c.Member = nil })
	serveAll(t, p)
	for range strangerStreams {
		p.raw(t, testFamily).write([]byte{1})
	}
	waitFor(t, func() bool {
		p.mux.mu.Lock()
		defer p.mux.mu.Unlock()
		return len(p.mux.streams) == strangerStreams
	})
	if _, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"}); !errors.Is(err, ErrTooMany) {
		t.Errorf("got %v, want 429", err)
	}
}

func tryUnknownFamily(t *testing.T, listen string) {
	p := newPairOn(t, listen, allowAll)
	for range 2 { // the second time identify's answer is known
		if _, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("got %v, want 501", err)
		}
	}
	must(t, p.caller.Peerstore().AddProtocols(p.server.ID(), protocol.ID("/swarm/test/1.0.0")))
	if _, err := echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a family that was served once: got %v, want 501", err)
	}
}

func tryCloseCode(t *testing.T, listen string) {
	const revoked network.ConnErrorCode = 0x5357000d
	p := newPairOn(t, listen, allowAll, func(c *Config) {
		c.Closed = func(code network.ConnErrorCode) (Code, string) {
			if code == revoked {
				return CodeForbidden, "revoked"
			}
			return 0, ""
		}
	})
	must(t, echo.Handle(p.mux, func(ctx context.Context, peer Peer, g greeting) (greeting, error) {
		go peer.Conn.CloseWithError(revoked)
		<-ctx.Done() // a read ends with its connection
		return g, ctx.Err()
	}))
	var err error
	for range 5 { // over a socket, yamux may write into the closed connection before it reads why
		_, err = echo.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x"})
		if e, ok := errors.AsType[*network.ConnError](err); ok && e.Remote && e.ErrorCode == revoked && errors.Is(err, ErrForbidden) {
			return
		}
	}
	t.Errorf("got %v, want the code of a revoked peer, as one who may not", err)
}
