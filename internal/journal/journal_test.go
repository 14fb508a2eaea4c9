package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

var laptop = streamtest.PeerID("laptop")

// effect is a request of the laptop with this payload.
func effect(payload string) streams.Effect {
	return streams.Effect{Peer: laptop, ID: uuid.NewSHA1(uuid.Nil, []byte(payload)), Hash: sha256.Sum256([]byte(payload)), Sent: time.Now()}
}

// answered is what comes of a request that succeeds.
func answered(e streams.Effect, payload string) streams.Past {
	return streams.Past{Hash: e.Hash, Ended: true, Payload: []byte(payload)}
}

func open(t *testing.T, cfg Config) *Journal {
	t.Helper()
	j := Open(cfg)
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// begins reports whether the request is taken as a new one.
func begins(t *testing.T, j *Journal, e streams.Effect) bool {
	t.Helper()
	past, err := j.Begin(e)
	if err != nil {
		t.Fatal(err)
	}
	return past == nil
}

func TestWhatIsKept(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "journal")}
	j := open(t, cfg)
	ok, cut, refused, failed, long := effect("ok"), effect("cut"), effect("refused"), effect("failed"), effect("long")
	for _, e := range []streams.Effect{ok, cut, refused, failed, long} {
		if !begins(t, j, e) {
			t.Fatal("a new request was known")
		}
	}
	j.End(ok, answered(ok, `{"x":1}`))
	j.End(refused, streams.Past{Hash: refused.Hash, Ended: true, NoEffect: true, Err: streams.Errorf(streams.CodeRefused, "no")})
	j.End(failed, streams.Past{Hash: failed.Hash, Ended: true, Err: streams.Errorf(streams.CodeInternal, "internal error")})
	j.End(long, answered(long, `"`+strings.Repeat("x", maxAnswer-1)+`"`))
	for range 2 {
		if past, err := j.Begin(ok); err != nil || !past.Ended || string(past.Payload) != `{"x":1}` || past.Hash != ok.Hash {
			t.Errorf("what was answered: %+v, %v", past, err)
		}
		if past, err := j.Begin(cut); err != nil || past.Ended {
			t.Errorf("what was cut: %+v, %v", past, err)
		}
		if past, err := j.Begin(failed); err != nil || past.Err.Code != streams.CodeInternal {
			t.Errorf("what failed: %+v, %v", past, err)
		}
		if past, err := j.Begin(long); err != nil || !past.Ended || !past.Short {
			t.Errorf("what had a long answer: %+v, %v", past, err)
		}
		j = open(t, cfg) // as after a kill: the one before was not closed
	}
	if !begins(t, j, refused) {
		t.Error("what had no effect is known")
	}
	other := ok
	other.Peer = streamtest.PeerID("phone")
	if !begins(t, j, other) {
		t.Error("another peer's request is taken for the laptop's")
	}
}

