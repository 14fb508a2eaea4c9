package control

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

// piped returns a controller whose connections end at serve.
func piped(serve func(net.Conn)) *Remote {
	return &Remote{unresponsive: &Unresponsive{PID: 7}, http: &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go serve(there)
			return here, nil
		},
		DisableKeepAlives: true,
	}}}
}

// A controller that falls silent in the middle of an answer does not answer; that there is nothing
// to say for long is no silence.
func TestSilence(t *testing.T) {
	for _, tc := range []struct {
		name   string
		beats  int // empty lines before it falls silent
		header bool
		took   time.Duration
	}{
		{"nothing at all", 0, false, silentFor},
		{"after the header", 0, true, silentFor},
		{"after a minute", 120, true, 120*beatEvery + silentFor},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := piped(func(c net.Conn) {
					defer c.Close()
					if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
						return
					}
					if tc.header {
						io.WriteString(c, "HTTP/1.1 200 OK\r\nSwarm-Beat: 500ms\r\n\r\n")
					}
					for range tc.beats {
						time.Sleep(beatEvery)
						io.WriteString(c, "\n")
					}
					io.Copy(io.Discard, c) // until the other end has gone
				})
				began := time.Now()
				err := r.Events(t.Context(), func(agent.Event) error { return nil })
				if silent, ok := errors.AsType[*Unresponsive](err); !ok || silent.PID != 7 || time.Since(began) != tc.took {
					t.Errorf("after %v: %v; want that it does not answer after %v", time.Since(began), err, tc.took)
				}
			})
		})
	}
}

// A verb that takes an hour is heard from all the time.
func TestLongVerb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := http.NewServeMux()
		addrsVerb.serve(mux, func(_ context.Context, _ struct{}, emit func([]string) error) error {
			time.Sleep(time.Hour)
			return emit([]string{"here"})
		})
		conns := make(chan net.Conn, 1)
		l := &pipeListener{conns: conns, closed: make(chan struct{})}
		srv := &http.Server{Handler: mux}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		r := piped(func(c net.Conn) { conns <- c })
		if addrs, err := r.Addrs(t.Context()); err != nil || len(addrs) != 1 {
			t.Errorf("%v, %v", addrs, err)
		}
		srv.Close()
		<-done
	})
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// What the kernel takes for a process that is stopped is no answer: not for a command, and not for
// another controller.
func TestNoGreeting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serve.sock")
	if _, err := dial(t.Context(), path, time.Second); !errors.Is(err, ErrNobody) {
		t.Errorf("without a socket: %v", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = dial(t.Context(), path, 50*time.Millisecond)
	if silent, ok := errors.AsType[*Unresponsive](err); !ok || silent.Since.IsZero() {
		t.Errorf("a socket that nobody serves: %v", err)
	}
	err = socketFree(path)
	if _, ok := errors.AsType[*Unresponsive](err); !ok || !errors.Is(err, ErrServing) {
		t.Errorf("for another controller: %v", err)
	}
}
