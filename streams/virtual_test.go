package streams_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// The tests in this file run in virtual time, with the default limits.

type text struct {
	Text string `json:"text"`
	Size int64  `json:"size,omitzero"`
}

func (t text) UploadSize() int64 { return t.Size }

var (
	family = streams.Family{Name: "virtual", Versions: []string{"1.0.0"}}
	read   = streams.Call[text, text]{family, "read", "read_ack", streams.VerbStatsRead}
	ask    = streams.Call[text, text]{family, "ask", "ask_ack", streams.VerbPublic}
	work   = streams.Call[text, text]{family, "work", "work_ack", streams.VerbRun}
	follow = streams.Feed[text, text]{family, "follow", "followed", streams.VerbLogsRead}
	run    = streams.Feed[text, text]{family, "run", "ran", streams.VerbRun}
	send   = streams.Upload[text, text]{streams.Family{Name: "send", Versions: []string{"1.0.0"}}, "send", "send_ack", streams.VerbDeploy}
)

// forMember lets everyone in as a member.
func forMember() streams.Config {
	return streams.Config{
		Authorize: func(context.Context, streams.Peer, streams.Verb) error { return nil },
		Member:    func(peer.ID) bool { return true },
	}
}

// forStranger lets a stranger do everything.
func forStranger() streams.Config {
	cfg := forMember()
	cfg.Member = nil
	return cfg
}

// newPipe returns a pipe that is closed with the test.
func newPipe(t *testing.T, serve streams.Config) *streamtest.Pipe {
	t.Helper()
	p := streamtest.New(streamtest.PeerID("server"), streamtest.PeerID("caller"), serve, streams.Config{})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func echoed(_ context.Context, _ streams.Peer, v text) (text, error) { return v, nil }

func noError(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// rawStream is a caller's stream without the client.
type rawStream struct {
	t *testing.T
	network.Stream
	*bufio.Reader
	self peer.ID
}

func openRaw(t *testing.T, p *streamtest.Pipe, f streams.Family) *rawStream {
	t.Helper()
	s, err := p.Caller.NewStream(t.Context(), p.Server.ID(), f.ProtocolID())
	noError(t, err)
	t.Cleanup(func() { s.Reset() })
	return &rawStream{t, s, bufio.NewReader(s), p.Caller.ID()}
}

func (r *rawStream) Read(b []byte) (int, error) { return r.Reader.Read(b) }

// frame returns a request as it is on the wire.
func (r *rawStream) frame(typ streams.Type, payload any) []byte {
	r.t.Helper()
	m, err := streams.NewMessage(r.self, typ, payload)
	noError(r.t, err)
	b, err := m.MarshalJSON()
	noError(r.t, err)
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}

func (r *rawStream) put(b []byte) {
	r.t.Helper()
	_, err := r.Write(b)
	noError(r.t, err)
}

// answer returns the code of the next message, 0 for one that is no error.
func (r *rawStream) answer() (streams.Code, string) {
	r.t.Helper()
	m := readMessage(r.t, r.Reader)
	if m.Type != "error" {
		return 0, ""
	}
	var e streams.Error
	noError(r.t, m.ParsePayload(&e))
	return e.Code, e.Message
}

// endsAfter checks that the peer ends the stream after d, without a word.
func (r *rawStream) endsAfter(d time.Duration) {
	r.t.Helper()
	began := time.Now()
	if _, err := r.ReadByte(); err != io.EOF || time.Since(began) != d {
		r.t.Errorf("the stream ended with %v after %v, want EOF after %v", err, time.Since(began), d)
	}
}

func TestSilentStreamsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forMember())
		noError(t, read.Handle(p.Mux, echoed))
		openRaw(t, p, family).endsAfter(10 * time.Second)

		r := openRaw(t, p, family)
		time.Sleep(9 * time.Second)
		r.put(r.frame("read", text{Text: "x"}))
		if code, words := r.answer(); code != 0 {
			t.Fatal(code, words)
		}
		r.endsAfter(5 * time.Minute)
	})
}

