package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// held is a body that comes when it is let go.
type held struct {
	io.Reader
	began chan struct{}
	once  sync.Once
	letGo chan struct{}
}

func hold(b *Bundle) *held {
	return &held{Reader: b.Body(), began: make(chan struct{}), letGo: make(chan struct{})}
}

func (h *held) Read(p []byte) (int, error) {
	h.once.Do(func() { close(h.began) })
	<-h.letGo
	return h.Reader.Read(p)
}

// Four uploads at once that each fit alone once filled a disk to 13 MB.
func TestRoomIsReserved(t *testing.T) {
	s := newStore(t, StoreConfig{})
	const each = 100<<10 + EntryBytes
	s.free = func(string) (free, error) { return free{bytes: spareBytes + 2*each}, nil } // nothing of it is written yet
	var bodies []*held
	results := make(chan error, 2)
	for i := range 2 {
		b := bundleOf(t, fmt.Sprint("app", i), tree{"f": strings.Repeat("x", 100<<10)})
		body := hold(b)
		bodies = append(bodies, body)
		go func() {
			_, err := s.Apply(context.Background(), b.Manifest, body)
			results <- err
		}()
		<-body.began
	}
	small := bundleOf(t, "small", tree{"f": ""})
	_, err := s.Apply(t.Context(), small.Manifest, bytes.NewReader(nil))
	checkError(t, err, "with what is under way", streams.ErrRefused)
	for _, b := range bodies {
		close(b.letGo)
	}
	for range bodies {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	for _, b := range bodies {
		b.Reader.(io.Closer).Close()
	}
	if s.room.bytes != 0 || s.room.entries != 0 {
		t.Errorf("%d bytes and %d entries are reserved, and nothing is under way", s.room.bytes, s.room.entries)
	}
	apply(t, s, small)
	if s.room.bytes != 0 || s.room.entries != 0 {
		t.Errorf("after a success %d bytes and %d entries are reserved", s.room.bytes, s.room.entries)
	}
}

// What was written is looked at by the file system, and reserved no more.
func TestRoomShrinksAsItIsWritten(t *testing.T) {
	var r room
	m := bundleOf(t, "app", tree{"d/f": strings.Repeat("x", 1000)}).Manifest
	lots := func() (free, error) { return free{bytes: 1 << 40}, nil }
	res, err := r.reserve(m, 0, lots)
	if err != nil || r.bytes != 1000+2*EntryBytes || r.entries != 2 {
		t.Fatalf("%d bytes, %d entries, %v", r.bytes, r.entries, err)
	}
	res.Write(make([]byte, 600))
	if r.bytes != 400+2*EntryBytes {
		t.Errorf("%d bytes are reserved", r.bytes)
	}
	res.end()
	if r.bytes != 0 || r.entries != 0 {
		t.Errorf("%d bytes, %d entries", r.bytes, r.entries)
	}
}

func TestFreeInodes(t *testing.T) {
	m := bundleOf(t, "app", tree{"d/f": "x"}).Manifest
	for _, tt := range []struct {
		name string
		free free
		ok   bool
	}{
		{"just enough", free{1 << 40, spareInodes + 2, 1 << 20}, true},
		{"one less", free{1 << 40, spareInodes + 1, 1 << 20}, false},
		{"a file system without a number of inodes", free{1 << 40, 0, 0}, true},
		{"just enough bytes", free{spareBytes + 1 + 2*EntryBytes, 0, 0}, true},
		{"one byte less", free{spareBytes + 2*EntryBytes, 0, 0}, false},
	} {
		var r room
		if _, err := r.reserve(m, 0, func() (free, error) { return tt.free, nil }); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A bundle of no bytes once made 180,000 directories.
func TestDirectoriesAreEntries(t *testing.T) {
	deep := func(n int) Manifest { // n entries: each file brings a directory of its own
		var paths []string
		for i := range n / 2 {
			paths = append(paths, fmt.Sprintf("%05d/f", i))
		}
		if n%2 == 1 {
			paths = append(paths, "zzz")
		}
		return manifestOf("n", paths...)
	}
	checkError(t, deep(MaxEntries).Validate(), "", nil)
	checkError(t, deep(MaxEntries+1).Validate(), "more than 10000 files and directories", streams.ErrTooLarge)
	if m := deep(6); m.Entries() != 6 || m.Room() != m.Size()+6*EntryBytes {
		t.Errorf("%d entries, %d bytes", m.Entries(), m.Room())
	}
}

// An upload that keeps a place and brings nothing is ended.
func TestSlowUpload(t *testing.T) {
	b := bundleOf(t, "app", tree{"f": strings.Repeat("x", 1<<20)})
	for _, tt := range []struct {
		name  string
		bytes int // each 20 s
		want  error
	}{
		{"one byte each 20 s", 1, streams.ErrTimeout},
		{"2 KiB a second", 40 << 10, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t, StoreConfig{})
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := s.Apply(t.Context(), b.Manifest, readerFunc(func(p []byte) (int, error) {
					time.Sleep(20 * time.Second)
					n := min(len(p), tt.bytes)
					copy(p, bytes.Repeat([]byte("x"), n))
					return n, nil
				}))
				if !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if took := time.Since(began); tt.want != nil && took > time.Minute {
					t.Errorf("it was ended after %v", took)
				}
			})
		})
	}
}

