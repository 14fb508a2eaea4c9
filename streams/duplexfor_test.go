package streams

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

var tunnel = DuplexFor[greeting]{Family{Name: "tunnel", Versions: []string{"1.0.0"}}, "open", "opened", "tunnel"}

// A connection is made for what its request says, or refused in the handler's words.
func TestDuplexFor(t *testing.T) {
	for _, on := range []string{overTCP, overQUIC, overWebSocket} {
		t.Run(on, func(t *testing.T) {
			p := newPairOn(t, on, allowAll)
			must(t, tunnel.Handle(p.mux, func(_ context.Context, by Peer, req greeting, accept func() (*Conn, error)) error {
				if req.Text == "no" {
					return Errorf(CodeRefused, "not that")
				}
				c, err := accept()
				if err != nil {
					return err
				}
				if _, err := accept(); err == nil || by.ID != p.caller.ID() {
					t.Errorf("accepted twice: %v, from %s", err, by.ID)
				}
				b, err := io.ReadAll(c)
				if err != nil {
					return err
				}
				_, err = c.Write(append(b, req.Text...))
				return errors.Join(err, c.Close())
			}))
			if _, err := tunnel.Dial(t.Context(), p.client, p.server.ID(), greeting{Text: "no"}); !errors.Is(err, ErrRefused) || err.Error() != "422: not that" {
				t.Errorf("got %v", err)
			}
			c, err := tunnel.Dial(t.Context(), p.client, p.server.ID(), greeting{Text: "yes"})
			must(t, err)
			long := bytes.Repeat([]byte("x"), 2<<20)
			_, err = c.Write(long)
			must(t, err, c.CloseWrite())
			got, err := io.ReadAll(c)
			must(t, err, c.Close())
			if string(got) != string(long)+"yes" {
				t.Errorf("%d bytes", len(got))
			}
			if o := p.seen(t, 2); o[0].Err == nil || o[1].Err != nil || o[1].Type != "open" {
				t.Errorf("outcomes %+v", o)
			}
		})
	}
}

// What is wrong with a request or a handler ends in an error, and leaves the mux as it was.
func TestDuplexForFaults(t *testing.T) {
	p := newPair(t, allowAll)
	public := tunnel
	public.Verb = VerbPublic
	if err := public.Handle(p.mux, nil); err == nil {
		t.Error("a public connection")
	}
	must(t, tunnel.Handle(p.mux, func(_ context.Context, _ Peer, req greeting, accept func() (*Conn, error)) error {
		switch req.Text {
		case "nothing":
			return nil
		case "panic":
			panic("x")
		case "panic later":
			accept()
			panic("x")
		}
		_, err := accept()
		return err // and leaves the connection open
	}))
	for text, want := range map[string]error{"nothing": ErrInternal, "panic": ErrInternal, "": ErrInvalid} {
		if _, err := tunnel.Dial(t.Context(), p.client, p.server.ID(), greeting{Text: text}); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{"leaves it", "panic later"} {
		c, err := tunnel.Dial(t.Context(), p.client, p.server.ID(), greeting{Text: text})
		if err != nil {
			continue // the reset came before the answer was read
		}
		if _, err := io.ReadAll(c); err == nil {
			t.Errorf("%s: it ended as if it were whole", text)
		}
		c.Close()
	}
}

// A reset of either side is an error of the other one, also while that reads nothing.
func TestConnReset(t *testing.T) {
	for _, on := range []string{overTCP, overQUIC} {
		t.Run(on, func(t *testing.T) {
			p := newPairOn(t, on, allowAll)
			accepted := make(chan *Conn)
			must(t, tunnel.Handle(p.mux, func(ctx context.Context, _ Peer, _ greeting, accept func() (*Conn, error)) error {
				c, err := accept()
				if err != nil {
					return err
				}
				accepted <- c
				<-ctx.Done()
				return nil
			}))
			for _, ours := range []bool{true, false} {
				a, err := tunnel.Dial(t.Context(), p.client, p.server.ID(), greeting{Text: "x"})
				must(t, err)
				b := <-accepted
				if !ours {
					a, b = b, a
				}
				_, err = a.Write(make([]byte, 1000))
				must(t, err)
				_, err = io.ReadFull(b, make([]byte, 1))
				must(t, err, b.Lost(), a.Lost(), a.Reset(), a.Reset(), a.Close())
				waitFor(t, func() bool { return b.Lost() != nil })
				if _, err := io.ReadAll(b); err == nil {
					t.Error("what was reset reads as if it were whole")
				}
				waitFor(t, func() bool { _, err := b.Write([]byte("x")); return err != nil })
				b.Close()
			}
		})
	}
}
