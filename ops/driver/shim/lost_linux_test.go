//go:build slow

package shim_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/shim"
)

// body is what a file says, by its members.
type body map[string]any

type summed struct {
	Sum  string         `json:"sum"`
	Body jsontext.Value `json:"body"`
}

func readBody(t testing.TB, p place, name string) (b body) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.keep, name))
	var f summed
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err == nil {
		err = json.Unmarshal(f.Body, &b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// alter writes another file with a good sum.
func alter(t testing.TB, p place, name string, change func(b body)) {
	t.Helper()
	b := readBody(t, p, name)
	change(b)
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%08x", crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
	if text, err = json.Marshal(summed{sum, text}); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(filepath.Join(p.keep, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func pidIn(b body, who string) int { return int(b[who].(map[string]any)["pid"].(float64)) }

func guardAndShim(t testing.TB, p place) []int {
	t.Helper()
	b := readBody(t, p, "state.json")
	return []int{pidIn(b, "guard"), pidIn(b, "shim")}
}

// Guard, shim or both are killed in each state, with and without an agent: two seconds later nothing of the
// workload runs, and it is known why. Of both at once only the first process ends without an agent.
func TestMonitorIsKilled(t *testing.T) {
	const tree = `trap '' TERM; (env -i setsid sh -c 'sleep 300 & echo $!' & wait); (setsid sh -c 'sleep 300 & echo $!' & wait); echo $$; while :; do sleep 0.02; done`
	for who, victims := range map[string][]int{"guard": {0}, "shim": {1}, "both": {0, 1}} {
		for _, state := range []string{"running", "stopping"} {
			for _, agent := range []string{"with an agent", "without one"} {
				t.Run(who+", "+state+", "+agent, func(t *testing.T) {
					p := newPlace(t)
					w := p.start(t, tree)
					pids := p.numbers(t, 3)
					stopped := make(chan error, 1)
					if state == "stopping" {
						go func() { stopped <- w.Stop(t.Context(), time.Hour) }()
						eventually(t, "the request", func() bool { _, err := os.Stat(filepath.Join(p.keep, "stop.json")); return err == nil })
					}
					if agent == "without one" {
						w.Release()
					}
					procs, groups := guardAndShim(t, p), readBody(t, p, "state.json")["cgroups"].([]any)
					began := time.Now()
					for _, v := range victims {
						if err := syscall.Kill(procs[v], syscall.SIGKILL); err != nil {
							t.Fatal(err)
						}
					}
					if agent == "without one" {
						if who != "both" {
							eventually(t, "its end", func() bool { return len(processesOf(p)) == 0 && !alive(pids[0]) })
						}
						w = p.adopt(t)
					}
					<-w.Done()
					if took := time.Since(began); took > 2*time.Second {
						t.Errorf("it took %v", took)
					}
					if e := w.Exit(); e != (driver.Exit{Code: -1, Lost: true}) || e.String() != "its monitor was lost" || w.Ended().IsZero() {
						t.Errorf("Exit() = %+v at %v", e, w.Ended())
					}
					if who == "both" && len(groups) == 0 { // nothing tells that the first is ours
						_ = syscall.Kill(pids[0], syscall.SIGKILL)
						pids = pids[1:]
					}
					gone(t, p, pids...)
					if state == "stopping" && agent == "with an agent" {
						if err := <-stopped; err != nil {
							t.Error(err)
						}
					}
					<-p.start(t, "true").Done() // it can be started at once
				})
			}
		}
	}
}

// Guard or shim are killed at a random point of the start: Start says so, or the workload is lost at once,
// and nothing is left.
func TestMonitorIsKilledAtStart(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	failed, lost := 0, 0
	for range rounds {
		p := newPlace(t)
		killed := make(chan bool, 1)
		go func() {
			<-time.After(time.Duration(rand.Int64N(int64(120 * time.Millisecond))))
			killed <- killOne(p)
		}()
		w, err := (shim.Driver{}).Start(p.spec("trap '' TERM; setsid sleep 300 & while :; do sleep 0.02; done"))
		hit := <-killed
		began := time.Now()
		switch {
		case err != nil:
			failed++
		case hit:
			lost++
			select {
			case <-w.Done():
			case <-time.After(20 * time.Second):
				t.Fatal("it is not known to be lost")
			}
			if !w.Exit().Lost {
				t.Errorf("Exit() = %+v", w.Exit())
			}
		default: // it came too early
			if err := w.Stop(t.Context(), 0); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		gone(t, p)
	}
	t.Logf("%d starts failed, %d workloads were lost, of %d", failed, lost, rounds)
}

// killOne kills guard or shim of a place, and reports whether there was one.
func killOne(p place) bool {
	monitors := monitorsOf(p)
	return len(monitors) > 0 && syscall.Kill(monitors[rand.IntN(len(monitors))], syscall.SIGKILL) == nil
}

// decoy is a process that has nothing to do with the workload.
func decoy(t testing.TB) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "300")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	return cmd
}

// The numbers in the state are those of strangers by now, since others have got them, or since the machine
// has booted: nobody is signalled.
func TestStrangersAreNotSignalled(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(b body, stranger int)
		lost   bool
	}{
		{"number used again", func(b body, stranger int) {
			for _, who := range []string{"guard", "shim", "workload"} {
				b[who].(map[string]any)["pid"] = stranger
			}
		}, true},
		{"other boot", func(b body, stranger int) {
			b["boot"] = "00000000-0000-0000-0000-000000000000"
			for _, who := range []string{"guard", "shim", "workload"} {
				b[who].(map[string]any)["pid"] = stranger
			}
		}, false},
	} {
		for _, runs := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, workload runs %v", tt.name, runs), func(t *testing.T) {
				p := newPlace(t)
				w := p.start(t, "exec sleep 300")
				w.Release()
				if !runs {
					for _, pid := range append(guardAndShim(t, p), w.PID()) {
						_ = syscall.Kill(pid, syscall.SIGKILL)
					}
					eventually(t, "its end", func() bool { return len(processesOf(p)) == 0 })
				}
				stranger := decoy(t)
				alter(t, p, "state.json", func(b body) { tt.change(b, stranger.Process.Pid) })
				again := p.adopt(t)
				if err := again.Stop(t.Context(), 0); err != nil {
					t.Error(err)
				}
				<-again.Done()
				if want := (driver.Exit{Code: -1, Lost: tt.lost && !runs}); again.Exit() != want {
					t.Errorf("Exit() = %+v, want %+v", again.Exit(), want)
				}
				if !alive(stranger.Process.Pid) {
					t.Error("the stranger was ended")
				}
				if runs && !alive(w.PID()) {
					t.Error("the workload was ended, whose state does not name it")
				}
			})
		}
	}
}

