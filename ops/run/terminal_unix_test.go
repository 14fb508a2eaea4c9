//go:build unix

package run

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/streams"
)

// at is a shell's command at a terminal of the usual size.
func at(script string) Request {
	r := sh(script)
	r.TTY = &TTY{Rows: 24, Cols: 80, Term: "vt100"}
	return r
}

// A command sees a terminal of the size and kind that was asked for from its start on, which controls its
// session; what it prints is one stream.
func TestTerminal(t *testing.T) {
	if _, err := exec.LookPath("stty"); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	s := newService(t)
	a := ask(t, s, at("stty size; echo $TERM; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all three; echo err >&2; echo to the session > /dev/tty; exit 3"), false)
	e := a.end(t)
	if want := "24 80\r\nvt100\r\nall three\r\nerr\r\nto the session\r\n"; a.text(Stdout) != want || a.text(Stderr) != "" {
		t.Errorf("got %q and %q, want %q", a.text(Stdout), a.text(Stderr), want)
	}
	if e.Code == nil || *e.Code != 3 || e.StdoutBytes != int64(len(a.text(Stdout))) || e.StderrBytes != 0 || a.err != nil {
		t.Errorf("%s, %+v, %v", e, e, a.err)
	}
	for name, tt := range map[string]struct{ lang, want string }{"in UTF-8": {"de_DE.UTF-8", " iutf8"}, "in another": {"C", "-iutf8"}} {
		req := at("stty -a")
		req.Env = map[string]string{"LANG": tt.lang, "LC_ALL": tt.lang}
		a := ask(t, s, req, false)
		a.end(t)
		if !strings.Contains(a.text(Stdout), tt.want) {
			t.Logf("NOT TESTED %s: %s", name, a.text(Stdout))
			if strings.Contains(a.text(Stdout), "iutf8") {
				t.Errorf("%s: %q is not in %s", name, tt.want, a.text(Stdout))
			}
		}
	}
	worker := ask(t, s, Request{Argv: []string{"sh", "-c", "echo $TERM"}, TTY: &TTY{Rows: 1, Cols: 1}}, false)
	if worker.end(t); worker.text(Stdout) != "dumb\r\n" {
		t.Errorf("without a kind TERM is %q", worker.text(Stdout))
	}
}

// Another size reaches the programs at once; without a terminal there is none.
func TestResize(t *testing.T) {
	s := newService(t, func(c *Config) { c.Grace = time.Minute })
	a := ask(t, s, at(`trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done`), false)
	waitFor(t, "the command", func() bool { return strings.Contains(a.text(Stdout), "ready") })
	a.put(Input{Size: &Size{Rows: 50, Cols: 132}})
	waitFor(t, "the size", func() bool { return strings.Contains(a.text(Stdout), "50 132") })
	a.put(Input{Stop: true})
	if e := a.end(t); e.Signal != "SIGHUP" || e.Why != WhyStopped {
		t.Errorf("a hangup ends it with %s", e)
	}
	a = ask(t, s, sh("sleep 300"), false)
	a.put(Input{Size: &Size{Rows: 1, Cols: 1}})
	if a.end(t); streams.CodeOf(a.err) != streams.CodeInvalid {
		t.Errorf("a size without a terminal: %v", a.err)
	}
}

