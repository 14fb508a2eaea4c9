//go:build unix

package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// cpLine is a line of "swarm cp --json".
type cpLine struct {
	Event, File, State, Source, Target string
	Files, Unchanged, Failed           int
	Size, Bytes                        int64
	OK, Done                           bool
	LeftOut                            struct{ Links, Special int }
	Error                              struct{ Code int }
}

func cpLines(t *testing.T, text string) (lines []cpLine) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l cpLine
		if err := json.Unmarshal([]byte(line), &l, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, l)
	}
	return lines
}

// cp runs "swarm cp".
func (c controller) cp(t *testing.T, args ...string) ran {
	t.Helper()
	return swarm(t, append(append([]string{"cp"}, args...), "--mdns=false", "--state", c.state)...)
}

// copying starts "swarm cp --json".
func (c controller) copying(t *testing.T, args ...string) (cmd *exec.Cmd, out *buffer, ended chan struct{}) {
	t.Helper()
	out, ended = new(buffer), make(chan struct{})
	cmd = exec.Command(program, append(append([]string{"cp"}, args...), "--json", "--mdns=false", "--state", c.state)...)
	cmd.Env, cmd.Stdout = environment(t), out
	must(t, cmd.Start())
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	return cmd, out, ended
}

// partSize is how much has arrived of a file.
func partSize(path string) int64 {
	info, err := os.Stat(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".swarm-part"))
	if err != nil {
		return 0
	}
	return info.Size()
}

// Files and trees are copied in both directions, alone and through the controller that serves; one whose worker
// is killed in the middle goes on when that is back, or at the next command, with the rest only.
func TestCopy(t *testing.T) {
	onlySlow(t)
	big := make([]byte, 256<<20)
	rand.NewChaCha8([32]byte{}).Read(big)
	for _, how := range []string{"alone", "through serve"} {
		t.Run(how, func(t *testing.T) {
			c := newController(t)
			state, listen := t.TempDir(), freeAddr(t)
			there, here := t.TempDir(), t.TempDir()
			args := []string{"--allow", c.id, "--enable", "cp=" + there, "--listen", listen}
			w := startWorker(t, state, args...)
			if r := swarm(t, "peers", "add", listen+"/p2p/"+w.peer, "--name", "rig-01", "--state", c.state); r.code != 0 {
				t.Fatalf("peers add: %+v", r)
			}
			if how == "through serve" {
				startServe(t, c)
			}
			for i := range 200 {
				dir := fmt.Sprintf("%s/tree/%d", here, i%5)
				must(t, os.MkdirAll(dir, 0o755))
				must(t, os.WriteFile(fmt.Sprintf("%s/%d.txt", dir, i), big[i*1000:i*1000+i*50], 0o640))
			}
			must(t, os.Symlink("/etc/passwd", here+"/tree/link"))
			r := c.cp(t, here+"/tree", "rig-01:new", "--json")
			lines := cpLines(t, r.stdout)
			if last := lines[len(lines)-1]; r.code != 0 || len(lines) != 201 || !last.OK || !last.Done || last.Files != 200 || last.LeftOut.Links != 1 || last.Target != there+"/new" {
				t.Fatalf("%+v, %d lines", r, len(lines))
			}
			r = c.cp(t, "rig-01:new/", here+"/back")
			if r.code != 0 || !strings.Contains(r.stdout, "200 files") {
				t.Errorf("%+v", r)
			}
			if out, err := exec.Command("diff", "-r", "--no-dereference", "--exclude=link", here+"/tree", here+"/back").CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}

			file, target := here+"/big", there+"/big"
			must(t, os.WriteFile(file, big, 0o600))
			_, out, ended := c.copying(t, file, "rig-01:big")
			awaits(t, "a part has arrived", func() bool { return partSize(target) > 32<<20 })
			w.kill()
			if _, err := os.Stat(target); err == nil {
				t.Fatal("it was whole before the worker was killed: take a larger one")
			}
			kept := partSize(target)
			w = startWorker(t, state, args...)
			awaits(t, "the copy ends", func() bool {
				select {
				case <-ended:
					return true
				default:
					return false
				}
			})
			lines = cpLines(t, out.String())
			last := lines[len(lines)-1]
			if !last.OK || last.Files != 1 || !strings.Contains(out.String(), `"event":"cut"`) || !strings.Contains(out.String(), `"event":"back"`) {
				t.Errorf("it went on with %s", out)
			}
			if most := int64(len(big)) + 16<<20; last.Bytes > most {
				t.Errorf("%d bytes were sent, %d had arrived before", last.Bytes, kept)
			}
			if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, big) {
				t.Errorf("%d bytes arrived, %v", len(got), err)
			}

			// The other way, and by another command.
			cmd, out, ended := c.copying(t, "rig-01:big", here+"/again")
			awaits(t, "a part has arrived", func() bool { return partSize(here+"/again") > 32<<20 })
			must(t, cmd.Process.Signal(syscall.SIGINT))
			<-ended
			if code := cmd.ProcessState.ExitCode(); code != 130 {
				t.Fatalf("exit code %d: %s", code, out)
			}
			var before int64
			awaits(t, "the part grows no more", func() bool {
				now := partSize(here + "/again")
				same := now == before
				before = now
				return same
			})
			w.kill()
			startWorker(t, state, args...)
			r = c.cp(t, "rig-01:big", here+"/again", "--json")
			lines = cpLines(t, r.stdout)
			last = lines[len(lines)-1]
			if rest := int64(len(big)) - before; r.code != 0 || last.Bytes > rest+16<<20 {
				t.Errorf("%d bytes were sent, and %d were missing: %+v", last.Bytes, rest, r)
			}
			if got, err := os.ReadFile(here + "/again"); err != nil || !bytes.Equal(got, big) {
				t.Errorf("%d bytes arrived, %v", len(got), err)
			}
			record := auditOf(t, state)
			for _, want := range []string{"cp_write", "cp_read", "cp_end", "to path=", "from path=", "bytes"} {
				if !strings.Contains(record.stdout, want) {
					t.Errorf("the record lacks %s: %s", want, record.stdout)
				}
			}
		})
	}
}

