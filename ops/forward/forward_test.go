package forward

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	overTCP  = "/ip4/127.0.0.1/tcp/0"
	overQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// within waits until ok, for 20 s at most.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

func newHost(t testing.TB, listen string) host.Host {
	t.Helper()
	rm, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
	must(t, err)
	h, err := libp2p.New(libp2p.ListenAddrStrings(listen), libp2p.ResourceManager(rm), libp2p.DisableMetrics())
	must(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

// site is a worker with its service, and a controller.
type site struct {
	worker, laptop host.Host
	client         *streams.Client
	mux            *streams.Mux
	denied         atomic.Pointer[error]
	mu             sync.Mutex
	ended          []Connection // guarded by mu
	audited        []string     // guarded by mu
}

// newSite returns one whose owner allows these targets; without any, all.
func newSite(t testing.TB, transport string, targets ...string) *site {
	t.Helper()
	s := &site{worker: newHost(t, transport), laptop: newHost(t, transport)}
	s.mux = streams.NewMux(s.worker, streams.Config{
		Authorize: func(context.Context, streams.Peer, streams.Verb) error { return nil },
		Member:    func(peer.ID) bool { return true },
		Limits:    streams.Limits{Effect: streams.Rate{PerSecond: 1e6, Burst: 1e6}},
		Audit: func(_ context.Context, a streams.Audited) (func(error), error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.audited = append(s.audited, string(a.Type)+" "+a.Summary())
			return nil, nil
		},
	})
	serve(t, s.mux)
	service := New(Config{
		Allowed: func(target string) error {
			if err := s.denied.Load(); err != nil {
				return *err
			}
			if slices.Contains(targets, target) {
				return nil
			}
			if len(targets) == 0 {
				return nil
			}
			return errors.New("not in the list")
		},
		Ended: func(by peer.ID, c Connection) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended = append(s.ended, c)
		},
	})
	must(t, service.Register(s.mux))
	s.connect(t)
	return s
}

// connect makes a client of the controller.
func (s *site) connect(t testing.TB) {
	s.client = streams.NewClient(s.laptop, streams.Config{})
	t.Cleanup(func() { s.client.Close() })
	s.laptop.Peerstore().AddAddrs(s.worker.ID(), s.worker.Addrs(), peerstore.PermanentAddrTTL)
}

func serve(t testing.TB, m *streams.Mux) {
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// ends waits for so many connections to have ended on the worker.
func (s *site) ends(t testing.TB, n int) (out []Connection) {
	t.Helper()
	within(t, "connections end", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		out = append([]Connection(nil), s.ended...)
		return len(out) >= n
	})
	return out
}

// local forwards a port of this machine to a target, and returns its address and what failed.
func (s *site) local(t testing.TB, target string) (addr string, failed chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	failed = make(chan error, 1000)
	l := Local{
		Dial: func(ctx context.Context) (*streams.Conn, error) {
			return Open.Dial(ctx, s.client, s.worker.ID(), Request{target})
		},
		Failed: func(err error) { failed <- err },
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String(), failed
}

// listen has do serve each connection to an address of this machine.
func listen(t testing.TB, do func(c *net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				do(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { ln.Close(); running.Wait() })
	return ln.Addr().String()
}

func dialTCP(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c.(*net.TCPConn)
}

// refused is how a connection ends that has nothing to read: the reset may come before it is made.
func refused(t testing.TB, addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	n, err := c.Read(make([]byte, 1))
	if n > 0 {
		t.Error("there was something to read")
	}
	return err
}

func echo(c *net.TCPConn) {
	io.Copy(c, c)
	c.CloseWrite()
}

// Each side may end its bytes first and go on reading.
func TestHalfClose(t *testing.T) {
	for _, transport := range []string{overTCP, overQUIC} {
		t.Run(transport, func(t *testing.T) {
			asks := listen(t, func(c *net.TCPConn) { // answers when the question has ended
				b, err := io.ReadAll(c)
				if err == nil {
					c.Write(append(b, " answered"...))
				}
			})
			tells := listen(t, func(c *net.TCPConn) { // has said all, and listens
				io.WriteString(c, "hello")
				c.CloseWrite()
				b, err := io.ReadAll(c)
				if string(b) != "goodbye" || err != nil {
					t.Errorf("the target read %q, %v", b, err)
				}
			})
			s := newSite(t, transport)
			addr, _ := s.local(t, asks)
			c := dialTCP(t, addr)
			question := strings.Repeat("question ", 100_000)
			_, err := io.WriteString(c, question)
			must(t, err, c.CloseWrite())
			got, err := io.ReadAll(c)
			must(t, err)
			if string(got) != question+" answered" {
				t.Errorf("%d bytes came back", len(got))
			}
			addr, _ = s.local(t, tells)
			c = dialTCP(t, addr)
			got, err = io.ReadAll(c)
			must(t, err)
			_, err = io.WriteString(c, "goodbye")
			must(t, err, c.Close())
			if string(got) != "hello" {
				t.Errorf("read %q", got)
			}
			e := s.ends(t, 2)
			if e[0].In != int64(len(question)) || e[0].Out != int64(len(question)+9) || e[0].Err != nil || e[1].In != 7 || e[1].Out != 5 || e[1].Err != nil {
				t.Errorf("ended: %v %v", e[0], e[1])
			}
			if want := "forward target=" + asks; s.audited[0] != want {
				t.Errorf("audited %q, want %q", s.audited, want)
			}
		})
	}
}

func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// A reset of one side is one of the other side, also while neither reads.
func TestResets(t *testing.T) {
	for _, transport := range []string{overTCP, overQUIC} {
		t.Run(transport, func(t *testing.T) {
			s := newSite(t, transport)
			ours := listen(t, func(c *net.TCPConn) {
				io.WriteString(c, "x")
				io.ReadFull(c, make([]byte, 1))
				c.SetLinger(0)
			})
			addr, _ := s.local(t, ours)
			c := dialTCP(t, addr)
			_, err := io.WriteString(c, "x")
			must(t, err)
			if _, err = io.ReadAll(c); !isReset(err) {
				t.Errorf("after a reset of the target: %v", err)
			}
			told := make(chan error, 1)
			addr, _ = s.local(t, listen(t, func(c *net.TCPConn) {
				io.WriteString(c, "x")
				_, err := io.ReadAll(c)
				told <- err
			}))
			c = dialTCP(t, addr)
			_, err = io.ReadFull(c, make([]byte, 1))
			must(t, err, c.SetLinger(0), c.Close())
			if err := <-told; !isReset(err) {
				t.Errorf("after a reset of the asker: %v", err)
			}
			if e := s.ends(t, 2); e[0].Err == nil || e[1].Err == nil || !strings.HasPrefix(e[1].String(), "reset after ") {
				t.Errorf("ended: %v %v", e[0], e[1])
			}
		})
	}
}

// A target that takes nothing does not keep what the asker has given up, nor an asker who takes nothing
// what the target has.
func TestResetOfWhatStalls(t *testing.T) {
	for _, transport := range []string{overTCP, overQUIC} {
		t.Run(transport, func(t *testing.T) {
			s := newSite(t, transport)
			over := make(chan struct{})
			addr, _ := s.local(t, listen(t, func(c *net.TCPConn) { <-over }))
			c := dialTCP(t, addr)
			fill(t, c)
			must(t, c.SetLinger(0), c.Close())
			if e := s.ends(t, 1); e[0].Err == nil {
				t.Errorf("the asker left: %v", e[0])
			}
			close(over)
			addr, _ = s.local(t, listen(t, func(c *net.TCPConn) {
				fill(t, c)
				c.SetLinger(0)
			}))
			c = dialTCP(t, addr)
			if e := s.ends(t, 2); e[1].Err == nil {
				t.Errorf("the target left: %v", e[1])
			}
			if n, err := io.Copy(io.Discard, c); !isReset(err) {
				t.Errorf("the asker read %d bytes, %v", n, err)
			}
		})
	}
}

// fill writes until nothing more is taken for a while.
func fill(t testing.TB, c *net.TCPConn) {
	for {
		c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := c.Write(make([]byte, 256<<10)); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("fill: %v", err)
			}
			c.SetDeadline(time.Time{})
			return
		}
	}
}

// A pause of one side for longer than the looks after the other one costs no byte, either way.
func TestStallLosesNothing(t *testing.T) {
	const size = 24 << 20
	for _, transport := range []string{overTCP, overQUIC} {
		t.Run(transport, func(t *testing.T) {
			s := newSite(t, transport)
			sum := make(chan [32]byte, 1)
			addr, _ := s.local(t, listen(t, func(c *net.TCPConn) {
				var sending sync.WaitGroup
				sending.Go(func() { pour(c, size); c.CloseWrite() })
				defer sending.Wait()
				<-time.After(2*lookEvery + lookEvery/2) // the pause that is tested
				sum <- hash(t, c, size)
			}))
			c := dialTCP(t, addr)
			var sending sync.WaitGroup
			sending.Go(func() { pour(c, size); c.CloseWrite() })
			<-time.After(3*lookEvery + lookEvery/2)
			got := hash(t, c, size)
			sending.Wait()
			want := sha256.New()
			pour(want, size)
			if theirs := <-sum; !bytes.Equal(got[:], want.Sum(nil)) || theirs != got {
				t.Errorf("what arrived is not what was sent")
			}
		})
	}
}

// pour writes the same n bytes each time.
func pour(w io.Writer, n int) {
	r := rand.NewChaCha8([32]byte{1})
	io.CopyN(w, r, int64(n))
}

func hash(t testing.TB, r io.Reader, want int) (sum [32]byte) {
	h := sha256.New()
	if n, err := io.Copy(h, r); err != nil || n != int64(want) {
		t.Errorf("%d bytes arrived, %v; want %d", n, err, want)
	}
	h.Sum(sum[:0])
	return sum
}

// 100 connections at once, of which some stall and some are reset, hold up none of the others, and leave
// nothing behind.
func TestParallel(t *testing.T) {
	s := newSite(t, overTCP)
	over := make(chan struct{}, 1)
	addr, failed := s.local(t, listen(t, func(c *net.TCPConn) {
		var kind [1]byte
		io.ReadFull(c, kind[:])
		switch kind[0] {
		case 's': // takes nothing
			<-over
			over <- struct{}{}
		case 'r':
			c.SetLinger(0)
		default:
			echo(c)
		}
	}))
	exchange(t, dialTCP(t, addr), 0) // connects the machines
	s.ends(t, 1)
	base := sockets()
	for range 2 {
		var stalled, others sync.WaitGroup
		for i := range MostPerPeer {
			c := dialTCP(t, addr)
			if i%20 == 0 {
				stalled.Go(func() { stall(c) })
			} else {
				others.Go(func() { exchange(t, c, i) })
			}
		}
		others.Wait()
		over <- struct{}{}
		stalled.Wait()
		<-over
	}
	for range len(failed) {
		t.Error(<-failed)
	}
	s.ends(t, 1+2*MostPerPeer)
	within(t, "all sockets are closed", func() bool { return sockets() <= base })
}

// stall sends what is not taken until the other side leaves.
func stall(c *net.TCPConn) {
	defer c.Close()
	io.WriteString(c, "s")
	c.Write(make([]byte, 32<<20))
}

// exchange sends what comes back, or has the connection reset by either side.
func exchange(t *testing.T, c *net.TCPConn, i int) {
	defer c.Close()
	switch i % 10 {
	case 1:
		io.WriteString(c, "r")
		if _, err := io.ReadAll(c); !isReset(err) {
			t.Errorf("%d: %v", i, err)
		}
	case 2:
		io.WriteString(c, "e some")
		io.ReadFull(c, make([]byte, 4))
		c.SetLinger(0)
	default:
		text := strings.Repeat(fmt.Sprint(i, " "), 20_000)
		var sending sync.WaitGroup
		sending.Go(func() { io.WriteString(c, "e"+text); c.CloseWrite() })
		if got, err := io.ReadAll(c); err != nil || string(got) != text {
			t.Errorf("%d: %d bytes of %d, %v", i, len(got), len(text), err)
		}
		sending.Wait()
	}
}

// sockets is how many are open, 0 where the system does not tell. (Go keeps pipes for io.Copy.)
func sockets() (n int) {
	all, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range all {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// So many connections are open at a time, of one peer and of all, and not one more.
func TestLimits(t *testing.T) {
	s := newSite(t, overTCP)
	target := listen(t, echo)
	open := func(s *site) (*streams.Conn, error) {
		c, err := Open.Dial(t.Context(), s.client, s.worker.ID(), Request{target})
		if err == nil {
			t.Cleanup(func() { c.Close() })
			// It is on the way at the target, too.
			_, err = c.Write([]byte("x"))
			must(t, err)
			_, err = io.ReadFull(c, make([]byte, 1))
			must(t, err)
		}
		return c, err
	}
	var last *streams.Conn
	for i := 0; i < Most; {
		other := &site{worker: s.worker, laptop: newHost(t, overTCP)}
		other.connect(t)
		n := min(MostPerPeer, Most-i)
		for range n {
			c, err := open(other)
			must(t, err)
			last = c
		}
		if _, err := open(other); !errors.Is(err, streams.ErrTooMany) {
			t.Errorf("one more than %d: %v", n, err)
		}
		i += n
	}
	if _, err := open(s); !errors.Is(err, streams.ErrTooMany) {
		t.Errorf("one more than %d: %v", Most, err)
	}
	must(t, last.Reset())
	within(t, "there is room for one", func() bool { _, err := open(s); return err == nil })
	if _, err := open(s); !errors.Is(err, streams.ErrTooMany) {
		t.Errorf("one more again: %v", err)
	}
}

// On this side so many are passed on, and the next one is reset.
func TestLocalLimit(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var dialling atomic.Int64
	failed := make(chan error, 1)
	l := Local{
		Dial:   func(ctx context.Context) (*streams.Conn, error) { dialling.Add(1); <-ctx.Done(); return nil, ctx.Err() },
		Failed: func(err error) { failed <- err },
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx, ln) }()
	for range MostLocal {
		dialTCP(t, ln.Addr().String())
	}
	within(t, "all are passed on", func() bool { return dialling.Load() == MostLocal })
	if err := refused(t, ln.Addr().String()); !isReset(err) {
		t.Errorf("one more: %v", err)
	}
	if err := <-failed; !strings.Contains(err.Error(), "256") {
		t.Error(err)
	}
	stop()
	must(t, <-served)
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("it listens still")
	}
}

// Only what the owner has listed is connected to, in this very spelling, and only as long.
func TestOwnersList(t *testing.T) {
	var touched atomic.Int64
	target := listen(t, func(c *net.TCPConn) { touched.Add(1); echo(c) })
	_, port, err := net.SplitHostPort(target)
	must(t, err)
	s := newSite(t, overTCP, target, "localhost:"+port)
	for text, want := range map[string]error{
		"127.0.0.1:1":           streams.ErrRefused,
		"127.0.0.2:" + port:     streams.ErrRefused,
		"[::1]:" + port:         streams.ErrRefused,
		"0.0.0.0:" + port:       streams.ErrInvalid,
		"0:" + port:             streams.ErrInvalid,
		"127.1:" + port:         streams.ErrInvalid,
		"2130706433:" + port:    streams.ErrInvalid,
		"localhost.:" + port:    streams.ErrInvalid,
		"LOCALHOST:" + port:     streams.ErrInvalid,
		" 127.0.0.1:" + port:    streams.ErrInvalid,
		"127.0.0.1:0" + port:    streams.ErrInvalid,
		":" + port:              streams.ErrInvalid,
		"[::]:" + port:          streams.ErrInvalid,
		"127.0.0.1\x00:" + port: streams.ErrInvalid,
		"":                      streams.ErrInvalid,

		"[::ffff:127.0.0.1]:" + port: streams.ErrInvalid,
	} {
		for range 2 {
			if c, err := Open.Dial(t.Context(), s.client, s.worker.ID(), Request{text}); !errors.Is(err, want) {
				t.Errorf("%q: got %v, want %v", text, err, want)
				if c != nil {
					c.Close()
				}
			}
			if _, err := Check.Do(t.Context(), s.client, s.worker.ID(), Request{text}); !errors.Is(err, want) {
				t.Errorf("check %q: got %v, want %v", text, err, want)
			}
		}
	}
	if n := touched.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	for _, text := range []string{target, "localhost:" + port} {
		_, err := Check.Do(t.Context(), s.client, s.worker.ID(), Request{text})
		must(t, err)
		c, err := Open.Dial(t.Context(), s.client, s.worker.ID(), Request{text})
		must(t, err)
		defer c.Close()
		if text == target {
			continue
		}
		no := errors.New("not any more")
		s.denied.Store(&no)
		began := time.Now()
		if _, err := io.ReadAll(c); err == nil || time.Since(began) > 10*time.Second {
			t.Errorf("it is open although it is forbidden: %v after %v", err, time.Since(began))
		}
		if _, err := Open.Dial(t.Context(), s.client, s.worker.ID(), Request{text}); !errors.Is(err, streams.ErrRefused) || !strings.Contains(err.Error(), "not any more") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := Check.Do(t.Context(), s.client, s.worker.ID(), Request{target}); !errors.Is(err, streams.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

// Why there is no connection is told, and the asker's is reset.
func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err, ln.Close())
	s := newSite(t, overTCP)
	for target, want := range map[string]string{
		ln.Addr().String():        "404: nothing listens at " + ln.Addr().String() + " on that machine (connection refused)",
		strings.Repeat("x", 9000): "payload",
	} {
		addr, failed := s.local(t, target)
		if err := refused(t, addr); !isReset(err) {
			t.Errorf("%.80s: %v", target, err)
		}
		if err := <-failed; !strings.Contains(err.Error(), want) || len(err.Error()) > 1000 {
			t.Errorf("%.80s: got %v, want %s", target, err, want)
		}
	}
	if New(Config{}).allowed("127.0.0.1:80") == nil {
		t.Error("without a list there is one")
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{IsNotFound: true}, "404: the machine knows no address for x:1"},
		{&net.DNSError{IsTimeout: true}, "408: x:1 did not answer the machine within 10s"},
		{&net.OpError{Err: os.ErrDeadlineExceeded}, "408: x:1 did not answer the machine within 10s"},
		{&net.OpError{Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, "404: the machine cannot connect to x:1: no route to host"},
		{errors.New("/etc/secret"), "404: the machine cannot connect to x:1"},
	} {
		if got := dialError("x:1", tt.err).Error(); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}

// A lost link resets what is open, and what comes later goes over the next one.
func TestLinkIsLost(t *testing.T) {
	s := newSite(t, overTCP)
	told := make(chan error, 2)
	addr, failed := s.local(t, listen(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 1))
		io.WriteString(c, "x")
		_, err := io.ReadAll(c)
		told <- err
	}))
	for range 2 {
		c := dialTCP(t, addr)
		_, err := io.WriteString(c, "x")
		must(t, err)
		_, err = io.ReadFull(c, make([]byte, 1))
		must(t, err, s.laptop.Network().ClosePeer(s.worker.ID()))
		if _, err := io.ReadAll(c); !isReset(err) {
			t.Errorf("the asker: %v", err)
		}
		if err := <-told; !isReset(err) {
			t.Errorf("the target: %v", err)
		}
		if len(failed) > 0 {
			t.Error(<-failed)
		}
	}
}

