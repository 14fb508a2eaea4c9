package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

func openCounters(t testing.TB, cfg CountersConfig) *Counters {
	t.Helper()
	c, err := OpenCounters(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func counts(t testing.TB, dir string, since time.Time) []Count {
	t.Helper()
	got, err := ReadCounts(dir, since)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		c := openCounters(t, CountersConfig{Dir: dir})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()

		first := time.Now().Truncate(time.Minute)
		for range 3 {
			c.Add("alice")
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		c.Add("alice") // of the same minute, in another line
		c.Add("bob")
		time.Sleep(90 * time.Second)
		c.Add("alice")
		c.Add(strings.Repeat("x", MaxWord+1))
		c.Add("\xff")
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}

		second := first.Add(time.Minute)
		want := []Count{
			{first.UnixMilli(), "alice", 4}, {first.UnixMilli(), "bob", 1},
			{second.UnixMilli(), "alice", 1}, {second.UnixMilli(), Others, 2},
		}
		if got := counts(t, dir, time.Time{}); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		sums := []Refused{{"alice", 5, second.UnixMilli()}, {Others, 2, second.UnixMilli()}, {"bob", 1, first.UnixMilli()}}
		if got, err := ReadRefused(dir, time.Time{}); err != nil || !slices.Equal(got, sums) {
			t.Errorf("refused %v, %v, want %v", got, err, sums)
		}
		if got := counts(t, dir, second.Add(time.Second)); !slices.Equal(got, want[2:]) {
			t.Errorf("since the second minute %v, want %v", got, want[2:])
		}
	})
}

// TestFlood lets 100,000 strangers come in each of twelve minutes: the memory, the files and the
// entries of the log stay as they were.
func TestFlood(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, 3)
	head := l.Head()
	synctest.Test(t, func(t *testing.T) {
		c := openCounters(t, CountersConfig{Dir: dir, Peers: 8, Bytes: 4096})
		const minutes, strangers = 12, 100_000
		for range minutes {
			for i := range strangers {
				c.Add(fmt.Sprint("stranger", i))
			}
			if n := len(c.counts); n > 9 {
				t.Fatalf("%d peers in memory, want at most 8 and the others", n)
			}
			time.Sleep(time.Minute)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		last := time.Now().Add(-time.Minute)
		got := counts(t, dir, last)
		var sum uint64
		for _, n := range got {
			sum += n.Count
		}
		if len(got) != 9 || sum != strangers {
			t.Errorf("the last minute has %d peers and %d refusals, want 9 and %d", len(got), sum, strangers)
		}
	})
	var size int64
	for _, ending := range []string{"", olderEnding} {
		info, err := os.Stat(countsPath(dir) + ending)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 4096 {
		t.Errorf("the files have %d bytes, want at most 4096", size)
	}
	verify(t, dir, head)
}

func TestCountersConfig(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  CountersConfig
		ok   bool
	}{
		{"no directory", CountersConfig{}, false},
		{"defaults", CountersConfig{Dir: t.TempDir()}, true},
		{"smallest", CountersConfig{Dir: t.TempDir(), Peers: 1, Bytes: 2 * maxCountLine}, true},
		{"no peers", CountersConfig{Dir: t.TempDir(), Peers: -1}, false},
		{"few bytes", CountersConfig{Dir: t.TempDir(), Bytes: 2*maxCountLine - 1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := OpenCounters(tt.cfg); (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}

// TestCountersTorn is what a kill in the midst of a write leaves: only the torn line is lost.
func TestCountersTorn(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, countsPath(dir), []byte("{\"minute\":60000,\"peer\":\"bob\",\"count\":1}\n{\"minute\":60000,\"pe"))
	c := openCounters(t, CountersConfig{Dir: dir})
	c.Add("alice")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	got := counts(t, dir, time.Time{})
	if len(got) != 2 || got[0] != (Count{60000, "bob", 1}) || got[1].Peer != "alice" {
		t.Errorf("got %v, want one of bob and one of alice", got)
	}
}

func TestCountersUnwritable(t *testing.T) {
	dir := t.TempDir()
	c := openCounters(t, CountersConfig{Dir: dir})
	if err := os.Mkdir(countsPath(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	c.Add("alice")
	if err := c.Close(); !errors.Is(err, durable.ErrUnsafe) {
		t.Errorf("got %v, want ErrUnsafe", err)
	}
}

func TestCountersConcurrent(t *testing.T) {
	dir := t.TempDir()
	c := openCounters(t, CountersConfig{Dir: dir})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 1000 {
				c.Add(fmt.Sprint("p", i))
			}
			if err := c.Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var sum uint64
	for _, n := range counts(t, dir, time.Time{}) {
		sum += n.Count
	}
	if sum != 8000 {
		t.Errorf("counted %d, want 8000", sum)
	}
}

func FuzzReadCounts(f *testing.F) {
	f.Add([]byte(`{"minute":60000,"peer":"p","count":3}` + "\n"))
	f.Add([]byte(`{"minute":60000,"peer":"p","cou`))
	f.Add(bytes.Repeat([]byte("x"), 2*MaxLine))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		writeFile(t, countsPath(dir), data)
		if _, err := ReadCounts(dir, time.Time{}); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkCountersAdd(b *testing.B) {
	c := openCounters(b, CountersConfig{Dir: b.TempDir()})
	for b.Loop() {
		c.Add("mallory")
	}
}