// Where there are members, a stranger's streams are not kept: it has few, and several processes may share them. Where there
// are none, everybody's are.
func TestStrangersStreamsAreNotKept(t *testing.T) {
	stranger := forMember()
	stranger.Member = func(peer.ID) bool { return false }
	for name, tc := range map[string]struct {
		cfg  streams.Config
		kept time.Duration
	}{
		"stranger among members": {stranger, time.Second},
		"nobody is a member":     {forStranger(), 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, tc.cfg)
				noError(t, read.Handle(p.Mux, echoed))
				r := openRaw(t, p, family)
				r.put(r.frame("read", text{Text: "x"}))
				if code, words := r.answer(); code != 0 {
					t.Fatal(code, words)
				}
				r.endsAfter(tc.kept)
			})
		})
	}
}

func TestKeptStreamsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forMember())
		noError(t, read.Handle(p.Mux, echoed))
		open := func() int { return len(p.Conn.GetStreams()) }
		for range 3 {
			_, err := read.Do(t.Context(), p.Client, p.Server.ID(), text{})
			noError(t, err)
			time.Sleep(4*time.Minute + 29*time.Second) // each use begins the wait anew
			if open() != 1 {
				t.Fatalf("%d streams are kept, want 1", open())
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if open() != 0 {
			t.Error("the stream is still kept after 4.5 minutes")
		}
	})
}

func TestHeaderDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forMember())
		noError(t, read.Handle(p.Mux, echoed))
		r := openRaw(t, p, family)
		frame := r.frame("read", text{Text: "x"})
		for i := range 4 { // four seconds are not too slow
			time.Sleep(time.Second)
			r.put(frame[i*10 : (i+1)*10])
		}
		r.put(frame[40:])
		if code, words := r.answer(); code != 0 {
			t.Fatal(code, words)
		}
		began := time.Now()
		r.put(frame[:50])
		if code, _ := r.answer(); code != streams.CodeTimeout || time.Since(began) != 5*time.Second {
			t.Errorf("got %d after %v, want 408 after 5s", code, time.Since(began))
		}
		r.CloseWrite()
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

func TestDrainInTime(t *testing.T) {
	tests := []struct {
		name    string
		handler time.Duration // how long it takes
		heeds   bool          // its context
		served  time.Duration // when Serve returns
		ok      bool          // with no error
		answer  error
	}{
		{"short", 3 * time.Second, false, 3 * time.Second, true, nil},
		{"long", time.Hour, true, 5 * time.Second, true, streams.ErrUnavailable},
		{"deaf", time.Minute, false, 10 * time.Second, false, streams.ErrUnavailable},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, caller := streamtest.NewHost(streamtest.PeerID("server")), streamtest.NewHost(streamtest.PeerID("caller"))
				defer server.Close()
				defer caller.Close()
				streamtest.Connect(caller, server)
				mux, client := streams.NewMux(server, forMember()), streams.NewClient(caller, streams.Config{})
				defer client.Close()
				noError(t, work.Handle(mux, func(ctx context.Context, _ streams.Peer, v text) (text, error) {
					if !tc.heeds {
						ctx = context.Background()
					}
					select {
					case <-time.After(tc.handler):
						return v, nil
					case <-ctx.Done():
						return v, ctx.Err()
					}
				}))
				ctx, stop := context.WithCancel(t.Context())
				answered := make(chan error, 1)
				go func() {
					_, err := work.Do(t.Context(), client, server.ID(), text{})
					answered <- err
				}()
				synctest.Wait()
				began := time.Now()
				stop()
				if err := mux.Serve(ctx); (err == nil) != tc.ok || time.Since(began) != tc.served {
					t.Errorf("Serve returned %v after %v, want it after %v", err, time.Since(began), tc.served)
				}
				if err := <-answered; !errors.Is(err, tc.answer) {
					t.Errorf("the caller got %v, want %v", err, tc.answer)
				}
				time.Sleep(tc.handler) // let the deaf one end
			})
		})
	}
}

