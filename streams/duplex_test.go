package streams

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

var duplex = Duplex{Family{Name: "duplex", Versions: []string{"1.0.0"}}, "dial", "dialled", "web.read"}

// connected returns both ends of a connection.
func connected(t *testing.T, p *pair, l *Listener) (ours, theirs *Conn) {
	t.Helper()
	ours, err := duplex.Dial(t.Context(), p.client, p.server.ID())
	must(t, err)
	c, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { ours.Close(); c.Close() })
	return ours, c.(*Conn)
}

func listen(t *testing.T, p *pair) *Listener {
	t.Helper()
	l, err := duplex.Listen(p.mux)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// TestDuplexIsANetConn has the Go project's own test of connections look at ours.
func TestDuplexIsANetConn(t *testing.T) {
	for _, on := range []string{overTCP, overQUIC} {
		t.Run(on, func(t *testing.T) {
			p := newPairOn(t, on, allowAll)
			l := listen(t, p)
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				ours, err := duplex.Dial(context.Background(), p.client, p.server.ID())
				if err != nil {
					return nil, nil, nil, err
				}
				theirs, err := l.Accept()
				return ours, theirs, func() { ours.Close(); theirs.Close() }, err
			})
		})
	}
}

func TestDuplex(t *testing.T) {
	for _, on := range []string{overTCP, overQUIC, overWebSocket} {
		t.Run(on, func(t *testing.T) {
			p := newPairOn(t, on, allowAll)
			ours, theirs := connected(t, p, listen(t, p))
			if theirs.Peer() != p.caller.ID() || ours.RemoteAddr().String() != p.server.ID().String() || ours.LocalAddr() != theirs.RemoteAddr() {
				t.Errorf("the ends are %v and %v", ours.RemoteAddr(), theirs.RemoteAddr())
			}
			// A half-close: the question ends, the answer is as long as it likes.
			question := bytes.Repeat([]byte("question "), 100_000)
			go func() {
				b, err := io.ReadAll(theirs)
				if err == nil {
					slices.Reverse(b)
					theirs.Write(b)
				}
				theirs.Close()
			}()
			_, err := ours.Write(question)
			must(t, err, ours.CloseWrite())
			answer, err := io.ReadAll(ours)
			must(t, err)
			slices.Reverse(answer)
			if !bytes.Equal(answer, question) {
				t.Errorf("%d bytes came back of %d", len(answer), len(question))
			}
			must(t, ours.Close(), ours.Close())
			if _, err := ours.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a write after the end: %v", err)
			}
			if err := ours.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a deadline after the end: %v", err)
			}
			if o := p.seen(t, 1); o[0].Err != nil || o[0].Type != "dial" || !o[0].Inbound {
				t.Errorf("outcomes %+v", o)
			}
		})
	}
}

func TestDuplexDeadline(t *testing.T) {
	for _, on := range []string{overTCP, overQUIC} {
		t.Run(on, func(t *testing.T) {
			p := newPairOn(t, on, allowAll)
			ours, _ := connected(t, p, listen(t, p))
			must(t, ours.SetReadDeadline(time.Now().Add(time.Millisecond)))
			_, err := ours.Read(make([]byte, 1))
			late, ok := err.(net.Error) // net/http asks in this way
			if !ok || !late.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestDuplexRefusals(t *testing.T) {
	var judge atomic.Pointer[Error]
	p := newPair(t, allowAll, func(c *Config) {
		c.Authorize = func(_ context.Context, _ Peer, v Verb) error {
			if e := judge.Load(); e != nil && v == duplex.Verb {
				return e
			}
			return nil
		}
	})
	dial := func(want error) {
		t.Helper()
		c, err := duplex.Dial(t.Context(), p.client, p.server.ID())
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if c != nil {
			c.Close()
		}
	}
	dial(ErrUnsupported) // nobody speaks the family
	public := duplex
	public.Verb = VerbPublic
	if _, err := public.Listen(p.mux); err == nil {
		t.Error("a public listener")
	}
	l := listen(t, p)
	if _, err := duplex.Listen(p.mux); err == nil {
		t.Error("two listeners of one type")
	}
	judge.Store(Errorf(CodeForbidden, "not you"))
	dial(ErrForbidden)
	judge.Store(nil)
	var open []*Conn
	for range maxWaiting {
		c, err := duplex.Dial(t.Context(), p.client, p.server.ID())
		must(t, err)
		open = append(open, c)
	}
	dial(ErrUnavailable) // too many wait
	c, err := l.Accept()
	must(t, err, c.Close())
	dial(nil) // there is room for one
	must(t, l.Close(), l.Close())
	if _, err := open[len(open)-1].Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a connection that waited ends with %v", err)
	}
	for _, c := range open {
		c.Close()
	}
	dial(ErrUnsupported)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	listen(t, p) // again
	dial(nil)
}

// A peer that goes on writing to a connection that was closed learns of that.
func TestDuplexClosedWhileWrittenTo(t *testing.T) {
	p := newPair(t, allowAll)
	ours, theirs := connected(t, p, listen(t, p))
	_, err := theirs.Write([]byte("bye"))
	must(t, err, theirs.Close())
	got := make([]byte, 3)
	_, err = io.ReadFull(ours, got)
	must(t, err)
	if string(got) != "bye" {
		t.Errorf("read %q", got)
	}
	must(t, ours.SetWriteDeadline(time.Now().Add(20*time.Second)))
	for err = error(nil); err == nil; {
		_, err = ours.Write(make([]byte, 64<<10))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the writer was never told: %v", err)
	}
}

// Accepted connections outlive their listener, and end with the mux.
func TestDuplexEndsWithTheMux(t *testing.T) {
	server, caller := newHost(t), newHost(t)
	var cfg Config
	allowAll(&cfg)
	p := &pair{server: server, caller: caller, mux: NewMux(server, cfg), client: NewClient(caller, Config{})}
	t.Cleanup(func() { p.client.Close() })
	caller.Peerstore().AddAddrs(server.ID(), server.Addrs(), peerstoreTTL)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.mux.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	l := listen(t, p)
	ours, theirs := connected(t, p, l)
	must(t, l.Close())
	_, err := ours.Write([]byte("x"))
	must(t, err)
	_, err = theirs.Read(make([]byte, 1))
	must(t, err)
	began := time.Now()
	stop()
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the dialler reads %v", err)
	}
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener's side reads %v", err)
	}
	running.Wait()
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the mux stopped after %v: it waited for a connection", took)
	}
}
