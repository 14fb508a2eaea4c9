package streams

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

// The body's own error is what the caller gets, at once; it used to wait until the peer missed the
// bytes.
func TestUploadWhoseBodyFails(t *testing.T) {
	p := newPair(t, allowAll)
	serveAll(t, p)
	broken := errors.New("disk on fire")
	body := io.MultiReader(strings.NewReader("abc"), errReader{broken})
	began := time.Now()
	_, err := push.Do(t.Context(), p.client, p.server.ID(), greeting{Text: "x", Size: 10}, body)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "read the body") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

// A sender whose upload stalls is told so; the deadline that ended the wait used to stop the answer
// too.
func TestUploadThatStalls(t *testing.T) {
	p := newPair(t, allowAll, func(c *Config) { c.Limits.Stall, c.Limits.Header = 100*time.Millisecond, 100*time.Millisecond })
	serveAll(t, p)
	r := p.raw(t, push.Family)
	r.frame(`{"id":"$id","type":"push","sender":"$me","payload":{"text":"x","size":10},"timestamp":"$now"}`)
	r.write([]byte("abc"))
	if _, code, words := r.answer(); code != CodeTimeout || !strings.Contains(words, "100ms") {
		t.Errorf("got %d %q, want 408", code, words)
	}
}

// The time of a refusal is that of the refusal, not of the program's start.
func TestRefusalsHaveTheirTime(t *testing.T) {
	p := newPair(t, func(c *Config) { c.Limits.Stranger = Rate{0.001, 1} })
	must(t, Ping.Handle(p.mux, func(_ context.Context, _ Peer, r PingRequest) (Pong, error) { return r.Answer(), nil }))
	before := time.Now().UnixMilli()
	for range 2 {
		_, err := Ping.Do(t.Context(), p.client, p.server.ID(), PingRequest{})
		if e, ok := errors.AsType[*Error](err); ok && e.Timestamp < before {
			t.Errorf("timestamp %d is before the request at %d", e.Timestamp, before)
		} else if ok {
			return
		}
	}
	t.Error("no refusal")
}

// The payload of an error notice is a pointer type; its rules used to be skipped.
func TestErrorNoticeIsValidated(t *testing.T) {
	p := newPair(t)
	got := make(chan *Error, 2)
	must(t, ErrorNotice.Handle(p.mux, func(_ context.Context, _ Peer, e *Error) error {
		got <- e
		return nil
	}))
	must(t, ErrorNotice.Send(t.Context(), p.client, p.server.ID(), Errorf(CodeUnavailable, "going down")))
	if e := <-got; e.Code != CodeUnavailable || e.Message != "going down" {
		t.Errorf("got %v", e)
	}
	for _, bad := range []Code{0, 399, 600} {
		if err := ErrorNotice.Send(t.Context(), p.client, p.server.ID(), &Error{Code: bad, Message: "x"}); !errors.Is(err, ErrInvalid) {
			t.Errorf("code %d: got %v, want 400", bad, err)
		}
	}
	if len(got) != 0 {
		t.Errorf("the handler saw %v", <-got)
	}
}

func TestRecordsAreBoundedInBytes(t *testing.T) {
	r := newReplays(maxPeers, maxAnswers, nil)
	answer := strings.Repeat("x", maxAnswerBytes/4-2) // with its quotes a quarter
	for range 5 {
		_, err := r.once(t.Context(), Peer{ID: "p"}, &Message{ID: uuid.New(), Type: "x"}, func() (any, *Error) { return answer, nil })
		must(t, err)
	}
	recs, _ := r.done.Get("p")
	if recs.lru.Len() != 4 || recs.bytes != maxAnswerBytes {
		t.Errorf("%d records of %d bytes, want 4 of %d", recs.lru.Len(), recs.bytes, maxAnswerBytes)
	}
}

// A frame that needs more memory than the resource manager gives is refused, and the memory of
// those that were read is given back.
func TestLargeFramesReserveMemory(t *testing.T) {
	var reserved int
	frame := append([]byte{0x80, 0x80, 0x08}, make([]byte, 128<<10)...)
	take := func(n int) error {
		reserved = n
		return nil
	}
	if _, err := readFrame(bytes.NewReader(frame), nil, MaxFrame, take); err != nil || reserved != 128<<10 {
		t.Errorf("reserved %d, %v", reserved, err)
	}
	full := noMemoryError{errors.New("full")}
	if _, err := readFrame(bytes.NewReader(frame), nil, MaxFrame, func(int) error { return full }); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	reserved = 0
	if _, err := readFrame(bytes.NewReader(append([]byte{0x80, 0x80, 0x01}, make([]byte, smallFrame)...)), nil, MaxFrame, take); err != nil || reserved != 0 {
		t.Errorf("a frame of %d bytes reserved %d, %v", smallFrame, reserved, err)
	}
	if _, err := readFrame(bytes.NewReader(append([]byte{0x81, 0x80, 0x01}, make([]byte, smallFrame+1)...)), nil, MaxFrame, take); err != nil || reserved != smallFrame+1 {
		t.Errorf("a frame of %d bytes reserved %d, %v", smallFrame+1, reserved, err)
	}
}

// The memory for large frames is the resource manager's to give: without it the frame is refused,
// and the connection goes on.
func TestLargeFrameWithoutMemory(t *testing.T) {
	limits := rcmgr.PartialLimitConfig{Stream: rcmgr.ResourceLimits{Memory: 512 << 10}}.Build(rcmgr.InfiniteLimits)
	rm, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits))
	must(t, err)
	server, err := libp2p.New(libp2p.ListenAddrStrings(overTCP), libp2p.ResourceManager(rm), libp2p.DisableMetrics())
	must(t, err)
	t.Cleanup(func() { server.Close() })
	var cfg Config
	allowAll(&cfg)
	mux := NewMux(server, cfg)
	must(t, echo.Handle(mux, func(context.Context, Peer, greeting) (greeting, error) { return greeting{Text: "got it"}, nil }))
	serve(t, mux)
	caller := newHost(t)
	caller.Peerstore().AddAddrs(server.ID(), server.Addrs(), peerstoreTTL)
	client := NewClient(caller, Config{})
	defer client.Close()
	for range 20 { // what is not given back adds up
		if _, err := echo.Do(t.Context(), client, server.ID(), greeting{Text: strings.Repeat("x", 200<<10)}); err != nil {
			t.Fatalf("200 KiB: %v", err)
		}
	}
	for range 2 {
		if _, err := echo.Do(t.Context(), client, server.ID(), greeting{Text: strings.Repeat("x", 900<<10)}); !errors.Is(err, ErrTooMany) {
			t.Errorf("900 KiB: got %v, want 429", err)
		}
	}
	if _, err := echo.Do(t.Context(), client, server.ID(), greeting{Text: "x"}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