func TestRatesRefill(t *testing.T) {
	tests := []struct {
		name  string
		cfg   streams.Config
		call  streams.Call[text, text]
		burst int
		rate  int
	}{
		{"a stranger's reads", forStranger(), read, 20, 5},
		{"a stranger's effects", forStranger(), work, 20, 5},
		{"a stranger's public requests", forStranger(), ask, 20, 5},
		{"a member's effects", forMember(), work, 500, 50},
		{"a member's public requests", forMember(), ask, 100, 20},
		{"a member's reads", forMember(), read, 400, 200},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.cfg.Limits.RefusePause = 1 // the bucket would fill meanwhile
				p := newPipe(t, tc.cfg)
				noError(t, read.Handle(p.Mux, echoed), work.Handle(p.Mux, echoed), ask.Handle(p.Mux, echoed))
				// succeed counts the calls until one is refused.
				succeed := func() (n int) {
					for ; ; n++ {
						_, err := tc.call.Do(t.Context(), p.Client, p.Server.ID(), text{})
						if errors.Is(err, streams.ErrTooMany) {
							return n
						}
						noError(t, err)
					}
				}
				if n := succeed(); n != tc.burst {
					t.Errorf("%d at once, want %d", n, tc.burst)
				}
				for range 3 {
					time.Sleep(time.Second)
					if n := succeed(); n != tc.rate {
						t.Errorf("%d in a second, want %d", n, tc.rate)
					}
				}
				time.Sleep(time.Hour)
				if n := succeed(); n != tc.burst {
					t.Errorf("%d after an hour, want %d", n, tc.burst)
				}
			})
		})
	}
}

func TestStreamsOfAPeer(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cfg   streams.Config
		limit int
	}{{"stranger", forStranger(), 4}, {"member", forMember(), 128}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, tc.cfg)
				noError(t, read.Handle(p.Mux, echoed))
				var held []*rawStream
				for range tc.limit {
					held = append(held, openRaw(t, p, family))
				}
				synctest.Wait()
				if _, err := read.Do(t.Context(), p.Client, p.Server.ID(), text{}); !errors.Is(err, streams.ErrTooMany) {
					t.Errorf("stream %d: got %v, want 429", tc.limit+1, err)
				}
				held[0].Close()
				synctest.Wait()
				if _, err := read.Do(t.Context(), p.Client, p.Server.ID(), text{}); err != nil {
					t.Errorf("stream %d: %v", tc.limit, err)
				}
			})
		})
	}
}

// A receiver that does not read must not hold a handler for ever.
func TestFeedToAStalledReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forMember())
		ended := make(chan error, 1)
		noError(t, follow.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text, send func(text) error) (text, error) {
			for {
				if err := send(text{Text: strings.Repeat("x", 64<<10)}); err != nil {
					ended <- err
					return v, err
				}
			}
		}))
		r := openRaw(t, p, family)
		r.put(r.frame("follow", text{}))
		began := time.Now()
		if err := <-ended; err == nil || time.Since(began) != 30*time.Second {
			t.Errorf("the handler ended with %v after %v, want an error after 30s", err, time.Since(began))
		}
	})
}

func TestStalledUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forMember())
		noError(t, send.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text, body io.Reader) (text, error) {
			_, err := io.Copy(io.Discard, body)
			return v, err
		}))
		r := openRaw(t, p, send.Family)
		r.put(r.frame("send", text{Size: 4}))
		for _, b := range []byte("abc") { // slow is not stalled
			time.Sleep(29 * time.Second)
			r.put([]byte{b})
		}
		began := time.Now()
		if code, _ := r.answer(); code != streams.CodeTimeout || time.Since(began) != 30*time.Second {
			t.Errorf("got %d after %v, want 408 after 30s", code, time.Since(began))
		}
	})
}

