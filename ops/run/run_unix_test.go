//go:build unix

package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/internal/process"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/streams"
)

func TestMain(m *testing.M) {
	process.KeepInherited() // as the program does
	goleak.VerifyTestMain(m)
}

// asker is one who has a command run, as the other side of the handler.
type asker struct {
	inputs chan Input
	ctx    context.Context
	cancel context.CancelCauseFunc
	ended  chan struct{}

	mu     sync.Mutex
	out    map[Stream]*bytes.Buffer // guarded by mu
	taken  int64                    // guarded by mu
	dealt  int64                    // guarded by mu
	told   int64                    // guarded by mu: of dealt, by one who is paused
	paused bool                     // guarded by mu
	pid    int                      // guarded by mu
	exit   *Exit                    // set before ended is closed
	err    error                    // likewise
}

func newService(t *testing.T, edit ...func(*Config)) *Service {
	t.Helper()
	cfg := Config{
		Dir: t.TempDir() + "/run", Allowed: func() (int, error) { return 0, nil }, Grace: 200 * time.Millisecond,
		Environ: []string{"PATH=" + defaultPath, "HOME=" + t.TempDir(), "SWARM_SECRET=x", "AWS_KEY=y", "LC_TIME=C", "TERM=dumb"},
	}
	for _, e := range edit {
		e(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask has a command run; with paused none of its output is dealt with.
func ask(t *testing.T, s *Service, req Request, paused bool) *asker {
	t.Helper()
	a := &asker{
		inputs: make(chan Input), ended: make(chan struct{}), paused: paused,
		out: map[Stream]*bytes.Buffer{Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer)},
	}
	a.ctx, a.cancel = context.WithCancelCause(context.Background())
	dealt := make(chan int64, 1<<16)
	var talking sync.WaitGroup
	talking.Go(func() {
		for {
			select {
			case n := <-dealt:
				a.put(Input{Taken: n})
			case <-a.ended:
				return
			}
		}
	})
	go func() {
		defer talking.Wait()
		defer close(a.ended)
		var last Output
		last, a.err = s.handle(a.ctx, streams.Peer{}, req, a.inputs, func(o Output) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			if o.Started != nil {
				a.pid = o.Started.PID
			}
			a.taken = max(a.taken, o.Taken)
			if len(o.Data) > 0 {
				if int64(a.out[o.Stream].Len()) != o.Offset {
					t.Errorf("%s goes on at %d, %d have arrived", o.Stream, o.Offset, a.out[o.Stream].Len())
				}
				a.out[o.Stream].Write(o.Data)
				if a.dealt += int64(len(o.Data)); !a.paused {
					dealt <- a.dealt
				} else if a.dealt-a.told > OutputWindow {
					t.Errorf("%d bytes are under way, at most %d may be", a.dealt-a.told, OutputWindow)
				}
			}
			return nil
		})
		a.exit = last.Exit
	}()
	t.Cleanup(func() { a.cancel(nil); <-a.ended })
	return a
}

// put sends an input, unless the command has ended.
func (a *asker) put(in Input) {
	select {
	case a.inputs <- in:
	case <-a.ended:
	}
}

func (a *asker) text(s Stream) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.out[s].String()
}