// Why a copy is not made is told apart.
func TestCopyRefusals(t *testing.T) {
	c, stranger := newController(t), newController(t)
	there, here, state := t.TempDir(), t.TempDir(), t.TempDir()
	w := startWorker(t, state, "--allow", c.id, "--enable", "cp="+there)
	none := startWorker(t, t.TempDir(), "--allow", c.id)
	for _, who := range []controller{c, stranger} {
		if r := swarm(t, "peers", "add", w.addr, "--name", "rig-01", "--state", who.state); r.code != 0 {
			t.Fatalf("peers add: %+v", r)
		}
	}
	for name, addr := range map[string]string{"none": none.addr, "gone": freeAddr(t) + "/p2p/" + stranger.id} {
		if r := swarm(t, "peers", "add", addr, "--name", name, "--state", c.state); r.code != 0 {
			t.Fatalf("peers add: %+v", r)
		}
	}
	must(t, os.WriteFile(here+"/f", []byte("f"), 0o600))
	must(t, os.Symlink(here, there+"/out"))
	for _, tt := range []struct {
		who      controller
		from, to string
		code     int
		want     string
	}{
		{c, here + "/f", "none:/x", 2, "--enable cp=DIR"},
		{c, here + "/f", "rig-01:/etc/x", 2, "in none of the directories"},
		{c, here + "/f", "rig-01:../x", 2, "in none of the directories"},
		{c, "rig-01:out/f", here + "/g", 2, "leads out"},
		{c, here + "/f", "rig-01:out/g", 2, "leads out"},
		{c, "rig-01:no", here, 2, "no such file"},
		{c, here + "/f", "rig-01:no/", 2, "there is no directory"},
		{c, here + "/no", "rig-01:", 1, "no such file"},
		{stranger, here + "/f", "rig-01:", 5, "--allow"},
		{c, here + "/f", "gone:", 4, "gone"},
		{c, here + "/f", "nobody:", 1, "no machine is named"},
		{c, here + "/f", here + "/g", 1, "NAME:PATH"},
		{c, "rig-01:f", "rig-01:g", 1, "copy to this one first"},
	} {
		r := tt.who.cp(t, tt.from, tt.to, "--timeout", "5s")
		if r.code != tt.code || !strings.Contains(r.stderr, tt.want) {
			t.Errorf("%s %s: %+v, want %d and %s", tt.from, tt.to, r, tt.code, tt.want)
		}
	}
	for _, dir := range []string{there, here} {
		if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
			t.Errorf("%s has %v, %v", dir, all, err)
		}
	}
	// What was left of the worker's own state stays closed, whatever its owner lists.
	open := startWorker(t, state+"2", "--allow", c.id, "--enable", "cp="+filepath.Dir(state))
	if r := swarm(t, "peers", "add", open.addr, "--name", "open", "--state", c.state); r.code != 0 {
		t.Fatalf("peers add: %+v", r)
	}
	if r := c.cp(t, "open:"+filepath.Base(state)+"2/policy.json", here+"/x", "--timeout", (5 * time.Second).String()); r.code != 2 || !strings.Contains(r.stderr, "worker") {
		t.Errorf("%+v", r)
	}
}