// A call waits for its turn when ClientStreams calls are under way, and its context ends that wait.
func TestCallsWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forMember())
		noError(t, read.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text) (text, error) {
			time.Sleep(time.Minute)
			return v, nil
		}))
		began := time.Now()
		done := make(chan time.Duration, 65)
		for range 65 {
			go func() {
				_, err := read.Do(t.Context(), p.Client, p.Server.ID(), text{})
				if err != nil {
					t.Error(err)
				}
				done <- time.Since(began)
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := read.Do(ctx, p.Client, p.Server.ID(), text{}); !errors.Is(err, streams.ErrTimeout) {
			t.Errorf("a call that waits in vain got %v", err)
		}
		if n := len(p.Conn.GetStreams()); n != 64 {
			t.Errorf("%d streams are open, want 64", n)
		}
		late := 0
		for range 65 {
			if <-done > time.Minute {
				late++
			}
		}
		if late != 1 {
			t.Errorf("%d calls waited, want 1", late)
		}
	})
}

func TestRequestsMoveToABetterPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, caller := streamtest.NewHost(streamtest.PeerID("server")), streamtest.NewHost(streamtest.PeerID("caller"))
		defer server.Close()
		defer caller.Close()
		mux, client := streams.NewMux(server, forMember()), streams.NewClient(caller, streams.Config{})
		defer client.Close()
		var limited []bool
		noError(t, read.Handle(mux, func(_ context.Context, p streams.Peer, v text) (text, error) {
			limited = append(limited, p.Conn.Stat().Limited)
			return v, nil
		}))
		call := func() {
			_, err := read.Do(t.Context(), client, server.ID(), text{})
			noError(t, err)
		}
		relay := streamtest.ConnectLimited(caller, server)
		call()
		streamtest.Connect(caller, server)
		call()
		synctest.Wait()
		if len(limited) != 2 || !limited[0] || limited[1] {
			t.Errorf("the calls went over limited connections: %v, want true, false", limited)
		}
		if n := len(relay.GetStreams()); n != 0 {
			t.Errorf("%d streams are kept on the relay", n)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		noError(t, mux.Serve(ctx))
	})
}

// Two requests with one ID at the same time have one effect and the same answer.
func TestRepeatedAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forMember())
		runs := 0
		noError(t, work.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text) (text, error) {
			runs++
			time.Sleep(time.Minute)
			return v, nil
		}))
		m, err := streams.NewMessage(p.Caller.ID(), "work", text{Text: "x"})
		noError(t, err)
		m.ID = uuid.New()
		b, err := m.MarshalJSON()
		noError(t, err)
		frame := append(binary.AppendUvarint(nil, uint64(len(b))), b...)
		var all []*rawStream
		for range 8 {
			r := openRaw(t, p, family)
			r.put(bytes.Clone(frame))
			all = append(all, r)
		}
		for _, r := range all {
			if code, words := r.answer(); code != 0 {
				t.Error(code, words)
			}
		}
		if runs != 1 {
			t.Errorf("%d effects, want 1", runs)
		}
	})
}

