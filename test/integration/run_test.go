//go:build unix

package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// runnable starts a worker that runs commands, which the controller knows by this name.
func runnable(t *testing.T, c controller, name string, args ...string) *process {
	t.Helper()
	w := startWorker(t, t.TempDir(), append([]string{"--allow", c.id, "--enable", "run"}, args...)...)
	if r := swarm(t, "peers", "add", w.addr, "--name", name, "--state", c.state); r.code != 0 {
		t.Fatalf("peers add: %+v", r)
	}
	return w
}

// home is the home directory of a worker's user.
func (p *process) home() (dir string) {
	for _, kv := range p.cmd.Env {
		if home, ok := strings.CutPrefix(kv, "HOME="); ok {
			dir = home
		}
	}
	return dir
}

// runLine is a line of "run --json".
type runLine struct {
	Name     string
	OK, Done bool
	Exit     struct {
		Code int
		Of   string
	}
	Payload struct{ Data []byte }
	Error   struct{ Code int }
}

func runLines(t *testing.T, text string) (lines []runLine) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l runLine
		must(t, json.Unmarshal([]byte(line), &l, json.MatchCaseInsensitiveNames(true)))
		lines = append(lines, l)
	}
	return lines
}

// One command runs on 20 machines, and each has its own exit code.
func TestRunOnTwentyMachines(t *testing.T) {
	const machines = 20
	c := newController(t)
	var starting sync.WaitGroup
	workers := make([]*process, machines)
	for i := range machines {
		starting.Go(func() { workers[i] = startWorker(t, t.TempDir(), "--allow", c.id, "--enable", "run") })
	}
	starting.Wait()
	for i, w := range workers {
		must(t, os.WriteFile(filepath.Join(w.home(), "code"), []byte(strconv.Itoa(i)), 0o600))
		if r := swarm(t, "peers", "add", w.addr, "--name", fmt.Sprintf("rig-%02d", i), "--state", c.state); r.code != 0 {
			t.Fatalf("peers add: %+v", r)
		}
	}
	args := []string{"run", "--all", "--wait", "0", "--mdns=false", "--state", c.state, "--", "sh", "-c", "echo mine is $(cat code); exit $(cat code)"}
	r := swarm(t, append([]string{"run", "--json"}, args[1:]...)...)
	codes := make(map[string]int)
	for _, l := range runLines(t, r.stdout) {
		if l.Done {
			codes[l.Name] = l.Exit.Code
			if l.Exit.Of != "command" || l.OK != (l.Exit.Code == 0) {
				t.Errorf("%+v", l)
			}
		}
	}
	for i := range machines {
		if name := fmt.Sprintf("rig-%02d", i); codes[name] != i {
			t.Errorf("%s: exit code %d, want %d", name, codes[name], i)
		}
	}
	if r.code != 3 || len(codes) != machines {
		t.Errorf("exit code %d with %d machines: %s", r.code, len(codes), r.stderr)
	}
	r = swarm(t, args...)
	for i := range machines {
		if line := fmt.Sprintf("rig-%02d | mine is %d\n", i, i); !strings.Contains(r.stdout, line) {
			t.Errorf("%q is not in %s", line, r.stdout)
		}
	}
	if r.code != 3 || !strings.Contains(r.stderr, "exit code 0 on 1 of 20 machines; not on rig-") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

// Input, output, ends and refusals are the same through a controller that serves and without one.
func TestRun(t *testing.T) {
	for _, how := range []string{"alone", "through serve"} {
		t.Run(how, func(t *testing.T) {
			c := newController(t)
			runnable(t, c, "rig-01")
			runnable(t, c, "rig-02")
			denies := startWorker(t, t.TempDir(), "--allow", c.id)
			if r := swarm(t, "peers", "add", denies.addr, "--name", "denies", "--state", c.state); r.code != 0 {
				t.Fatalf("peers add: %+v", r)
			}
			if how == "through serve" {
				startServe(t, c)
			}
			run := func(stdin io.Reader, args ...string) ran {
				return swarmIn(t.Context(), t, stdin, append([]string{"run", "--mdns=false", "--state", c.state}, args...)...)
			}
			big := make([]byte, 10_000_000)
			for i := range big {
				big[i] = byte(i * i >> 8)
			}
			must(t, os.WriteFile(filepath.Join(t.TempDir(), "big"), big, 0o600))
			for _, tt := range []struct {
				name  string
				stdin string
				args  []string
				code  int
				out   string
				errs  string // a part of it
			}{
				{"both streams and a code", "", []string{"rig-01", "--", "sh", "-c", "echo out; echo err >&2; exit 7"}, 7, "out\n", "err\n"},
				{"a signal", "", []string{"rig-01", "--", "sh", "-c", "kill -9 $$"}, 137, "", "SIGKILL"},
				{"input", "hello", []string{"rig-01", "--", "cat"}, 0, "hello", ""},
				{"input for two", "", []string{"rig-01", "rig-02", "--", "wc", "-c"}, 0, "rig-01 | 0\nrig-02 | 0\n", "2 of 2"},
				{"10 MB there and back", string(big), []string{"rig-01", "--", "cat"}, 0, string(big), ""},
				{"no such program", "", []string{"rig-01", "--", "no-such-program"}, 125, "", "no program"},
				{"not enabled", "", []string{"denies", "--", "true"}, 125, "", "--enable run"},
				{"an unknown machine", "", []string{"rig-03", "--", "true"}, 125, "", "rig-03"},
				{"no command", "", []string{"rig-01"}, 125, "", "run what?"},
				{"its time is over", "", []string{"rig-01", "--timeout", "300ms", "--", "sleep", "300"}, 124, "", "time"},
			} {
				r := run(strings.NewReader(tt.stdin), tt.args...)
				out := r.stdout
				if len(tt.args) > 1 && tt.args[1] == "rig-02" { // in any order
					out = strings.Join(sorted(strings.SplitAfter(out, "\n")), "")
				}
				if r.code != tt.code || out != tt.out || !strings.Contains(r.stderr, tt.errs) {
					t.Errorf("%s: exit code %d, want %d; %d bytes %.80q, want %d; %s", tt.name, r.code, tt.code, len(out), out, len(tt.out), r.stderr)
				}
			}
			r := run(nil, "denies", "--json", "--", "true")
			if l := runLines(t, r.stdout); len(l) != 1 || l[0].Exit.Code != 125 || l[0].Exit.Of != "swarm" || l[0].Error.Code != 422 {
				t.Errorf("a refusal is %s", r.stdout)
			}
		})
	}
}

// awaits waits until ok.
func awaits(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func sorted(lines []string) []string {
	for i := range lines {
		for j := range i {
			if lines[i] < lines[j] {
				lines[i], lines[j] = lines[j], lines[i]
			}
		}
	}
	return lines
}

// A reader that pauses costs neither side memory, and gets every byte afterwards.
func TestRunWithASlowReader(t *testing.T) {
	const size = 40 << 20
	c := newController(t)
	w := runnable(t, c, "rig-01")
	cmd := exec.CommandContext(t.Context(), program, "run", "rig-01", "--mdns=false", "--state", c.state, "--", "sh", "-c", fmt.Sprintf("echo $$ >&2; exec head -c %d /dev/zero", size))
	cmd.Env = environment(t)
	var pid buffer
	cmd.Stderr = &pid
	out, err := cmd.StdoutPipe()
	must(t, err)
	before := residentMiB(t, w.cmd.Process.Pid)
	must(t, cmd.Start())
	first := make([]byte, 1)
	_, err = io.ReadFull(out, first)
	must(t, err)
	written, same := "", 0
	awaits(t, "the command to be held up", func() bool {
		now := writtenBy(t, strings.TrimSpace(pid.String()))
		if same++; now == "" || now != written {
			written, same = now, 0
		}
		return same >= 50
	})
	worker, caller := residentMiB(t, w.cmd.Process.Pid)-before, residentMiB(t, cmd.Process.Pid)
	if worker > 24 || caller > 64 {
		t.Errorf("the worker has grown by %d MiB, and the caller has %d MiB", worker, caller)
	}
	hash := sha256.New()
	n, err := io.Copy(hash, out)
	must(t, err)
	must(t, cmd.Wait())
	if n != size-1 {
		t.Errorf("%d bytes arrived of %d", n+1, size)
	}
}

// writtenBy is how much a process has written, empty where that is not known yet.
func writtenBy(t *testing.T, pid string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/io")
	if pid == "" || err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "wchar: "); ok {
			return strings.TrimSpace(n)
		}
	}
	return ""
}