// Whoever cancels does not wait for what is still to be made or to be synced.
func TestCancelWhileStaging(t *testing.T) {
	files := tree{}
	for i := range 50 {
		files[fmt.Sprintf("%02d/f", i)] = ""
	}
	b := bundleOf(t, "app", files)
	for _, at := range []string{"file", "sync"} {
		t.Run(at, func(t *testing.T) {
			s := newStore(t, StoreConfig{})
			apply(t, s, bundleOf(t, "app", oldTree))
			ctx, cancel := context.WithCancel(t.Context())
			steps := 0
			s.step = func(name string) {
				if name == at {
					cancel()
					steps++
				}
			}
			if _, err := s.Apply(ctx, b.Manifest, bytes.NewReader(nil)); !errors.Is(err, context.Canceled) || steps != 1 {
				t.Errorf("%d steps, then %v", steps, err)
			}
			checkCurrent(t, s, "app", oldTree)
			checkTidy(t, s, "app")
		})
	}
}

// The one who sends ends it by giving up, within a second, while the worker writes.
func TestSenderGivesUp(t *testing.T) {
	files := tree{}
	for i := range 100 {
		files[fmt.Sprintf("%04d/f", i)] = ""
	}
	b := bundleOf(t, "app", files)
	s := newStore(t, StoreConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began, ended := make(chan struct{}), make(chan error, 1)
	w := newWire(t, receiverFunc(func(ctx context.Context, m Manifest, body io.Reader) (Ack, error) {
		steps := 0
		s.step = func(name string) {
			if steps++; steps > 1 {
				return
			}
			close(began)
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
		}
		ack, err := s.Apply(ctx, m, body)
		ended <- err
		return ack, err
	}), true)
	sent := make(chan error, 1)
	go func() {
		_, err := Sending{}.Send(ctx, w.client, w.worker, b)
		sent <- err
	}()
	select {
	case <-began:
	case err := <-sent:
		t.Fatal(err)
	}
	cancel()
	gaveUp := time.Now()
	if err := <-ended; err == nil {
		t.Error("the deployment was finished for nobody")
	}
	if took := time.Since(gaveUp); took > time.Second {
		t.Errorf("the worker went on for %v", took)
	}
	if err := <-sent; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if exists(filepath.Join(s.cfg.Dir, "app")) {
		t.Error("something is left")
	}
}

type receiverFunc func(context.Context, Manifest, io.Reader) (Ack, error)

func (f receiverFunc) Receive(ctx context.Context, _ peer.ID, r Request, body io.Reader) (Ack, error) {
	return f(ctx, r.Manifest, body)
}

func TestUploadsUnderWay(t *testing.T) {
	var u uploads
	for i := range maxUploadsPerPeer {
		if err := u.begin("one"); err != nil {
			t.Errorf("upload %d: %v", i+1, err)
		}
	}
	checkError(t, u.begin("one"), "4 deployments of yours", streams.ErrTooMany)
	for i := maxUploadsPerPeer; i < maxUploads; i++ {
		if err := u.begin(peer.ID(fmt.Sprint(i))); err != nil {
			t.Errorf("upload %d: %v", i+1, err)
		}
	}
	checkError(t, u.begin("other"), "16 deployments", streams.ErrTooMany)
	u.end("one")
	if err := u.begin("other"); err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	s := newStore(t, StoreConfig{})
	apply(t, s, bundleOf(t, "app", oldTree))
	for i := 1; i < maxNames-1; i++ {
		if err := os.Mkdir(filepath.Join(s.cfg.Dir, fmt.Sprint("n", i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	apply(t, s, bundleOf(t, "last", oldTree))
	b := bundleOf(t, "more", oldTree)
	_, err := s.Apply(t.Context(), b.Manifest, bytes.NewReader(nil))
	checkError(t, err, "no more are kept", streams.ErrRefused)
	apply(t, s, bundleOf(t, "app", newTree))
}

func TestQuota(t *testing.T) {
	var quota int64
	s := newStore(t, StoreConfig{Quota: func() int64 { return quota }})
	apply(t, s, bundleOf(t, "app", oldTree)) // no bound
	taken, err := used(t.Context(), s.cfg.Dir, s.underWay)
	if err != nil {
		t.Fatal(err)
	}
	b := bundleOf(t, "b", tree{"f": "x"})
	quota = taken + b.Manifest.Room() + 2*EntryBytes // and the directories of the name
	quota--
	body := b.Body()
	defer body.Close()
	_, err = s.Apply(t.Context(), b.Manifest, body)
	checkError(t, err, "deploy.totalBytes", streams.ErrRefused)
	quota++
	apply(t, s, b)
	if s.room.bytes != 0 {
		t.Errorf("%d bytes are reserved", s.room.bytes)
	}
}

// What another deployment puts in place while the quota is counted is not missed, and what is under
// way counts once.
func TestQuotaWhileAnotherEnds(t *testing.T) {
	for _, spare := range []int64{0, -1} {
		var quota int64
		s := newStore(t, StoreConfig{Quota: func() int64 { return quota }})
		a, b := bundleOf(t, "a", tree{"f": strings.Repeat("a", 64<<10)}), bundleOf(t, "b", tree{"f": strings.Repeat("b", 64<<10)})
		held := hold(a)
		result := make(chan error, 1)
		go func() {
			_, err := s.Apply(context.Background(), a.Manifest, held)
			result <- err
		}()
		<-held.began
		const names = 5 // directories: that of all, those of the names, and their releases
		quota = a.Manifest.Room() + b.Manifest.Room() + names*EntryBytes + spare
		s.step = func(step string) {
			if step == "count" && spare < 0 {
				close(held.letGo)
				if err := <-result; err != nil {
					t.Error(err)
				}
			}
		}
		_, err := s.Apply(t.Context(), b.Manifest, b.Body())
		if spare == 0 && err != nil {
			t.Errorf("as much as is allowed: %v", err)
		}
		if spare < 0 {
			checkError(t, err, "deploy.totalBytes", streams.ErrRefused)
			continue
		}
		close(held.letGo)
		if err := <-result; err != nil {
			t.Error(err)
		}
		if s.room.bytes != 0 || s.room.whole != 0 {
			t.Errorf("%d of %d bytes are reserved", s.room.bytes, s.room.whole)
		}
	}
}

// endsAfter is a context that ends when it was asked so many times.
type endsAfter struct {
	context.Context
	left atomic.Int64
}

func (e *endsAfter) Err() error {
	if e.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// A cancel holds also while a large file is compared.
func TestCancelWhileComparing(t *testing.T) {
	s := newStore(t, StoreConfig{})
	b := bundleOf(t, "app", tree{"f": strings.Repeat("x", 8<<20)})
	apply(t, s, b)
	ctx := &endsAfter{Context: t.Context()}
	const asked = 4
	ctx.left.Store(asked)
	if ack, err := s.Apply(ctx, b.Manifest, b.Body()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", ack, err)
	}
}
