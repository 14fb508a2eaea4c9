package streams_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// brittle is a host whose connections break after so many bytes of their streams, and which is
// connected with the other one again a second later.
type brittle struct {
	*streamtest.Host
	other  *streamtest.Host
	mu     sync.Mutex // guards what follows
	left   int        // bytes until the connection breaks; negative for one that does not
	broken int
}

func (h *brittle) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &brittleStream{s, h}, nil
}

type brittleStream struct {
	network.Stream
	h *brittle
}

// rest is how many bytes there are until the connection breaks; less than 0 once it has.
func (s *brittleStream) rest() int {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.h.left
}

// spend takes bytes off the rest, and breaks the connection where there is no more.
func (s *brittleStream) spend(n int) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.h.left < 0 {
		return
	}
	if s.h.left -= n; s.h.left > 0 {
		return
	}
	s.h.left = -1
	s.h.broken++
	s.Conn().Close()
	time.AfterFunc(time.Second, func() { streamtest.Connect(s.h.Host, s.h.other) })
}

func (s *brittleStream) Read(b []byte) (int, error) {
	if rest := s.rest(); rest > 0 {
		b = b[:min(len(b), rest)]
	}
	n, err := s.Stream.Read(b)
	s.spend(n)
	return n, err
}

func (s *brittleStream) Write(b []byte) (int, error) {
	rest := s.rest()
	if rest < 0 || len(b) < rest {
		n, err := s.Stream.Write(b)
		s.spend(n)
		return n, err
	}
	n, err := s.Stream.Write(b[:rest])
	s.spend(n)
	return n, errors.Join(err, network.ErrReset)
}

// counting is a feed of numbers, each an item, from the one in the request up to last.
type counting struct {
	*testing.T
	p      *streamtest.Pipe
	client *streams.Client
	host   *brittle
	last   int
	got    []int
	begun  bool
	cuts   int
	backs  []time.Duration
}

func newCounting(t *testing.T, last, breakAfter int) *counting {
	c := &counting{T: t, p: newPipe(t, forMember()), last: last}
	c.host = &brittle{Host: c.p.Caller, other: c.p.Server, left: breakAfter}
	c.client = streams.NewClient(c.host, streams.Config{})
	t.Cleanup(func() { c.client.Close() })
	noError(t, follow.Handle(c.p.Mux, func(ctx context.Context, _ streams.Peer, req text, send func(text) error) (text, error) {
		n, err := strconv.Atoi(req.Text)
		if err != nil {
			return text{}, streams.Errorf(streams.CodeInvalid, "no number")
		}
		for ; n < last; n++ {
			if err := send(text{Text: strconv.Itoa(n)}); err != nil {
				return text{}, err
			}
			time.Sleep(time.Millisecond)
		}
		return text{Text: strconv.Itoa(last)}, nil
	}))
	return c
}

// run counts to the end over as many connections as it takes.
func (c *counting) run(ctx context.Context, took func(n int)) error {
	r := streams.Resumption{
		Begun: c.begun,
		Cut:   func(error) { c.cuts++ },
		Back:  func(away time.Duration) { c.backs = append(c.backs, away) },
	}
	return r.Do(ctx, c.client, c.p.Server.ID(), func(ctx context.Context, goesOn func()) error {
		for item, err := range follow.Do(ctx, c.client, c.p.Server.ID(), text{Text: strconv.Itoa(len(c.got))}) {
			if err != nil {
				return err
			}
			goesOn()
			n, err := strconv.Atoi(item.Text)
			if err != nil {
				return err
			}
			c.got = append(c.got, n)
			took(n)
		}
		return nil
	})
}

func (c *counting) check() {
	c.Helper()
	want := make([]int, c.last+1)
	for i := range want {
		want[i] = i
	}
	if !slices.Equal(c.got, want) {
		c.Errorf("got %v, want each of 0 to %d once", c.got, c.last)
	}
}

// A connection that is cut at any byte of the exchange costs no item, and brings none twice.
func TestResumeCutAtEveryByte(t *testing.T) {
	whole, resumed := false, 0
	for at := 1; !whole; at++ {
		synctest.Test(t, func(t *testing.T) {
			c := newCounting(t, 4, at)
			err := c.run(t.Context(), func(int) {})
			whole = c.host.broken == 0
			switch {
			case err == nil:
				c.check()
			case len(c.got) > 0 || !streams.Interrupted(err):
				t.Errorf("cut after %d bytes: %v, got %v", at, err, c.got)
			}
			if c.cuts != len(c.backs) || c.cuts > 1 {
				t.Errorf("cut after %d bytes: told of %d cuts and %d returns", at, c.cuts, len(c.backs))
			}
			resumed += len(c.backs)
			for _, away := range c.backs {
				if away != time.Second {
					t.Errorf("cut after %d bytes: back after %v, connected again after 1s", at, away)
				}
			}
		})
	}
	if resumed < 500 {
		t.Errorf("%d exchanges went on: the test does not test", resumed)
	}
}