func residentMiB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Skip("NOT TESTED: without /proc the memory is not known: ", err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	must(t, err)
	return pages * os.Getpagesize() >> 20
}

// deaf is deaf to SIGTERM, and has a grandchild that has left the session; both print their numbers.
const deaf = "trap 'echo term' TERM; echo $$; (setsid sh -c 'sleep 300 & echo $!' & wait); while :; do sleep 0.1; done"

// calling is a run of deaf that goes on.
type calling struct {
	cmd  *exec.Cmd
	out  buffer
	pids []int
}

func callDeaf(t *testing.T, c controller, errs io.Writer) *calling {
	t.Helper()
	call := &calling{cmd: exec.Command(program, "run", "rig-01", "--mdns=false", "--state", c.state, "--", "sh", "-c", deaf)}
	call.cmd.Env = environment(t)
	call.cmd.Stdout, call.cmd.Stderr = &call.out, errs
	must(t, call.cmd.Start())
	t.Cleanup(func() { call.cmd.Process.Kill(); call.cmd.Wait() })
	awaits(t, "both processes to run", func() bool { return strings.Count(call.out.String(), "\n") == 2 })
	for f := range strings.FieldsSeq(call.out.String()) {
		pid, err := strconv.Atoi(f)
		must(t, err)
		call.pids = append(call.pids, pid)
	}
	return call
}