// A file may end anywhere, and any byte of it may be another one: the journal opens, and no request
// that was answered is done again, nor one answered with another's answer.
func TestDamage(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	j := open(t, cfg)
	all := []streams.Effect{effect("one"), effect("two"), effect("three")}
	for _, e := range all {
		begins(t, j, e)
		j.End(e, answered(e, `"`+e.ID.String()+`"`))
	}
	whole, err := os.ReadFile(j.path(fileName))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, at int, b []byte) {
		var log bytes.Buffer
		cfg := Config{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if err := os.WriteFile(filepath.Join(cfg.Dir, fileName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		j := Open(cfg)
		defer j.Close()
		for i, e := range all {
			past, err := j.Begin(e)
			switch {
			case err != nil:
				t.Fatalf("%s at %d: %v", what, at, err)
			case past == nil && (what != "cut off" || bytes.Count(b, []byte("\n")) > 2*i):
				t.Fatalf("%s at %d: request %d is done again", what, at, i)
			case past != nil && past.Ended && string(past.Payload) != `"`+e.ID.String()+`"`:
				t.Fatalf("%s at %d: request %d has the answer %s", what, at, i, past.Payload)
			}
		}
		if what == "changed" && at < len(b)-1 && !strings.Contains(log.String(), "the journal is damaged") {
			t.Errorf("%s at %d: nothing was said", what, at)
		}
		if fresh := effect("new"); !begins(t, j, fresh) {
			t.Errorf("%s at %d: a new request is refused", what, at)
		}
	}
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 1 << (i % 8)
		if c := parse(changed); c.damaged == 0 && i < len(whole)-1 || len(c.all) >= 2*len(all) {
			t.Errorf("changed at %d: %d lines, %d of them damaged", i, len(c.all), c.damaged)
		}
		if i%29 == 0 { // these go to the disk
			check("cut off", i, whole[:i])
			check("changed", i, changed)
		}
	}
	check("too long", maxBytes, append(bytes.Clone(whole), make([]byte, maxBytes)...))
}

// A clock that jumps costs nothing of what is younger than the bound, and nothing is kept for ever.
func TestTurns(t *testing.T) {
	now := time.Now()
	cfg := Config{Dir: t.TempDir(), now: func() time.Time { return now }}
	j := open(t, cfg)
	first := effect("first")
	begins(t, j, first)
	for i, step := range []struct {
		by   time.Duration
		want bool // the first is known still
	}{{turnAfter - time.Second, true}, {2 * time.Second, true}, {-48 * time.Hour, true}, {72*time.Hour + turnAfter, false}} {
		now = now.Add(step.by)
		begins(t, j, effect(step.by.String()))
		if i%2 == 0 {
			j = open(t, cfg)
		}
		if past, err := j.Begin(first); err != nil || (past != nil) != step.want {
			t.Errorf("step %d: %+v, %v", i, past, err)
		}
	}
}

// A full file takes nothing more until it is old enough; then it has its turn.
func TestFull(t *testing.T) {
	now := time.Now()
	j := open(t, Config{Dir: t.TempDir(), now: func() time.Time { return now }})
	e := effect("first")
	begins(t, j, e)
	j.size = maxBytes - 10
	if _, err := j.Begin(effect("more")); err == nil || !strings.Contains(err.Error(), "too many commands") {
		t.Errorf("a full journal says %v", err)
	}
	now = now.Add(turnNever)
	if !begins(t, j, effect("more")) || begins(t, j, e) {
		t.Error("after its turn")
	}
}

// What the disk does not take is not done; the next request finds the journal as it was.
func TestDisk(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	blocked := filepath.Join(dir, "journal")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil { // where the directory should be
		t.Fatal(err)
	}
	cfg := Config{Dir: blocked, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	j := open(t, cfg)
	e := effect("one")
	if past, err := j.Begin(e); err == nil || past != nil || !strings.Contains(log.String(), "cannot be opened") {
		t.Errorf("without a directory: %+v, %v, log %q", past, err, &log)
	}
	j.End(e, answered(e, `1`))
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if !begins(t, j, e) {
		t.Error("what could not be recorded is known")
	}
	j.file.Close() // each write fails from here on
	if _, err := j.Begin(effect("two")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a failing disk: %v", err)
	}
	if !begins(t, j, effect("two")) || begins(t, j, e) {
		t.Error("after the disk is back")
	}
}

// Whenever the machine goes down, a request whose effect began is known afterwards.
func TestPowerCuts(t *testing.T) {
	for cut := range 12 {
		dir, steps := t.TempDir(), 0
		cfg := Config{Dir: dir, step: func(string) {
			if steps++; steps > cut {
				panic("down")
			}
		}}
		j := Open(cfg)
		var begun, ended []streams.Effect
		func() {
			defer func() { _ = recover() }()
			for _, word := range []string{"one", "two"} {
				e := effect(word)
				if _, err := j.Begin(e); err != nil {
					t.Fatal(err)
				}
				begun = append(begun, e)
				j.End(e, answered(e, `1`))
				ended = append(ended, e)
			}
		}()
		next := open(t, Config{Dir: dir})
		for _, e := range begun {
			if begins(t, next, e) {
				t.Errorf("after %d steps: a request is done again", cut)
			}
		}
		for _, e := range ended {
			if past, err := next.Begin(e); err != nil || !past.Ended {
				t.Errorf("after %d steps: %+v, %v", cut, past, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	r := record{Hash: make([]byte, sha256.Size), State: begun}
	text, err := r.line(key{laptop, uuid.Nil})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		c := parse(b)
		for _, r := range c.all {
			if _, err := peer.Decode(r.peer.String()); err != nil || len(r.Hash) != sha256.Size {
				t.Errorf("a phantom: %+v", r)
			}
		}
		if again := parse(c.good); again.damaged > 0 || len(again.all) != len(c.all) {
			t.Error("what is kept of it is damaged")
		}
	})
}

func BenchmarkBegin(b *testing.B) {
	j := Open(Config{Dir: b.TempDir()})
	defer j.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Begin(streams.Effect{Peer: laptop, ID: uuid.New()}); err != nil {
			b.Fatal(err)
		}
	}
}