// What a newer version has started is left to it, and that is said.
func TestNewerVersion(t *testing.T) {
	p := newPlace(t)
	w := p.start(t, "sleep 300")
	w.Release()
	for _, further := range []bool{false, true} { // members that are not known are no reason
		version := readBody(t, p, "state.json")["version"].(float64)
		alter(t, p, "state.json", func(b body) {
			b["further"] = "member"
			if !further {
				b["version"] = version + 1
			} else {
				b["version"] = version - 1
			}
		})
		again, err := (shim.Driver{}).Adopt(p.keep)
		switch {
		case further:
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Stop(t.Context(), time.Second); err != nil {
				t.Error(err)
			}
		case !errors.Is(err, shim.ErrNewer) || !strings.Contains(err.Error(), "newer version"):
			t.Errorf("Adopt() = %v", err)
		case !alive(w.PID()):
			t.Error("it was ended")
		}
	}
	gone(t, p)
}

// Whatever becomes of a file, nothing panics and nobody is signalled, and it is said.
func TestDamagedFiles(t *testing.T) {
	p := newPlace(t)
	w := p.start(t, "sleep 300")
	w.Release()
	path := filepath.Join(p.keep, "state.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{
		"empty": {}, "zeros": make([]byte, len(good)), "oversized": []byte(strings.Repeat(" ", 65<<10) + string(good)),
		"null": []byte("null"), "no body": []byte(`{"sum":"00000000"}`), "a list": []byte("[]"),
	}
	for i := range good {
		flipped := append([]byte(nil), good...)
		flipped[i] ^= 1 << rand.IntN(8)
		damaged[fmt.Sprintf("bit in byte %d", i)] = flipped
		if i%16 == 0 {
			damaged[fmt.Sprintf("cut at %d", i)] = good[:i]
		}
	}
	for what, text := range damaged {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := (shim.Driver{}).Adopt(p.keep)
		if err == nil {
			again.Release()
			t.Errorf("%s: adopted", what)
		} else if !errors.Is(err, shim.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Adopt() = %v", what, err)
		}
	}
	if !alive(w.PID()) {
		t.Fatal("the workload was ended")
	}
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := (shim.Driver{}).Adopt(p.keep); !errors.Is(err, durable.ErrUnsafe) {
		t.Errorf("a pipe: Adopt() = %v", err)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path, good, 0o600), os.WriteFile(filepath.Join(p.keep, "stop.json"), []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	again := p.adopt(t)
	if err := again.Stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "{", `{"sum":"","body":{}}`} {
		if err := os.WriteFile(filepath.Join(p.keep, "exit.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		last := p.adopt(t)
		if <-last.Done(); last.Exit().Code != -1 {
			t.Errorf("exit file %q: Exit() = %+v", text, last.Exit())
		}
	}
}

// The agent is killed at a random point between starts and stops: the next one finds out what runs, and
// can end it; nothing is left.
func TestAgentIsKilledAnywhere(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 5
	}
	for i := range rounds {
		p := newPlace(t)
		cmd, said := startAgent(t, self(t), "rounds", p.dir, `trap '' TERM; setsid sleep 300 & while :; do sleep 0.02; done`)
		hear(t, said, "started") // the program itself is up
		<-time.After(time.Duration(rand.Int64N(int64(600 * time.Millisecond))))
		kill(cmd)
		w, err := (shim.Driver{}).Adopt(p.keep)
		if err != nil {
			if !errors.Is(err, driver.ErrGone) {
				t.Fatalf("round %d: Adopt() = %v", i, err)
			}
			gone(t, p)
			continue
		}
		if err := w.Stop(t.Context(), 0); err != nil {
			t.Fatalf("round %d: Stop() = %v", i, err)
		}
		<-w.Done()
		if e := w.Exit(); e.Signal == "" || e.Lost { // terminated, where it had not become deaf yet
			t.Errorf("round %d: Exit() = %+v", i, e)
		}
		gone(t, p)
		if t.Failed() {
			return
		}
	}
}