// A feed used to go on for as long as its receiver liked, whatever became of the right it was begun
// with.
func TestFeedEndsWithTheRight(t *testing.T) {
	tests := []struct {
		name string
		idle bool // sends nothing after the first item
		lost error
		code streams.Code
	}{
		{"a member without the right", false, streams.Errorf(streams.CodeForbidden, "not any more"), streams.CodeForbidden},
		{"no member any more", true, streams.Errorf(streams.CodeUnauthenticated, "expired"), streams.CodeUnauthenticated},
		{"cannot be judged", true, errors.New("disk"), streams.CodeForbidden},
		{"keeps its right", false, nil, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := forMember()
				began := time.Now()
				const taken = 34 * time.Second
				var asked atomic.Int64
				cfg.Authorize = func(context.Context, streams.Peer, streams.Verb) error {
					if asked.Add(1); time.Since(began) < taken {
						return nil
					}
					return tc.lost
				}
				p := newPipe(t, cfg)
				noError(t, follow.Handle(p.Mux, func(ctx context.Context, _ streams.Peer, v text, send func(text) error) (text, error) {
					for {
						if err := send(v); err != nil {
							return v, err
						}
						wait := time.Second
						if tc.idle {
							wait = time.Hour
						}
						select {
						case <-ctx.Done():
							return v, nil // as a handler that ends in peace
						case <-time.After(wait):
						}
						if time.Since(began) > time.Minute {
							return v, nil
						}
					}
				}))
				var last error
				for _, err := range follow.Do(t.Context(), p.Client, p.Server.ID(), text{}) {
					last = err
				}
				if streams.CodeOf(last) != tc.code {
					t.Errorf("it ended with %v, want %d", last, tc.code)
				}
				if took := time.Since(began); tc.lost != nil && took != 40*time.Second || tc.lost == nil && took < time.Minute {
					t.Errorf("it ended after %v", took)
				}
				if most := 1 + int64(time.Since(began)/(10*time.Second)); asked.Load() > most {
					t.Errorf("the right was asked for %d times, want %d at most", asked.Load(), most)
				}
			})
		})
	}
}

// slowly reads one byte of a body a second, as far as they are wanted.
type slowly struct{ left int }

func (s *slowly) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	time.Sleep(time.Second)
	b[0] = 'x'
	return 1, nil
}

// An upload used to be taken to its end, which a slow sender puts off for hours, whatever became of
// the right it was begun with.
func TestUploadEndsWithTheRight(t *testing.T) {
	for _, tc := range []struct {
		name string
		lost error
		code streams.Code
	}{
		{"a member without the right", streams.Errorf(streams.CodeForbidden, "not any more"), streams.CodeForbidden},
		{"keeps its right", nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := forMember()
				began := time.Now()
				const taken, size = 34 * time.Second, 100
				cfg.Authorize = func(context.Context, streams.Peer, streams.Verb) error {
					if time.Since(began) < taken {
						return nil
					}
					return tc.lost
				}
				p := newPipe(t, cfg)
				var placed time.Duration
				noError(t, send.Handle(p.Mux, func(ctx context.Context, _ streams.Peer, v text, body io.Reader) (text, error) {
					defer context.AfterFunc(ctx, func() { body.(interface{ CloseRead() error }).CloseRead() })()
					if _, err := io.Copy(io.Discard, body); err != nil {
						return v, fmt.Errorf("what arrived is not used: %w", err)
					}
					placed = time.Since(began)
					return v, nil
				}))
				_, err := send.Do(t.Context(), p.Client, p.Server.ID(), text{Size: size}, &slowly{size})
				if streams.CodeOf(err) != tc.code || tc.code == 0 && err != nil {
					t.Errorf("it ended with %v, want %d", err, tc.code)
				}
				if (placed > 0) != (tc.lost == nil) {
					t.Errorf("what was sent was used after %v", placed)
				}
			})
		})
	}
}

// A member reads, and keeps its connection alive, as fast as anybody has need to, and a member that
// asks without end waits.
func TestMembersReadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := forMember()
		cfg.Limits.Read = streams.Rate{PerSecond: 200, Burst: 400} // the defaults
		p := newPipe(t, cfg)
		noError(t, read.Handle(p.Mux, echoed), streams.Ping.Handle(p.Mux, func(_ context.Context, _ streams.Peer, r streams.PingRequest) (streams.Pong, error) {
			return r.Answer(), nil
		}))
		ping := func() error {
			_, err := streams.Ping.Do(t.Context(), p.Client, p.Server.ID(), streams.PingRequest{})
			return err
		}
		get := func() error {
			_, err := read.Do(t.Context(), p.Client, p.Server.ID(), text{})
			return err
		}
		for _, ask := range []func() error{ping, get} { // each has its own rate
			for range 400 {
				noError(t, ask())
			}
			began := time.Now()
			if err := ask(); !errors.Is(err, streams.ErrTooMany) {
				t.Errorf("one more: got %v, want 429", err)
			}
			if took := time.Since(began); took != time.Second {
				t.Errorf("it was refused after %v", took)
			}
		}
		time.Sleep(time.Second)
		for range 200 {
			noError(t, ping(), get())
		}
	})
}

