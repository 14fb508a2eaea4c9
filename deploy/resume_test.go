package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// cutting is a host whose connection is lost when so many bytes have left by it, and is back a
// second later.
type cutting struct {
	*streamtest.Host
	worker *streamtest.Host
	cuts   []int64 // after so many bytes in all
	left   int64   // bytes that left
}

func (h *cutting) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &cuttingStream{s, h}, nil
}

type cuttingStream struct {
	network.Stream
	h *cutting
}

func (s *cuttingStream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	s.h.left += int64(n)
	if len(s.h.cuts) > 0 && s.h.left >= s.h.cuts[0] {
		s.h.cuts = s.h.cuts[1:]
		s.Conn().Close()
		time.AfterFunc(time.Second, func() { streamtest.Connect(s.h.Host, s.h.worker) })
	}
	return n, err
}

// workerOf serves a store, and returns a client at a host that loses its connection.
func workerOf(t *testing.T, r Receiver, cuts ...int64) (*streams.Client, *cutting) {
	t.Helper()
	p := streamtest.New(streamtest.PeerID("worker"), streamtest.PeerID("laptop"), streams.Config{
		Authorize: func(context.Context, streams.Peer, streams.Verb) error { return nil },
		Member:    func(peer.ID) bool { return true },
	}, streams.Config{})
	if err := Deploy.Handle(p.Mux, Handler(r)); err != nil {
		t.Fatal(err)
	}
	h := &cutting{Host: p.Caller, worker: p.Server, cuts: cuts}
	c := streams.NewClient(h, streams.Config{})
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), p.Close()); err != nil {
			t.Error(err)
		}
	})
	return c, h
}

// underWay is what is lost with a connection at most: a window of package streamtest, and a buffer of
// io.Copy that is being written.
const underWay = 256<<10 + 32<<10

var bigTree = tree{
	"a/first*": strings.Repeat("first ", 100_000), "b/empty": "", "b/second": strings.Repeat("second", 400_000), "c": "third",
}

// Each attempt has the client that Via returns for it.
func TestSendVia(t *testing.T) {
	b := bundleOf(t, "app", bigTree)
	s := newStore(t, StoreConfig{})
	synctest.Test(t, func(t *testing.T) {
		c, h := workerOf(t, s, 300_000)
		given := streams.NewClient(h.Host, streams.Config{})
		defer given.Close()
		attempts := 0
		sending := Sending{Via: func() *streams.Client {
			if attempts++; attempts == 1 {
				return c
			}
			return nil
		}}
		ack, err := sending.Send(t.Context(), given, h.worker.ID(), b)
		if err != nil || !ack.Success || len(h.cuts) > 0 || attempts < 2 || h.left > 2_000_000 {
			t.Errorf("got %+v, %v; %d attempts, %d bytes by the first client", ack, err, attempts, h.left)
		}
	})
}

// A deployment that its sender did not live to end is ended by another one that knows its name; what is
// on the worker is not sent again, and the upload before is not waited for.
func TestAnotherSenderGoesOn(t *testing.T) {
	b := bundleOf(t, "app", bigTree)
	s := newStore(t, StoreConfig{})
	synctest.Test(t, func(t *testing.T) {
		c, h := workerOf(t, s)
		ctx, end := context.WithCancel(t.Context())
		first := Sending{Transfer: "one", Progress: func(sent, total int64) {
			if sent > total/2 {
				end()
			}
		}}
		if _, err := first.Send(ctx, c, h.worker.ID(), b); !errors.Is(err, context.Canceled) {
			t.Fatalf("the first ends with %v", err)
		}
		h.left = 0
		next := Sending{Transfer: "one"}
		next.Begun = true
		ack, err := next.Send(t.Context(), c, h.worker.ID(), b)
		if err != nil || ack.State != StateDeployed || h.left > 3_000_005/2+underWay+20_000 {
			t.Errorf("got %+v, %v; %d bytes were sent", ack, err, h.left)
		}
	})
	checkCurrent(t, s, "app", bigTree)
	checkTidy(t, s, "app")
}

