package run

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
)

func testSpool(t *testing.T, most, cut int64) *spool {
	t.Helper()
	s, err := newSpool(t.TempDir() + "/spool")
	if err != nil {
		t.Fatal(err)
	}
	s.most, s.cut = most, cut
	t.Cleanup(s.end)
	return s
}

// read reads all that there is from an offset on, and what is said to be gone.
func readSpool(t *testing.T, s *spool, offset int64) (data map[Stream][]byte, gone int64) {
	t.Helper()
	r, err := s.reader(offset)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	data = make(map[Stream][]byte)
	for at := offset; ; {
		o, err := r.next(t.Context())
		if errors.Is(err, io.EOF) {
			return data, gone
		}
		if err != nil {
			t.Fatal(err)
		}
		n := int64(len(o.Data))
		if o.Gap != nil {
			n = o.Gap.To - o.Gap.From
			gone += n
			if o.Gap.From != at {
				t.Fatalf("the gap begins at %d, want %d", o.Gap.From, at)
			}
		}
		if at += n; o.Next != at {
			t.Fatalf("it goes on at %d, want %d", o.Next, at)
		}
		data[o.Stream] = append(data[o.Stream], o.Data...)
	}
}

// Every byte comes once and in its order, from any offset, also while it is written.
func TestSpool(t *testing.T) {
	s := testSpool(t, 1<<30, 1000)
	var all []byte
	for range 300 {
		piece := make([]byte, 1+rand.N(300))
		for i := range piece {
			piece[i] = byte(len(all) + i)
		}
		all = append(all, piece...)
	}
	var reading sync.WaitGroup
	for range 4 {
		from := rand.N(int64(10)) // is there soon
		reading.Go(func() {
			for s.bytes() < from {
				select {
				case <-t.Context().Done():
				default:
				}
			}
			got, gone := readSpool(t, s, from)
			if !bytes.Equal(got[Stdout], all[from:]) || gone != 0 {
				t.Errorf("from %d: %d bytes, and %d are gone", from, len(got[Stdout]), gone)
			}
		})
	}
	for rest := all; len(rest) > 0; {
		n := min(1+rand.N(200), len(rest))
		s.write(Stdout, rest[:n])
		rest = rest[n:]
	}
	s.end()
	reading.Wait()
	for _, from := range []int64{0, 1, 999, 1000, 1001, int64(len(all)) - 1, int64(len(all))} {
		if got, _ := readSpool(t, s, from); !bytes.Equal(got[Stdout], all[from:]) {
			t.Errorf("from %d: %d bytes, want %d", from, len(got[Stdout]), len(all[from:]))
		}
	}
	if _, err := s.reader(int64(len(all)) + 1); err == nil {
		t.Error("an offset beyond the end is taken")
	}
	s = testSpool(t, 1<<30, 1000)
	s.write(Stdout, []byte("out"))
	s.write(Stderr, []byte("err"))
	s.end()
	if got, _ := readSpool(t, s, 1); string(got[Stdout]) != "ut" || string(got[Stderr]) != "err" {
		t.Errorf("got %q", got)
	}
}

// As much as may be is kept, and of a byte more the oldest part goes, which is said.
func TestSpoolIsBounded(t *testing.T) {
	const piece = 100
	record := int64(recordHead + piece)
	s := testSpool(t, 10*record, 2*record)
	for range 10 {
		s.write(Stdout, make([]byte, piece))
	}
	slow, err := s.reader(0)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.close()
	if o, err := slow.next(t.Context()); err != nil || o.Next != piece {
		t.Fatalf("%+v, %v", o, err)
	}
	s.write(Stdout, []byte("x"))
	if o, err := slow.next(t.Context()); err != nil || o.Gap != nil || o.Next != 2*piece { // it has that part open
		t.Errorf("who reads already gets %+v, %v", o, err)
	}
	s.end()
	got, gone := readSpool(t, s, 0)
	if gone != 2*piece || len(got[Stdout]) != 8*piece+1 {
		t.Errorf("%d bytes are gone and %d are there", gone, len(got[Stdout]))
	}
	files, err := os.ReadDir(s.dir)
	if err != nil || len(files) != 5 {
		t.Errorf("%d files are there, %v", len(files), err)
	}
}

// What cannot be written is a gap, and what comes later is not.
func TestSpoolThatCannotBeWritten(t *testing.T) {
	s := testSpool(t, 1<<20, 1000)
	s.write(Stdout, []byte("before"))
	s.mu.Lock()
	s.out.Close()
	s.mu.Unlock()
	s.write(Stdout, []byte("lost"))
	s.write(Stdout, []byte("after"))
	s.end()
	got, gone := readSpool(t, s, 0)
	if gone != int64(len("beforelost")) || string(got[Stdout]) != "after" {
		t.Errorf("%d bytes are gone, and %q is there", gone, got[Stdout])
	}
}

// A reader waits for more, until it leaves.
func TestSpoolReaderLeaves(t *testing.T) {
	s := testSpool(t, 1<<20, 1000)
	r, err := s.reader(0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { _, err := r.next(ctx); left <- err }()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}
