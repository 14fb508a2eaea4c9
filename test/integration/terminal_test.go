//go:build unix

package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// seat is a terminal with the program at it.
type seat struct {
	t     *testing.T
	cmd   *exec.Cmd
	keys  *os.File
	tty   *os.File
	out   buffer
	modes *term.State // of the terminal, before
	ended chan struct{}
}

// sitDown starts the program at a terminal of 30 rows and 100 columns.
func sitDown(t *testing.T, c controller, args ...string) *seat {
	t.Helper()
	keys, tty, err := pty.Open()
	must(t, err)
	must(t, pty.Setsize(keys, &pty.Winsize{Rows: 30, Cols: 100}))
	p := &seat{t: t, keys: keys, tty: tty, ended: make(chan struct{})}
	p.modes, err = term.GetState(int(tty.Fd()))
	must(t, err)
	args = append([]string{args[0], "--mdns=false", "--state", c.state}, args[1:]...)
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = append(environment(t), "TERM=xterm-256color", "LANG=C.UTF-8")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, p.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(&p.out, keys)
	}()
	go func() {
		defer close(p.ended)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		tty.Close()
		<-read
		keys.Close()
	})
	return p
}

func (p *seat) types(keys string) {
	_, err := p.keys.WriteString(keys)
	must(p.t, err)
}

func (p *seat) sees(text string) {
	p.t.Helper()
	end := time.After(15 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.out.String(), text) {
		select {
		case <-tick.C:
		case <-end:
			p.t.Fatalf("there is no %q in %q", text, p.out.String())
		}
	}
}

// code waits for the end of the program.
func (p *seat) code() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.t.Fatalf("it does not end: %q", p.out.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *seat) givenBack() bool {
	now, err := term.GetState(int(p.tty.Fd()))
	must(p.t, err)
	return reflect.DeepEqual(now, p.modes)
}

// What is typed, the size, and what is shown pass through a terminal on the machine, with a controller
// that serves and without.
func TestTerminalOnAMachine(t *testing.T) {
	for _, how := range []string{"alone", "through serve"} {
		t.Run(how, func(t *testing.T) {
			c := newController(t)
			w := runnable(t, c, "rig-01", "--enable", "shell")
			if how == "through serve" {
				startServe(t, c)
			}
			p := sitDown(t, c, "run", "rig-01", "--tty", "--", "sh", "-c", `stty size; echo $TERM $LANG; trap 'stty size' WINCH; while ! read x; do :; done; echo "[$x]"; exit 7`)
			p.sees("30 100\r\nxterm-256color C.UTF-8\r\n")
			must(t, pty.Setsize(p.keys, &pty.Winsize{Rows: 50, Cols: 132}))
			p.sees("50 132")
			p.types("hellp\x7fo\r")
			p.sees("[hello]\r\n")
			if code := p.code(); code != 7 || !p.givenBack() {
				t.Errorf("exit code %d, the terminal is as before: %v", code, p.givenBack())
			}
			p = sitDown(t, c, "run", "rig-01", "-t", "--", "sleep", "300")
			waitFor(t, "the terminal to be taken", func() bool { return !p.givenBack() })
			p.types("\x03")
			if code := p.code(); code != 130 { // SIGINT there
				t.Errorf("Ctrl-C: exit code %d", code)
			}
			p = sitDown(t, c, "shell", "rig-01")
			waitFor(t, "the terminal to be taken", func() bool { return !p.givenBack() })
			waitFor(t, "the shell to answer", func() bool { // one that begins may drop what was typed before
				p.types("echo $((6*7)) $0; stty size\r")
				for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					if strings.Contains(p.out.String(), "42 -") {
						return true
					}
				}
				return false
			})
			p.sees("30 100")
			p.types("exit 9\r")
			if code := p.code(); code != 9 {
				t.Errorf("the shell ends with %d", code)
			}
			r := swarmIn(t.Context(), t, strings.NewReader("echo $((6*7)) $0; exit 8\n"), "shell", "rig-01", "--mdns=false", "--state", c.state)
			if r.code != 8 || !strings.Contains(r.stdout, "42 -") {
				t.Errorf("a script: %+v", r)
			}
			if r := swarm(t, "run", "rig-01", "--tty", "--mdns=false", "--state", c.state, "--", "true"); r.code != 125 || !strings.Contains(r.stderr, "needs a terminal") {
				t.Errorf("without a terminal: %+v", r)
			}
			audit := swarm(t, "audit", "--state", w.state).stdout
			for _, want := range []string{"shell tty (begun)", "shell_end exit code 9 after", "bytes to stdout", ": shell of the worker's user", `run "sleep" "300" env=LANG tty (begun)`} {
				if !strings.Contains(audit, want) {
					t.Errorf("the record has no %q: %s", want, audit)
				}
			}
		})
	}
}