// An upload that is cut, as often as it is and wherever, sends what is missing and is whole.
func TestSendGoesOn(t *testing.T) {
	for name, cuts := range map[string][]int64{
		"in the first file":       {300_000},
		"in the second file":      {1_800_000},
		"again and again":         {100_000, 400_000, 800_000, 1_200_000, 2_500_000},
		"at the end of a file":    {600_000 + 1500},
		"before the last words":   {3_000_400},
		"with the first word":     {100},
		"in the last file, twice": {2_999_900, 3_000_900},
	} {
		t.Run(name, func(t *testing.T) {
			b := bundleOf(t, "app", bigTree)
			s := newStore(t, StoreConfig{})
			synctest.Test(t, func(t *testing.T) {
				c, h := workerOf(t, s, cuts...)
				var resent int64
				cut, back := 0, 0
				sending := Sending{Resent: func(n int64) { resent += n }}
				sending.Cut, sending.Back = func(error) { cut++ }, func(time.Duration) { back++ }
				ack, err := sending.Send(t.Context(), c, h.worker.ID(), b)
				if name == "with the first word" { // then nothing was begun
					if !errors.Is(err, streams.ErrUnreachable) {
						t.Errorf("got %v", err)
					}
					return
				}
				want := Ack{Name: "app", Success: true, Release: b.Manifest.Release, Bytes: 3_000_005, State: StateDeployed}
				if err != nil || ack != want || len(h.cuts) > 0 || cut != back {
					t.Errorf("got %+v, %v, %d cuts left; cut %d times, back %d times", ack, err, len(h.cuts), cut, back)
				}
				if most := int64(len(cuts)) * underWay; resent > most || h.left > 3_000_005+most+20_000 {
					t.Errorf("%d bytes were sent again, %d bytes left in all", resent, h.left)
				}
			})
			if name == "with the first word" {
				return
			}
			checkCurrent(t, s, "app", bigTree)
			checkTidy(t, s, "app")
			if s.room.bytes != 0 || s.room.whole != 0 {
				t.Errorf("%d of %d bytes are reserved", s.room.bytes, s.room.whole)
			}
		})
	}
}

// part returns a request for the rest of a bundle, and that rest.
func part(b *Bundle, from int64, transfer string) (Request, io.Reader) {
	return Request{Manifest: b.Manifest, From: from, Size: b.Manifest.Size() - from, Transfer: transfer}, b.bodyFrom(from)
}

// receiveCut receives a bundle from an offset up to another one, where the upload is cut off.
func receiveCut(t *testing.T, s *Store, b *Bundle, transfer string, from, to int64) {
	t.Helper()
	r, body := part(b, from, transfer)
	_, err := s.Receive(t.Context(), "laptop", r, io.MultiReader(io.LimitReader(body, to-from), readerFunc(func([]byte) (int, error) {
		return 0, network.ErrReset
	})))
	if !errors.Is(err, network.ErrReset) {
		t.Fatalf("the upload ended with %v", err)
	}
}

// staged asks what is there.
func staged(t *testing.T, s *Store, b *Bundle) int64 {
	t.Helper()
	r, body := part(b, b.Manifest.Size(), "ask")
	ack, err := s.Receive(t.Context(), "laptop", r, body)
	if err != nil || ack.Success || ack.State != StatePartial {
		t.Fatalf("asked what is there: %+v, %v", ack, err)
	}
	return ack.Staged
}