// Keys do what they do at a terminal; the end of the input is none of them.
func TestKeys(t *testing.T) {
	s := newService(t)
	a := ask(t, s, at("echo ready; cat; echo over"), false)
	waitFor(t, "cat", func() bool { return strings.Contains(a.text(Stdout), "ready") })
	a.put(Input{Data: []byte("hellp\x7fo\r\x04"), End: true})
	if e := a.end(t); !e.OK() || !strings.HasSuffix(a.text(Stdout), "hello\r\nover\r\n") {
		t.Errorf("%s, %q", e, a.text(Stdout))
	}
	a = ask(t, s, at("echo ready; exec sleep 300"), false)
	waitFor(t, "sleep", func() bool { return strings.Contains(a.text(Stdout), "ready") })
	a.put(Input{End: true})
	a.put(Input{Data: nil})
	select {
	case <-a.ended:
		t.Fatal("the end of the input has ended the command")
	default:
	}
	a = ask(t, s, at("echo ready; exec sleep 300"), false)
	waitFor(t, "sleep", func() bool { return strings.Contains(a.text(Stdout), "ready") })
	a.put(Input{Data: []byte{3}})
	if e := a.end(t); e.Signal != "SIGINT" || e.Why != "" {
		t.Errorf("Ctrl-C ends it with %s", e)
	}
}

// All that is printed at a terminal arrives, also where the asker is slow and the command has ended long
// since.
func TestTerminalLosesNothing(t *testing.T) {
	const size = 10_000_000
	s := newService(t)
	for _, tt := range []struct {
		name string
		argv []string
	}{
		{"the first process itself", []string{"head", "-c", strconv.Itoa(size), "/dev/zero"}},
		{"one below", []string{"sh", "-c", "head -c " + strconv.Itoa(size) + " /dev/zero; true"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := ask(t, s, Request{Argv: tt.argv, TTY: &TTY{Rows: 24, Cols: 80}}, true)
			over, last := false, int64(-1)
			waitFor(t, "all of it", func() bool {
				select {
				case <-a.ended:
					over = true
					return true
				default:
				}
				a.mu.Lock()
				dealt := a.dealt
				if dealt == last {
					a.told = dealt
				}
				a.mu.Unlock()
				if dealt == last { // it waits for the reader
					a.put(Input{Taken: dealt})
				}
				last = dealt
				return false
			})
			e := a.end(t)
			if !over || !e.OK() || e.StdoutBytes != size || len(a.text(Stdout)) != size || a.err != nil {
				t.Errorf("%s: %d bytes were sent and %d have arrived, want %d; %v", e, e.StdoutBytes, len(a.text(Stdout)), size, a.err)
			}
			if n := bytes.Count([]byte(a.text(Stdout)), []byte{0}); n != len(a.text(Stdout)) {
				t.Errorf("%d bytes are others", len(a.text(Stdout))-n)
			}
		})
	}
}

// A session is over when its first process is, and nothing is left of it: not what is in the background, and
// not what takes no notice of a hangup.
func TestTerminalLeavesNothing(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("NOT TESTED: without /proc processes are not known: ", err)
	}
	s := newService(t)
	began := time.Now()
	a := ask(t, s, at("sleep 300 & echo $!; exit"), false)
	e := a.end(t)
	pid, err := strconv.Atoi(strings.TrimSpace(a.text(Stdout)))
	if !e.OK() || err != nil || time.Since(began) > 5*time.Second || alive(pid) {
		t.Errorf("%s after %v with %q; the process lives: %v", e, time.Since(began), a.text(Stdout), alive(pid))
	}
	for _, how := range []string{"the asker leaves", "the asker says stop"} {
		a := ask(t, s, at("trap '' HUP TERM; echo $$; sleep 300 & echo $!; while :; do sleep 0.1; done"), false)
		waitFor(t, "both processes", func() bool { return strings.Count(a.text(Stdout), "\n") == 2 })
		began := time.Now()
		if how == "the asker leaves" {
			a.cancel(nil)
		} else {
			a.put(Input{Stop: true})
		}
		a.end(t)
		if took := time.Since(began); took < s.cfg.Grace || took > 5*time.Second {
			t.Errorf("%s: it takes %v, and the grace is %v", how, took, s.cfg.Grace)
		}
		for line := range strings.FieldsSeq(a.text(Stdout)) {
			if pid, err := strconv.Atoi(line); err != nil || alive(pid) {
				t.Errorf("%s: process %s is left", how, line)
			}
		}
	}
}