// A worker that breaks the rules gets no further than a connection that is reset.
func TestHostileWorker(t *testing.T) {
	worker := newHost(t, overTCP)
	answers := map[string]string{
		"garbage": "HTTP/1.1 200 OK\r\n\r\n", "nothing": "", "a frame of zero bytes": "\x00\x00\x00\x00", "a huge frame": "\xff\xff\xff\xff{}",
		"no JSON": "\x00\x00\x00\x02{]", "another type": "\x00\x00\x00\x02{}",
	}
	s := &site{worker: worker, laptop: newHost(t, overTCP)}
	s.connect(t)
	addr, failed := s.local(t, "127.0.0.1:80")
	for name, answer := range answers {
		worker.SetStreamHandler(Family().ProtocolID(), func(st network.Stream) {
			io.WriteString(st, answer)
			st.CloseWrite()
			io.Copy(io.Discard, st)
		})
		if err := refused(t, addr); !isReset(err) {
			t.Errorf("%s: %v", name, err)
		}
		if err := <-failed; streams.CodeOf(err) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An end of ctx resets all, on both sides.
func TestServeEnds(t *testing.T) {
	s := newSite(t, overTCP)
	target := listen(t, echo)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	l := Local{Dial: func(ctx context.Context) (*streams.Conn, error) {
		return Open.Dial(ctx, s.client, s.worker.ID(), Request{target})
	}}
	go func() { served <- l.Serve(ctx, ln) }()
	c := dialTCP(t, ln.Addr().String())
	_, err = io.WriteString(c, "x")
	must(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	must(t, err)
	stop()
	must(t, <-served)
	if _, err := io.ReadAll(c); !isReset(err) {
		t.Error(err)
	}
	s.ends(t, 1)
}