// What has arrived survives a kill of the worker, is the only thing kept of its name, and goes after
// ten minutes.
func TestKept(t *testing.T) {
	b, other := bundleOf(t, "app", bigTree), bundleOf(t, "app", tree{"x": strings.Repeat("x", 1000)})
	s := newStore(t, StoreConfig{})
	again := func() {
		t.Helper()
		s = newStore(t, StoreConfig{Dir: s.cfg.Dir})
	}
	for _, at := range []int64{1, 600_000, 600_001, 3_000_004} {
		receiveCut(t, s, b, "one", 0, at)
		again()
		if got := staged(t, s, b); got != at {
			t.Errorf("%d bytes are kept, want %d", got, at)
		}
	}
	receiveCut(t, s, other, "other", 0, 500)
	if got := staged(t, s, b); got != 0 || staged(t, s, other) != 500 {
		t.Errorf("beside another release %d bytes are kept", got)
	}
	if n, err := s.dropKept(t.Context(), StagedFor); n != 0 || err != nil {
		t.Errorf("%d fresh ones were removed, %v", n, err)
	}
	old := time.Now().Add(-StagedFor - time.Second)
	dir := filepath.Join(s.cfg.Dir, "app", stagingPrefix+other.Manifest.Release)
	for _, p := range []string{dir, filepath.Join(dir, "x")} {
		if err := os.Chtimes(p, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.dropKept(t.Context(), StagedFor); n != 1 || err != nil || exists(filepath.Join(s.cfg.Dir, "app")) {
		t.Errorf("%d old ones were removed, %v", n, err)
	}
}

// What is kept is checked before it is put in place.
func TestKeptIsDamaged(t *testing.T) {
	for name, file := range map[string]string{"a whole file": "a/first", "the beginning of a file": "b/second"} {
		t.Run(name, func(t *testing.T) {
			b := bundleOf(t, "app", bigTree)
			s := newStore(t, StoreConfig{})
			receiveCut(t, s, b, "one", 0, 1_000_000)
			path := filepath.Join(s.cfg.Dir, "app", stagingPrefix+b.Manifest.Release, filepath.FromSlash(file))
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text[len(text)/2] ^= 1
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
			r, body := part(b, 1_000_000, "one")
			if _, err := s.Receive(t.Context(), "laptop", r, body); !errors.Is(err, streams.ErrUnavailable) || !streams.Interrupted(err) {
				t.Errorf("got %v", err)
			}
			r, body = part(b, 0, "one")
			if ack, err := s.Receive(t.Context(), "laptop", r, body); err != nil || ack.State != StateDeployed {
				t.Errorf("sent again: %+v, %v", ack, err)
			}
			checkCurrent(t, s, "app", bigTree)
			checkTidy(t, s, "app")
		})
	}
}

// An upload takes the place of the one before it of the same deployment, which hangs on a dead
// connection, and of no other one. What it wrote stays.
func TestTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bundleOf(t, "app", bigTree)
		s := newStore(t, StoreConfig{})
		r, body := part(b, 0, "one")
		hangs := &hanging{Reader: io.LimitReader(body, 700_000), closed: make(chan struct{})}
		first := make(chan error, 1)
		go func() {
			_, err := s.Receive(t.Context(), "laptop", r, hangs)
			first <- err
		}()
		synctest.Wait()
		for _, by := range []sender{{"laptop", "other"}, {"mallory", "one"}, {"laptop", ""}} {
			r, body := part(b, 0, by.transfer)
			if _, err := s.Receive(t.Context(), by.peer, r, body); !errors.Is(err, streams.ErrConflict) {
				t.Errorf("deployment %v beside it: %v", by, err)
			}
		}
		r, body = part(b, b.Manifest.Size(), "one")
		ack, err := s.Receive(t.Context(), "laptop", r, body)
		if err != nil || ack.Staged != 700_000 {
			t.Errorf("took over at %+v, %v", ack, err)
		}
		if err := <-first; !errors.Is(err, errTakenOver) {
			t.Errorf("the first upload ended with %v", err)
		}
		r, body = part(b, 700_000, "one")
		done, err := s.Receive(t.Context(), "laptop", r, body)
		if err != nil || done.State != StateDeployed || done.Bytes != b.Manifest.Size()-700_000 {
			t.Errorf("got %+v, %v", done, err)
		}
		// The answer was lost: the same deployment gets it again, another one its own.
		r, body = part(b, b.Manifest.Size(), "one")
		if ack, err := s.Receive(t.Context(), "laptop", r, body); err != nil || ack != done {
			t.Errorf("the answer again: %+v, %v", ack, err)
		}
		r, body = part(b, 0, "two")
		if ack, err := s.Receive(t.Context(), "laptop", r, body); err != nil || ack.State != StateUnchanged {
			t.Errorf("another deployment: %+v, %v", ack, err)
		}
	})
}