// A path that is swapped for another in the middle, a definite answer, and the end of the user's
// patience.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(t, 50, -1)
		err := c.run(t.Context(), func(n int) {
			if n%10 == 5 { // a better connection, then the old one goes
				old := c.p.Conn
				c.p.Conn = streamtest.Connect(c.p.Caller, c.p.Server)
				old.Close()
			}
		})
		noError(t, err)
		c.check()
		if c.cuts != 5 || len(c.backs) != 5 || slices.Max(c.backs) > 200*time.Millisecond {
			t.Errorf("%d cuts, back after %v", c.cuts, c.backs)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(t, 50, -1)
		ctx, cancel := context.WithCancel(t.Context())
		err := c.run(ctx, func(n int) {
			if n == 5 { // for good
				c.p.Conn.Close()
				time.AfterFunc(time.Hour, cancel)
			}
		})
		if !errors.Is(err, context.Canceled) || c.cuts != 1 || len(c.backs) != 0 {
			t.Errorf("got %v, %d cuts, %v", err, c.cuts, c.backs)
		}
	})
	for name, refuse := range map[string]error{
		"forbidden":      streams.Errorf(streams.CodeForbidden, "revoked"),
		"not found":      streams.Errorf(streams.CodeNotFound, "no such workload"),
		"broken promise": streams.Errorf(streams.CodeInternal, "a fault"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, forMember())
				asked := 0
				err := streams.Resumption{}.Do(t.Context(), p.Client, p.Server.ID(), func(_ context.Context, goesOn func()) error {
					if asked++; asked < 3 {
						goesOn()
						return streams.Errorf(streams.CodeUnavailable, "stopping")
					}
					return refuse
				})
				if err != refuse || asked != 3 {
					t.Errorf("ended after %d attempts with %v", asked, err)
				}
			})
		})
	}
}

// What was not begun is not tried again: a machine that is off is told at once.
func TestResumeNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(t, 5, -1)
		c.p.Conn.Close()
		began := time.Now()
		if err := c.run(t.Context(), func(int) {}); !errors.Is(err, streams.ErrUnreachable) || time.Since(began) > 0 || c.cuts > 0 {
			t.Errorf("got %v after %v, %d cuts", err, time.Since(began), c.cuts)
		}
	})
}

// What another process has begun is tried from the first attempt on as if this one had.
func TestResumeBegunByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(t, 5, -1)
		c.begun = true
		c.p.Conn.Close()
		time.AfterFunc(time.Minute, func() { c.p.Conn = streamtest.Connect(c.p.Caller, c.p.Server) })
		noError(t, c.run(t.Context(), func(int) {}))
		c.check()
		if c.cuts != 1 || !slices.Equal(c.backs, []time.Duration{time.Minute}) {
			t.Errorf("%d cuts, back after %v", c.cuts, c.backs)
		}
	})
}

// An attempt that hangs on a connection which nobody has found dead is given up. Pauses grow, are
// bounded, and begin anew once the peer takes part again.
func TestResumePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forMember())
		var pauses []time.Duration
		last, asked := time.Now(), 0
		err := streams.Resumption{}.Do(t.Context(), p.Client, p.Server.ID(), func(ctx context.Context, goesOn func()) error {
			asked++
			if pauses = append(pauses, time.Since(last)); asked == 1 || asked == 12 {
				goesOn()
			}
			if asked == 2 {
				<-ctx.Done()
				last = time.Now()
				return ctx.Err()
			}
			last = time.Now()
			if asked == 14 {
				return nil
			}
			return streams.Errorf(streams.CodeUnavailable, "stopping")
		})
		noError(t, err)
		for i, d := range pauses[1:] {
			most := min(200*time.Millisecond<<(i%11), 5*time.Second)
			if d < most/2 || d > most {
				t.Errorf("pause %d is %v, want %v to %v", i+1, d, most/2, most)
			}
		}
	})
}