// Nobody has a shell because commands are allowed, or the other way round.
func TestShellIsARightOfItsOwn(t *testing.T) {
	c := newController(t)
	runnable(t, c, "commands")
	shells := startWorker(t, t.TempDir(), "--allow", c.id, "--enable", "shell")
	if r := swarm(t, "peers", "add", shells.addr, "--name", "shells", "--state", c.state); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if r := swarm(t, "shell", "commands", "--mdns=false", "--state", c.state); r.code != 125 || !strings.Contains(r.stderr, "--enable shell") {
		t.Errorf("a shell where commands are allowed: %+v", r)
	}
	if r := swarm(t, "run", "shells", "--mdns=false", "--state", c.state, "--", "true"); r.code != 125 || !strings.Contains(r.stderr, "--enable run") {
		t.Errorf("a command where shells are allowed: %+v", r)
	}
}

// However a session ends, the terminal is as before and nothing is left on the machine.
func TestTerminalIsGivenBack(t *testing.T) {
	onlySlow(t)
	for _, tt := range []struct {
		how   string
		do    func(t *testing.T, p *seat, w *process)
		code  int
		words string
	}{
		{"it exits", func(_ *testing.T, p *seat, _ *process) { p.types("\r") }, 0, ""},
		{"~.", func(_ *testing.T, p *seat, _ *process) { p.types("x\r~.") }, 125, "left rig-01"},
		{"SIGTERM", func(t *testing.T, p *seat, _ *process) { must(t, p.cmd.Process.Signal(syscall.SIGTERM)) }, 130, ""},
		{"SIGHUP", func(t *testing.T, p *seat, _ *process) { must(t, p.cmd.Process.Signal(syscall.SIGHUP)) }, 130, ""},
		{"the worker is killed", func(_ *testing.T, _ *seat, w *process) { w.kill() }, 125, "the connection was lost while the command ran"},
		{"the worker stops", func(t *testing.T, _ *seat, w *process) { must(t, w.cmd.Process.Signal(syscall.SIGTERM)) }, 125, "swarm: rig-01: "},
	} {
		for _, through := range []string{"", " through serve"} {
			t.Run(tt.how+through, func(t *testing.T) {
				t.Parallel()
				c := newController(t)
				w := runnable(t, c, "rig-01")
				if through != "" {
					startServe(t, c)
				}
				script := `echo $$; printf '\033[?1049h\033[?1000h'; read x`
				if tt.how != "it exits" {
					script = `trap '' HUP; ` + script + `; read x; while :; do sleep 0.1; done`
				}
				p := sitDown(t, c, "run", "rig-01", "--tty", "--", "sh", "-c", script)
				p.sees("\x1b[?1000h")
				pid, err := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(p.out.String()))
				must(t, err)
				if p.givenBack() {
					t.Fatal("the terminal was not taken: this test proves nothing")
				}
				began := time.Now()
				tt.do(t, p, w)
				if code := p.code(); code != tt.code || time.Since(began) > 8*time.Second {
					t.Errorf("exit code %d after %v, want %d: %q", code, time.Since(began), tt.code, p.out.String())
				}
				if !p.givenBack() {
					t.Error("the terminal is not as it was")
				}
				p.sees("\x1b[?1000l\x1b[?1049l")
				p.sees(tt.words)
				if tt.how == "the worker is killed" {
					return // what it ran went with it, or goes with the next one
				}
				call := calling{pids: []int{pid}}
				awaits(t, "the command to end", func() bool { return call.left() == 0 })
			})
		}
	}
}

