package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestDemo(t *testing.T) {
	r := swarm(t, "demo", "--json")
	var last struct {
		OK             bool  `json:"ok"`
		Workers        int   `json:"workers"`
		SharesAccepted int64 `json:"sharesAccepted"`
	}
	text := strings.TrimSpace(r.stdout)
	must(t, json.Unmarshal([]byte(text[strings.LastIndex(text, "\n")+1:]), &last))
	if r.code != 0 || !last.OK || last.Workers != 3 || last.SharesAccepted < 3 {
		t.Errorf("got %+v", r)
	}
	t.Logf("the demo took %v", r.took)
	if left := processes(t); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
}

// However the demo ends, nothing of it goes on.
func TestDemoIsInterrupted(t *testing.T) {
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("no /proc to look for processes in")
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			tmp := t.TempDir()
			cmd := exec.Command(program, "demo")
			cmd.Env = append(environment(t), "TMPDIR="+tmp)
			out := new(buffer)
			cmd.Stdout = out
			must(t, cmd.Start())
			waitFor(t, "the miners", func() bool { return strings.Contains(out.String(), "starts mining") && len(processes(t)) >= 4 })
			must(t, cmd.Process.Signal(sig))
			err := cmd.Wait()
			if sig == syscall.SIGINT && cmd.ProcessState.ExitCode() != 130 {
				t.Errorf("ended with %v, want exit code 130", err)
			}
			waitFor(t, "all processes to end", func() bool { return len(processes(t)) == 0 })
			if left, _ := filepath.Glob(tmp + "/*"); sig == syscall.SIGINT && len(left) > 0 {
				t.Errorf("files left: %v", left)
			}
		})
	}
}

// processes lists the command lines of our program that run now.
func processes(t *testing.T) (out []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil && bytes.HasPrefix(text, []byte(program)) {
			out = append(out, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return out
}