// code returns what comes of a frame: the code of the answer, or 429 and true for a reset that says
// so.
func (r *rawStream) code() (streams.Code, bool) {
	r.t.Helper()
	if _, err := r.Peek(1); err != nil {
		var reset *network.StreamError
		if !errors.As(err, &reset) || reset.ErrorCode != network.StreamRateLimited {
			r.t.Fatalf("the stream ended with %v", err)
		}
		return streams.CodeTooMany, true
	}
	code, _ := r.answer()
	return code, false
}

// A stranger that went on over its rate had all it sent read, decoded and answered.
func TestStrangerOverItsRateIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forStranger())
		noError(t, read.Handle(p.Mux, echoed))
		const burst, beyond = 20, 21
		r := openRaw(t, p, family)
		for i := range burst + beyond + 1 {
			r.put(r.frame("read", text{}))
			code, reset := r.code()
			if want := i >= burst; (code == streams.CodeTooMany) != want || reset != (i == burst+beyond) {
				t.Fatalf("request %d: code %d, reset %v", i+1, code, reset)
			}
		}
		again := openRaw(t, p, family)
		again.put(again.frame("read", text{}))
		if _, reset := again.code(); !reset {
			t.Error("on another stream it is read again")
		}
		time.Sleep(time.Second)
		later := openRaw(t, p, family)
		later.put(later.frame("read", text{}))
		if code, reset := later.code(); code != 0 || reset {
			t.Errorf("a second later: %d, reset %v", code, reset)
		}
	})
}

// Large frames are for members, in every family, and the largest one of a stranger counts as two
// requests.
func TestStrangersFramesAreBounded(t *testing.T) {
	papers := streams.Family{Name: "papers", Versions: []string{"1.0.0"}}
	put := streams.Call[text, text]{papers, "put", "put_ack", streams.VerbPublic}
	sized := func(r *rawStream, typ streams.Type, n int) []byte {
		b := r.frame(typ, text{})
		_, k := binary.Uvarint(b)
		b = b[k:] // without its length
		at := bytes.Index(b, []byte(`"text":"`)) + len(`"text":"`)
		return slices.Concat(binary.AppendUvarint(nil, uint64(n)), b[:at], bytes.Repeat([]byte("x"), n-len(b)), b[at:])
	}
	tests := []struct {
		name  string
		cfg   streams.Config
		typ   streams.Type
		fam   streams.Family
		sizes []int
		codes []streams.Code
		reset bool // the last one
	}{
		{"a stranger's", forStranger(), "read", family, []int{64 << 10, 64<<10 + 1}, []streams.Code{0, streams.CodeTooLarge}, false},
		{"a stranger's public", forStranger(), "put", papers, []int{64 << 10, 64<<10 + 1}, []streams.Code{0, streams.CodeTooLarge}, false},
		{"a member's", forMember(), "read", family, []int{1 << 20, 1 << 20, 1 << 20}, []streams.Code{0, 0, 0}, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, tc.cfg)
				small := func(context.Context, streams.Peer, text) (text, error) { return text{}, nil }
				noError(t, read.Handle(p.Mux, small), put.Handle(p.Mux, small))
				r := openRaw(t, p, tc.fam)
				for i, n := range tc.sizes {
					go func() { r.Write(sized(r, tc.typ, n)) }()
					code, reset := r.code()
					if code != tc.codes[i] || reset != (tc.reset && i == len(tc.sizes)-1) {
						t.Errorf("a frame of %d bytes: %d, reset %v, want %d", n, code, reset, tc.codes[i])
					}
				}
			})
		})
	}
}