// end waits until the command has ended.
func (a *asker) end(t *testing.T) Exit {
	t.Helper()
	select {
	case <-a.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the command does not end")
	}
	if a.exit == nil {
		return Exit{}
	}
	return *a.exit
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func sh(script string) Request { return Request{Argv: []string{"sh", "-c", script}} }

func TestEnds(t *testing.T) {
	s := newService(t)
	none := filepath.Join(t.TempDir(), "none")
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	unset := filepath.Join(t.TempDir(), "unset")
	if err := os.WriteFile(unset, []byte("#!/bin/sh"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		req  Request
		code int // as a shell tells it
		end  string
		err  streams.Code
	}{
		{"exits", sh("exit 0"), 0, "exit code 0", 0},
		{"exits with a code", sh("exit 7"), 7, "exit code 7", 0},
		{"a signal", sh("kill -9 $$"), 137, "SIGKILL", 0},
		{"takes too long", Request{Argv: []string{"sleep", "300"}, TimeoutMS: 50}, 124, "SIGTERM, ended after its time was over", 0},
		{"takes too long, and is deaf", Request{Argv: []string{"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}, TimeoutMS: 50}, 124, "SIGKILL, ended after its time was over", 0},
		{"has closed its output", sh("exec >&- 2>&-; sleep 0.1; exit 3"), 3, "exit code 3", 0},
		{"no such program", Request{Argv: []string{"no-such-program"}}, 0, "", streams.CodeNotFound},
		{"no such path", Request{Argv: []string{none}}, 0, "", streams.CodeNotFound},
		{"a directory", Request{Argv: []string{"/"}}, 0, "", streams.CodeNotFound},
		{"no such directory", Request{Argv: []string{"true"}, Dir: none}, 0, "", streams.CodeNotFound},
		{"no program at all", Request{Argv: []string{plain}}, 0, "", streams.CodeRefused},
		{"not executable", Request{Argv: []string{unset}}, 0, "", streams.CodeRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := ask(t, s, tt.req, false)
			e := a.end(t)
			if streams.CodeOf(a.err) != tt.err || tt.err == 0 && (e.ShellCode() != tt.code || e.String() != tt.end) {
				t.Errorf("ended with %s (%d), %v; want %s (%d), %d", e, e.ShellCode(), a.err, tt.end, tt.code, tt.err)
			}
		})
	}
	if s.running != 0 {
		t.Errorf("%d are counted as running", s.running)
	}
}

// A command sees a few variables and what was asked for, no open files, and nothing of a shell's.
func TestWhatACommandGets(t *testing.T) {
	home := t.TempDir()
	s := newService(t, func(c *Config) { c.Environ = append(c.Environ, "HOME="+home) })
	a := ask(t, s, Request{Argv: []string{"env"}, Env: map[string]string{"X": "a b\n$HOME", "LC_TIME": "de_DE"}}, false)
	a.end(t)
	var names []string
	for _, kv := range s.cfg.Environ {
		if strings.Contains(a.text(Stdout), "SECRET") || strings.Contains(a.text(Stdout), "AWS") {
			t.Fatalf("%s is seen in %s", kv, a.text(Stdout))
		}
	}
	for line := range strings.Lines(a.text(Stdout)) {
		if name, _, ok := strings.Cut(line, "="); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if want := "HOME LC_TIME PATH SWARM_WORKLOAD TERM X"; strings.Join(names, " ") != want || !strings.Contains(a.text(Stdout), "X=a b\n$HOME\n") || !strings.Contains(a.text(Stdout), "LC_TIME=de_DE") {
		t.Errorf("the variables are %v, want %s: %s", names, want, a.text(Stdout))
	}
	for _, tt := range []struct {
		req  Request
		want string
	}{
		{Request{Argv: []string{"pwd"}}, home + "\n"},
		{Request{Argv: []string{"pwd"}, Dir: "/usr"}, "/usr\n"},
		{Request{Argv: []string{"printf", "%s|", "*", "$X", "a b", ""}}, "*|$X|a b||"},
		{Request{Argv: []string{"./tool", "1"}, Dir: home}, "tool 1\n"},
	} {
		if err := os.WriteFile(home+"/tool", []byte("#!/bin/sh\necho tool $1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		a := ask(t, s, tt.req, false)
		if e := a.end(t); !e.OK() || a.text(Stdout) != tt.want {
			t.Errorf("%q: got %q, %s, %v", tt.req.Argv, a.text(Stdout), e, a.err)
		}
	}
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Log("NOT TESTED: without /proc the open files are not known")
		return
	}
	f, err := os.Create(home + "/open")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a = ask(t, s, sh("ls -l /proc/self/fd; echo"), false)
	if a.end(t); strings.Count(a.text(Stdout), "->") != 4 { // one is that of ls itself
		t.Errorf("%s files are open, want 3", a.text(Stdout))
	}
}

// Input arrives whole, its end is seen, and a command that reads none does not wait for it.
func TestInput(t *testing.T) {
	s := newService(t)
	big := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16) // 1 MiB
	for _, tt := range []struct {
		name string
		req  Request
		in   []byte
		want string
	}{
		{"none", Request{Argv: []string{"cat"}}, nil, ""},
		{"empty", Request{Argv: []string{"cat"}, Input: true}, nil, ""},
		{"a byte", Request{Argv: []string{"cat"}, Input: true}, []byte("x"), "x"},
		{"much", Request{Argv: []string{"cat"}, Input: true}, big, string(big)},
		{"not read", Request{Argv: []string{"true"}, Input: true}, big, ""},
		{"read in part", Request{Argv: []string{"head", "-c", "3"}, Input: true}, big, "012"},
		{"closed, and more to say", Request{Argv: []string{"sh", "-c", "exec <&-; sleep 0.1; echo said"}, Input: true}, big, "said\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := ask(t, s, tt.req, false)
			for sent := 0; tt.req.Input && sent < len(tt.in); {
				n := min(MaxData, len(tt.in)-sent)
				over := func() bool {
					select {
					case <-a.ended:
						return true
					default:
						return false
					}
				}
				waitFor(t, "room for input", func() bool {
					a.mu.Lock()
					defer a.mu.Unlock()
					return int64(sent+n)-a.taken <= InputWindow || over()
				})
				if over() {
					break
				}
				a.put(Input{Data: tt.in[sent : sent+n]})
				sent += n
			}
			if tt.req.Input {
				a.put(Input{End: true})
			}
			if e := a.end(t); e.Code == nil || a.text(Stdout) != tt.want || a.err != nil {
				t.Errorf("got %d bytes, %s, %v; want %d bytes", len(a.text(Stdout)), e, a.err, len(tt.want))
			}
		})
	}
}

// What is ahead of a command that does not read is bounded, and so is what is ahead of an asker that
// does not, for as long as it likes.
func TestWindows(t *testing.T) {
	s := newService(t)
	a := ask(t, s, Request{Argv: []string{"sleep", "300"}, Input: true}, false)
	fits := InputWindow / MaxData
	for range fits {
		a.put(Input{Data: make([]byte, MaxData)})
	}
	waitFor(t, "the pipe to be full", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return a.taken >= 0 })
	// The pipe itself may take some more; then nothing does.
	for range 8 {
		a.put(Input{Data: make([]byte, MaxData)})
	}
	if a.end(t); streams.CodeOf(a.err) != streams.CodeTooLarge {
		t.Errorf("too much input ends with %v", a.err)
	}

	const size = 10_000_000
	a = ask(t, s, Request{Argv: []string{"head", "-c", strconv.Itoa(size), "/dev/zero"}}, true)
	waitFor(t, "the window to be full", func() bool { return len(a.text(Stdout)) > OutputWindow-MaxData })
	a.mu.Lock()
	a.paused = false
	dealt := a.dealt
	a.mu.Unlock()
	a.put(Input{Taken: dealt})
	if e := a.end(t); !e.OK() || e.StdoutBytes != size || len(a.text(Stdout)) != size {
		t.Errorf("%s with %d bytes, %d have arrived, %v", e, e.StdoutBytes, len(a.text(Stdout)), a.err)
	}

	a = ask(t, s, sh("echo; sleep 300"), true)
	waitFor(t, "output", func() bool { return len(a.text(Stdout)) == 1 })
	a.put(Input{Taken: 2})
	if a.end(t); streams.CodeOf(a.err) != streams.CodeInvalid {
		t.Errorf("more taken than sent ends with %v", a.err)
	}
}

// A command is over when its first process is, whatever still holds its output.
func TestBackgroundDoesNotHold(t *testing.T) {
	s := newService(t)
	began := time.Now()
	a := ask(t, s, sh("sleep 300 & echo $!"), false)
	e := a.end(t)
	pid, err := strconv.Atoi(strings.TrimSpace(a.text(Stdout)))
	if !e.OK() || err != nil || time.Since(began) > 5*time.Second || alive(pid) {
		t.Errorf("%s after %v with %q; the process lives: %v", e, time.Since(began), a.text(Stdout), alive(pid))
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !errors.Is(err, os.ErrNotExist)
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}

// However it ends, nothing is left: of a deaf parent with a grandchild that has left the session
// neither.
func TestNothingIsLeft(t *testing.T) {
	forbidden := errors.New("not any more")
	for _, how := range []string{"the asker leaves", "the asker says stop", "its time is over", "the owner forbids it"} {
		t.Run(how, func(t *testing.T) {
			var mu sync.Mutex
			var no error
			s := newService(t, func(c *Config) {
				c.Allowed = func() (int, error) { mu.Lock(); defer mu.Unlock(); return 0, no }
			})
			req := sh("trap '' TERM; echo $$; (setsid sh -c 'sleep 300 & echo $!' & wait); while :; do sleep 0.1; done")
			if how == "its time is over" {
				req.TimeoutMS = 500
			}
			a := ask(t, s, req, false)
			waitFor(t, "both processes", func() bool { return strings.Count(a.text(Stdout), "\n") == 2 })
			switch how {
			case "the asker leaves":
				a.cancel(nil)
			case "the asker says stop":
				a.put(Input{Stop: true})
			case "the owner forbids it":
				mu.Lock()
				no = forbidden
				mu.Unlock()
			}
			e := a.end(t)
			for line := range strings.FieldsSeq(a.text(Stdout)) {
				if pid, err := strconv.Atoi(line); err != nil || alive(pid) {
					t.Errorf("process %s is left", line)
				}
			}
			want := map[string]struct {
				why string
				err error
			}{
				"the asker leaves": {"", context.Canceled}, "the asker says stop": {WhyStopped, nil},
				"its time is over": {WhyTimeout, nil}, "the owner forbids it": {"", streams.ErrRefused},
			}[how]
			if e.Why != want.why || !errors.Is(a.err, want.err) {
				t.Errorf("ended with %s, %v", e, a.err)
			}
		})
	}
}

// So many run at a time as the owner says, and one more does not.
func TestMost(t *testing.T) {
	s := newService(t, func(c *Config) { c.Allowed = func() (int, error) { return 2, nil } })
	first, second := ask(t, s, sh("sleep 300"), false), ask(t, s, sh("sleep 300"), false)
	for _, a := range []*asker{first, second} {
		waitFor(t, "both to run", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return a.pid > 0 })
	}
	third := ask(t, s, sh("true"), false)
	if third.end(t); streams.CodeOf(third.err) != streams.CodeTooMany {
		t.Errorf("a third one: %v", third.err)
	}
	first.cancel(nil)
	first.end(t)
	again := ask(t, s, sh("true"), false)
	if e := again.end(t); !e.OK() || again.err != nil {
		t.Errorf("after one has ended: %s, %v", e, again.err)
	}
	none := newService(t, func(c *Config) { c.Allowed = nil })
	refused := ask(t, none, sh("true"), false)
	if refused.end(t); streams.CodeOf(refused.err) != streams.CodeRefused {
		t.Errorf("where none are allowed: %v", refused.err)
	}
}

// What a killed worker has left is ended by the next one, and how each command ended is told.
func TestNextWorkerSweeps(t *testing.T) {
	dir := t.TempDir() + "/run"
	s := newService(t)
	w, err := s.driver.Start(driver.Spec{Argv: []string{"/bin/sleep", "300"}, Dir: "/", OnlyEnv: true, Mark: dir + "/x"})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	s = newService(t, func(c *Config) {
		c.Dir = dir
		c.Ended = func(_ peer.ID, r Request, e Exit) { told = append(told, r.Summary()+": "+e.String()) }
	})
	<-w.Done()
	ask(t, s, sh("exit 2"), false).end(t)
	if want := `"sh" "-c" "exit 2": exit code 2`; len(told) != 1 || told[0] != want {
		t.Errorf("told %q, want %q", told, want)
	}
}