// code waits for the end of the caller.
func (c *calling) code() int {
	c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

func (c *calling) left() (n int) {
	for _, pid := range c.pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, rest, ok := bytes.Cut(stat, []byte(") ")); err == nil && ok && rest[0] != 'Z' && rest[0] != 'X' {
			n++
		}
	}
	return n
}

// Whichever end goes, nothing of the command is left on the machine.
func TestRunLeavesNothing(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("NOT TESTED: without /proc processes are not known: ", err)
	}
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	for _, how := range []string{"the caller is killed", "the caller is interrupted", "the caller is interrupted, through serve", "the caller is interrupted twice", "the connection is lost", "the worker stops"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := newController(t)
			w := runnable(t, c, "rig-01")
			var serve *process
			if how == "the connection is lost" || strings.HasSuffix(how, "serve") {
				serve = startServe(t, c)
			}
			call := callDeaf(t, c, nil)
			if call.left() != 2 {
				t.Fatal("the command does not run: this test proves nothing")
			}
			began := time.Now()
			code, most := 0, 8*time.Second
			switch how {
			case "the caller is killed":
				must(t, call.cmd.Process.Kill())
				code = -1
			case "the caller is interrupted", "the caller is interrupted, through serve":
				must(t, call.cmd.Process.Signal(os.Interrupt))
				code = 130
			case "the caller is interrupted twice":
				must(t, call.cmd.Process.Signal(os.Interrupt))
				awaits(t, "the command to be asked to end", func() bool { return strings.Contains(call.out.String(), "term") })
				must(t, call.cmd.Process.Signal(os.Interrupt))
				code, most = 130, 1500*time.Millisecond // the command has 2 s
			case "the connection is lost":
				serve.kill()
				code = 125
			case "the worker stops":
				must(t, w.cmd.Process.Signal(syscall.SIGTERM))
				code = 125
			}
			if got := call.code(); got != code || time.Since(began) > most {
				t.Errorf("the caller ends with %d after %v, want %d", got, time.Since(began), code)
			}
			awaits(t, "the command to end", func() bool { return call.left() == 0 })
		})
	}
}

// A worker that is killed takes the command with it, and what that has started goes with the next one.
func TestRunWhenTheWorkerIsKilled(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	c := newController(t)
	w := runnable(t, c, "rig-01")
	var errs buffer
	call := callDeaf(t, c, &errs)
	w.kill()
	if code := call.code(); code != 125 || !strings.Contains(errs.String(), "lost while the command ran") {
		t.Errorf("the caller ends with %d: %s", code, errs.String())
	}
	startWorker(t, w.state, "--allow", c.id)
	if n := call.left(); n > 0 {
		t.Errorf("%d processes are left when the next worker is ready", n)
	}
}

// The record says who ran what and how it ended, and has no value of a variable.
func TestRunIsRecorded(t *testing.T) {
	c := newController(t)
	w := runnable(t, c, "rig-01")
	if r := swarmIn(context.Background(), t, nil, "run", "rig-01", "--env", "TOKEN=secret", "--mdns=false", "--state", c.state, "--", "sh", "-c", "echo hi; exit 4"); r.code != 4 {
		t.Fatalf("%+v", r)
	}
	r := swarm(t, "audit", "--state", w.state)
	for _, want := range []string{`run "sh" "-c" "echo hi; exit 4" env=TOKEN (begun)`, "run_end exit code 4 after 0.", "3 bytes to stdout and 0 to stderr"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the record has no %q: %s", want, r.stdout)
		}
	}
	if strings.Contains(r.stdout, "secret") {
		t.Errorf("the record has the value of a variable: %s", r.stdout)
	}
}
