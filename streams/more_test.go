package streams_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// runs is a feed that changes something, as the output of a command is.
var runs = streams.Feed[text, text]{family, "runs", "ran", streams.VerbRun}

// The items of a feed with an effect are not kept, so the repeated request is a conflict, and has
// no second effect.
func TestRepeatedFeedWithAnEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forMember())
		effects := 0
		noError(t, runs.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text, send func(text) error) (text, error) {
			effects++
			if v.Text == "fail" {
				return v, streams.Errorf(streams.CodeRefused, "not this")
			}
			return v, send(v)
		}))
		for _, tc := range []struct {
			text          string
			first, second streams.Code
		}{{"x", 0, streams.CodeConflict}, {"fail", streams.CodeRefused, streams.CodeRefused}} {
			effects = 0
			r := openRaw(t, p, family)
			m, err := streams.NewMessage(p.Caller.ID(), "runs", text{Text: tc.text})
			noError(t, err)
			m.ID = uuid.New()
			b, err := m.MarshalJSON()
			noError(t, err)
			for _, want := range []streams.Code{tc.first, tc.second} {
				r.put(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
				code, words := r.answer()
				if code == 0 {
					code, words = r.answer() // the last item
				}
				if code != want {
					t.Errorf("%s: got %d %q, want %d", tc.text, code, words, want)
				}
			}
			if effects != 1 {
				t.Errorf("%s: %d effects, want 1", tc.text, effects)
			}
		}
	})
}

func TestPanicInAFeed(t *testing.T) {
	p := newPipe(t, forMember())
	noError(t, follow.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text, send func(text) error) (text, error) {
		if err := send(v); err != nil {
			return v, err
		}
		panic("secret")
	}))
	for range 2 {
		var last error
		n := 0
		for _, err := range follow.Do(t.Context(), p.Client, p.Server.ID(), text{}) {
			n, last = n+1, err
		}
		if e, ok := errors.AsType[*streams.Error](last); !ok || e.Code != streams.CodeInternal || e.Message != "internal error" || e.Trace == "" || n != 2 {
			t.Errorf("after %d items: %v, want a bare 500", n, last)
		}
	}
	if n := len(p.Conn.GetStreams()); n != 1 {
		t.Errorf("%d streams, want the one that is kept", n)
	}
}

// The dialler of a connection tells its mux the clock it measured, for the requests that the
// listener sends over it.
func TestClockOffsetOfTheDialler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, forMember())
		var seen time.Duration
		noError(t, read.Handle(p.Mux, func(_ context.Context, from streams.Peer, v text) (text, error) {
			seen = from.ClockOffset
			return v, nil
		}))
		conn := p.Server.Network().ConnsToPeer(p.Caller.ID())[0]
		try := func(at time.Duration) streams.Code {
			m, err := streams.NewMessage(p.Caller.ID(), "read", text{})
			noError(t, err)
			m.Timestamp = time.Now().Add(at)
			b, err := m.MarshalJSON()
			noError(t, err)
			r := openRaw(t, p, family)
			r.put(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
			code, _ := r.answer()
			return code
		}
		if code := try(time.Hour); code != streams.CodeInvalid {
			t.Errorf("an hour ahead: %d, want 400", code)
		}
		p.Mux.SetClockOffset(conn, time.Hour)
		if code := try(time.Hour); code != 0 || seen != time.Hour {
			t.Errorf("an hour ahead, as measured: %d; the handler saw %v", code, seen)
		}
		if code := try(0); code != streams.CodeInvalid {
			t.Errorf("an hour off what was measured: %d, want 400", code)
		}
	})
}

// Ready comes before the first request on a new stream, and its error is the caller's; the
// lifecycle family, which the handshake itself uses, goes without.
func TestReady(t *testing.T) {
	server, caller := streamtest.NewHost(streamtest.PeerID("server")), streamtest.NewHost(streamtest.PeerID("caller"))
	defer server.Close()
	defer caller.Close()
	conn := streamtest.Connect(caller, server)
	mux := streams.NewMux(server, forMember())
	noError(t, read.Handle(mux, echoed), streams.Ping.Handle(mux, func(_ context.Context, _ streams.Peer, r streams.PingRequest) (streams.Pong, error) {
		return r.Answer(), nil
	}))
	var asked []network.Conn
	var refusal error
	client := streams.NewClient(caller, streams.Config{Ready: func(_ context.Context, c network.Conn) error {
		asked = append(asked, c)
		return refusal
	}})
	defer client.Close()
	for _, tc := range []struct {
		refusal error
		want    error
		is      error
	}{
		{streams.Errorf(streams.CodeUnsupported, "another version"), streams.ErrUnsupported, nil},
		{fmt.Errorf("the handshake got lost"), streams.ErrUnavailable, streams.ErrUnreachable},
		{nil, nil, nil},
		{nil, nil, nil}, // over the kept stream: not asked again
	} {
		refusal = tc.refusal
		_, err := read.Do(t.Context(), client, server.ID(), text{})
		if !errors.Is(err, tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%v: got %v, want %v", tc.refusal, err, tc.want)
		}
		_, err = streams.Ping.Do(t.Context(), client, server.ID(), streams.PingRequest{})
		noError(t, err)
	}
	if len(asked) != 3 || asked[0] != network.Conn(conn) {
		t.Errorf("asked about %d connections, want 3 times the one", len(asked))
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	noError(t, mux.Serve(ctx))
}

func TestCodeOf(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want streams.Code
	}{
		{nil, 0},
		{errors.New("x"), streams.CodeInternal},
		{streams.Errorf(streams.CodeConflict, "x"), streams.CodeConflict},
		{fmt.Errorf("wrapped: %w", streams.ErrNotFound), streams.CodeNotFound},
	} {
		if got := streams.CodeOf(tc.err); got != tc.want {
			t.Errorf("%v: got %d, want %d", tc.err, got, tc.want)
		}
	}
	e := streams.Errorf(streams.CodeInternal, "internal error")
	e.Trace = "0123"
	if e.Error() != "500: internal error (trace 0123)" {
		t.Errorf("got %q", e.Error())
	}
}