// A key is there and back within a few milliseconds, with a controller that serves and without.
func TestKeysAreQuick(t *testing.T) {
	onlySlow(t)
	for _, how := range []string{"alone", "through serve"} {
		t.Run(how, func(t *testing.T) {
			c := newController(t)
			runnable(t, c, "rig-01")
			if how == "through serve" {
				startServe(t, c)
			}
			p := sitDown(t, c, "run", "rig-01", "--tty", "--", "sh", "-c", "stty raw -echo; echo ready; exec cat")
			p.sees("ready")
			var took []time.Duration
			for i := range 200 {
				n := len(p.out.String())
				began := time.Now()
				p.types(string(rune('a' + i%26)))
				for len(p.out.String()) == n {
					if time.Since(began) > 10*time.Second {
						t.Fatal("a key does not come back")
					}
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			t.Logf("there and back: median %v, 95 %% within %v, all within %v", took[100], took[190], took[199])
			if took[100] > 100*time.Millisecond { // also on a machine that has other work to do
				t.Errorf("half of all keys take more than %v", took[100])
			}
			p.types("\r~.")
			p.code()
		})
	}
}

// An editor and a monitor are worked with as here.
func TestPrograms(t *testing.T) {
	onlySlow(t)
	for _, name := range []string{"tmux", "vi", "top"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("NOT TESTED: ", err)
		}
	}
	c := newController(t)
	runnable(t, c, "rig-01")
	socket := filepath.Join(t.TempDir(), "tmux")
	env := append(environment(t), "TERM=xterm-256color", "LANG=C.UTF-8")
	tmux := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "tmux", append([]string{"-S", socket, "-f", os.DevNull}, args...)...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %v: %v %s", args, err, out)
		}
		return string(out)
	}
	tmux("new-session", "-d", "-s", "s", "-x", "100", "-y", "30", "sh")
	defer tmux("kill-server")
	sees := func(text string) {
		t.Helper()
		screen := ""
		for end := time.Now().Add(20 * time.Second); !strings.Contains(screen, text); screen = tmux("capture-pane", "-p", "-t", "s") {
			if time.Now().After(end) {
				t.Fatalf("there is no %q on\n%s", text, screen)
			}
		}
	}
	start := func(what string) {
		t.Helper()
		line := fmt.Sprintf("clear; stty -a > before; %s run rig-01 --tty --mdns=false --state %s -- %s; echo code=$?; stty -a > after", program, c.state, what)
		tmux("send-keys", "-t", "s", "-l", line)
		tmux("send-keys", "-t", "s", "Enter")
	}
	same := func() {
		t.Helper()
		sees("code=0")
		read := func(name string) (b []byte) {
			awaits(t, name, func() (ok bool) {
				b, _ = os.ReadFile(filepath.Join(homeOf(env), name))
				return len(b) > 0
			})
			_, b, _ = bytes.Cut(b, []byte("\n")) // the size is another one
			return b
		}
		if before, after := read("before"), read("after"); !bytes.Equal(before, after) {
			t.Errorf("stty -a before:\n%safter:\n%s", before, after)
		}
		must(t, os.Remove(filepath.Join(homeOf(env), "after")))
	}
	tmux("send-keys", "-t", "s", "-l", "cd; PS1=")
	tmux("send-keys", "-t", "s", "Enter")

	file := filepath.Join(t.TempDir(), "text")
	start("vi " + file)
	sees("~")
	tmux("send-keys", "-t", "s", "-l", "ihello, world")
	sees("hello, world")
	tmux("resize-window", "-t", "s", "-x", "60", "-y", "20")
	tmux("send-keys", "-t", "s", "Escape")
	tmux("send-keys", "-t", "s", "-l", ":wq")
	tmux("send-keys", "-t", "s", "Enter")
	same()
	if b, err := os.ReadFile(file); err != nil || string(b) != "hello, world\n" {
		t.Errorf("the editor has written %q, %v", b, err)
	}
	start("top")
	sees("load average")
	tmux("resize-window", "-t", "s", "-x", "120", "-y", "40")
	sees("load average")
	tmux("send-keys", "-t", "s", "q")
	same()
}

func homeOf(env []string) string { return (&process{cmd: &exec.Cmd{Env: env}}).home() }