// hanging is a body that has no more to say until it is closed.
type hanging struct {
	io.Reader
	closed chan struct{}
}

func (h *hanging) Read(p []byte) (int, error) {
	if n, err := h.Reader.Read(p); err == nil {
		return n, nil
	}
	<-h.closed
	return 0, os.ErrDeadlineExceeded
}

func (h *hanging) CloseRead() error { close(h.closed); return nil }

// What is kept for nobody yet counts to what the owner allows, and is not in the way.
func TestKeptAndQuota(t *testing.T) {
	var quota atomic.Int64
	s := newStore(t, StoreConfig{Quota: quota.Load})
	b := bundleOf(t, "app", bigTree)
	quota.Store(b.Manifest.Room() + 10*EntryBytes)
	receiveCut(t, s, b, "one", 0, 2_000_000)
	if taken, err := used(t.Context(), s.cfg.Dir, s.underWay); err != nil || taken < 2_000_000 {
		t.Errorf("%d bytes are taken, %v", taken, err)
	}
	next := bundleOf(t, "next", tree{"x": strings.Repeat("x", 2_000_000)})
	apply(t, s, next)
	if exists(filepath.Join(s.cfg.Dir, "app")) {
		t.Error("what was kept is there beside what is over the quota with it")
	}
	// One that goes on needs no more than it did.
	quota.Store(b.Manifest.Room() + next.Manifest.Room() + 10*EntryBytes)
	receiveCut(t, s, b, "one", 0, 2_900_000)
	r, body := part(b, 2_900_000, "one")
	if ack, err := s.Receive(t.Context(), "laptop", r, body); err != nil || ack.State != StateDeployed {
		t.Errorf("went on: %+v, %v", ack, err)
	}
}

// A worker of before keeps nothing, and refuses to be asked.
type oldWorker struct{ *Store }

func (w oldWorker) Receive(ctx context.Context, _ peer.ID, r Request, body io.Reader) (Ack, error) {
	if r.Size != r.Manifest.Size() {
		return Ack{}, streams.Errorf(streams.CodeInvalid, "size is %d", r.Size)
	}
	return w.Apply(ctx, r.Manifest, body)
}

func TestSendToAWorkerOfBefore(t *testing.T) {
	b := bundleOf(t, "app", bigTree)
	s := newStore(t, StoreConfig{})
	synctest.Test(t, func(t *testing.T) {
		c, h := workerOf(t, oldWorker{s}, 1_000_000)
		ack, err := Sending{}.Send(t.Context(), c, h.worker.ID(), b)
		if err != nil || ack.Bytes != b.Manifest.Size() {
			t.Errorf("got %+v, %v", ack, err)
		}
	})
	checkCurrent(t, s, "app", bigTree)
	checkTidy(t, s, "app")
}

func TestBodyFrom(t *testing.T) {
	b := bundleOf(t, "app", oldTree)
	all, err := io.ReadAll(b.Body())
	if err != nil {
		t.Fatal(err)
	}
	for from := range len(all) + 1 {
		body := b.bodyFrom(int64(from))
		if rest, err := io.ReadAll(body); err != nil || !bytes.Equal(rest, all[from:]) {
			t.Errorf("from %d: %q, %v", from, rest, err)
		}
		body.Close()
	}
}
