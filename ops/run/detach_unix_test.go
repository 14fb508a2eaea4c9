//go:build unix

package run

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// spooling is a service whose commands go on without their askers.
func spooling(t *testing.T, edit ...func(*Config)) *Service {
	t.Helper()
	s := newService(t, append([]func(*Config){func(c *Config) { c.Spool = t.TempDir() + "/spool" }}, edit...)...)
	t.Cleanup(func() { s.Close() })
	return s
}

// detach starts a command that goes on alone, and returns its ID.
func detach(t *testing.T, s *Service, script string) string {
	t.Helper()
	req := sh(script)
	req.Detach = true
	ctx, leave := context.WithCancel(t.Context())
	defer leave() // it is none of the command's
	last, err := s.handle(ctx, streams.Peer{}, req, nil, nil)
	if err != nil || last.Started == nil || last.Started.ID == "" {
		t.Fatalf("%+v, %v", last, err)
	}
	return last.Started.ID
}

// follow shows a command to its end.
func follow(t *testing.T, s *Service, req AttachRequest) (text string, last Output, err error) {
	t.Helper()
	var all strings.Builder
	last, err = s.attach(t.Context(), streams.Peer{}, req, func(o Output) error {
		all.Write(o.Data)
		return nil
	})
	return all.String(), last, err
}

// A command goes on without its asker; who attaches sees all of it from where they want, again and again, and
// how it ended.
func TestDetach(t *testing.T) {
	var ended atomic.Int64
	s := spooling(t, func(c *Config) { c.Ended = func(peer.ID, Request, Exit) { ended.Add(1) } })
	id := detach(t, s, "echo one; sleep 0.3; echo two; exit 3")
	for _, offset := range []int64{0, 4} {
		text, last, err := follow(t, s, AttachRequest{ID: id, Offset: offset})
		if want := "one\ntwo\n"[offset:]; err != nil || text != want || last.Exit == nil || last.Exit.ShellCode() != 3 || last.Next != 8 || last.Exit.StdoutBytes != 8 {
			t.Errorf("from %d: %q, %+v, %v; want %q", offset, text, last.Exit, err, want)
		}
	}
	if ended.Load() != 1 {
		t.Errorf("its end was told %d times", ended.Load())
	}
	if _, _, err := follow(t, s, AttachRequest{ID: id, Offset: 9}); streams.CodeOf(err) != streams.CodeInvalid {
		t.Errorf("beyond its end: %v", err)
	}
	if _, _, err := follow(t, s, AttachRequest{ID: "nobody"}); streams.CodeOf(err) != streams.CodeNotFound {
		t.Errorf("one that there is not: %v", err)
	}
	runs := detach(t, s, "echo $$; sleep 300")
	_, list, err := follow(t, s, AttachRequest{})
	if err != nil || len(list.Detached) != 2 || list.Detached[0].ID != id || list.Detached[0].Exit == nil || list.Detached[1].Exit != nil ||
		!strings.Contains(list.Detached[1].Command, "sleep 300") {
		t.Errorf("%+v, %v", list.Detached, err)
	}
	text, last, err := follow(t, s, AttachRequest{ID: runs, Stop: true})
	if pid, _ := strconv.Atoi(strings.TrimSpace(text)); err != nil || last.Exit == nil || last.Exit.Why != WhyStopped || alive(pid) {
		t.Errorf("stopped: %q, %+v, %v", text, last.Exit, err)
	}
	if s.running != 0 {
		t.Errorf("%d are counted as running", s.running)
	}
	if last, err := s.handle(t.Context(), streams.Peer{}, Request{Argv: []string{"no-such-program"}, Detach: true}, nil, nil); streams.CodeOf(err) != streams.CodeNotFound || last.Started != nil || s.running != 0 {
		t.Errorf("no such program: %+v, %v", last, err)
	}
	none := newService(t)
	req := sh("true")
	req.Detach = true
	if _, err := none.handle(t.Context(), streams.Peer{}, req, nil, nil); streams.CodeOf(err) != streams.CodeUnsupported {
		t.Errorf("where there are none: %v", err)
	}
}

// A detached command prints as much as it likes without anybody who looks, and every byte is there
// afterwards.
func TestDetachedOutput(t *testing.T) {
	const size = 10_000_000
	s := spooling(t)
	id := detach(t, s, "head -c "+strconv.Itoa(size)+" /dev/zero; echo end >&2")
	text, last, err := follow(t, s, AttachRequest{ID: id})
	if err != nil || len(text) != size+4 || last.Exit == nil || !last.Exit.OK() || last.Exit.StdoutBytes != size || last.Exit.StderrBytes != 4 {
		t.Errorf("%d bytes, %+v, %v", len(text), last.Exit, err)
	}
}

// So many are kept and no more: the one that ended first makes room, and one that runs does not.
func TestMostDetached(t *testing.T) {
	s := spooling(t, func(c *Config) { c.Allowed = func() (int, error) { return 256, nil } })
	first := detach(t, s, "true")
	if _, _, err := follow(t, s, AttachRequest{ID: first}); err != nil {
		t.Fatal(err)
	}
	for range MaxDetached - 1 {
		detach(t, s, "exec sleep 300")
	}
	if _, _, err := follow(t, s, AttachRequest{ID: first}); err != nil {
		t.Errorf("with %d: %v", MaxDetached, err)
	}
	detach(t, s, "exec sleep 300")
	if _, _, err := follow(t, s, AttachRequest{ID: first}); streams.CodeOf(err) != streams.CodeNotFound {
		t.Errorf("with one more: %v", err)
	}
	req := sh("true")
	req.Detach = true
	if _, err := s.handle(t.Context(), streams.Peer{}, req, nil, nil); streams.CodeOf(err) != streams.CodeTooMany {
		t.Errorf("where all run: %v", err)
	}
}

// A detached command ends with the worker, when the owner forbids commands, and when its asker may not run
// them any more.
func TestDetachedEnds(t *testing.T) {
	no := errors.New("not any more")
	for _, how := range []string{"the worker stops", "the owner forbids it", "the right is gone"} {
		var forbidden, gone atomic.Bool
		s := spooling(t, func(c *Config) {
			c.Allowed = func() (int, error) {
				if forbidden.Load() {
					return 0, no
				}
				return 0, nil
			}
			c.Still = func(peer.ID) error {
				if gone.Load() {
					return no
				}
				return nil
			}
		})
		id := detach(t, s, "trap '' TERM; echo $$; while :; do sleep 0.1; done")
		one, pid, err := s.detached.find(id)
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "it to run", func() bool { return one.spool.bytes() > 0 })
		switch how {
		case "the worker stops":
			s.Close()
			if _, err := os.Stat(one.spool.dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("its output is left: %v", err)
			}
		case "the owner forbids it":
			forbidden.Store(true)
		case "the right is gone":
			gone.Store(true)
		}
		waitFor(t, how, func() bool { return !alive(pid) })
		if how == "the worker stops" {
			req := sh("true")
			req.Detach = true
			if _, err := s.handle(t.Context(), streams.Peer{}, req, nil, nil); streams.CodeOf(err) != streams.CodeUnavailable {
				t.Errorf("after its end: %v", err)
			}
		}
	}
}
