//go:build unix

package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
)

// wire is the way to a worker, which can be cut.
type wire struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

// newWire returns a way to a worker's address, and its own.
func newWire(t *testing.T, addr string) (w *wire, own string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	parts := strings.Split(addr, "/") // /ip4/127.0.0.1/tcp/PORT/p2p/ID
	w = &wire{l: l, to: "127.0.0.1:" + parts[4]}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", w.to)
			if err != nil {
				in.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, in, out)
			w.mu.Unlock()
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				carrying.Go(func() {
					io.Copy(way[0], way[1])
					in.Close()
					out.Close()
				})
			}
		}
	})
	t.Cleanup(func() { l.Close(); w.cut(); carrying.Wait() })
	parts[4] = fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	return w, strings.Join(parts, "/")
}

// cut closes all connections; new ones are carried.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// A command that was detached goes on when its asker has left, and attach shows every byte of 10 MB once,
// over a link that is cut at each tenth, with a controller that serves and without.
func TestDetachAndAttach(t *testing.T) {
	onlySlow(t)
	const size, tenth = 10_000_000, 1_000_000
	for _, how := range []string{"alone", "through serve"} {
		t.Run(how, func(t *testing.T) {
			c := newController(t)
			// One address alone: all goes over the wire.
			w := startWorker(t, t.TempDir(), "--allow", c.id, "--enable", "run")
			link, addr := newWire(t, w.addr)
			if r := swarm(t, "peers", "add", addr, "--name", "rig-01", "--state", c.state); r.code != 0 {
				t.Fatalf("peers add: %+v", r)
			}
			if how == "through serve" {
				startServe(t, c)
			}
			all := make([]byte, size)
			for i := range all {
				all[i] = byte(i * i >> 8)
			}
			file := filepath.Join(t.TempDir(), "all")
			must(t, os.WriteFile(file, all, 0o600))
			in := []string{"--mdns=false", "--state", c.state}
			r := swarm(t, append(append([]string{"run", "rig-01", "--detach"}, in...), "--", "sh", "-c", "cat "+file+"; sleep 1; echo end >&2; exit 9")...)
			id := strings.TrimSpace(r.stdout)
			if r.code != 0 || len(id) != 6 {
				t.Fatalf("run --detach: %+v", r)
			}
			cmd := exec.CommandContext(t.Context(), program, append([]string{"attach", "rig-01", id}, in...)...)
			cmd.Env = environment(t)
			var errs buffer
			cmd.Stderr = &errs
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			got := make([]byte, 0, size)
			for r := bufio.NewReader(out); ; {
				piece := make([]byte, tenth)
				n, err := io.ReadFull(r, piece)
				got = append(got, piece[:n]...)
				if err != nil {
					break
				}
				link.cut()
			}
			cmd.Wait()
			if !bytes.Equal(got, all) || cmd.ProcessState.ExitCode() != 9 || !strings.Contains(errs.String(), "end\n") {
				same := 0
				for same < min(len(got), len(all)) && got[same] == all[same] {
					same++
				}
				t.Errorf("%d bytes, the first %d as they are; exit code %d: %s", len(got), same, cmd.ProcessState.ExitCode(), errs.String())
			}
			t.Logf("cut %d times", strings.Count(errs.String(), "connection lost"))
			if !strings.Contains(errs.String(), "connection lost") {
				t.Error("no connection was lost: this test proves nothing")
			}
			r = swarm(t, append([]string{"attach", "rig-01", id, "--since-offset", fmt.Sprint(size - 3)}, in...)...)
			if r.code != 9 || r.stdout != string(all[size-3:]) || r.stderr != "end\n" {
				t.Errorf("from an offset: %+v", r)
			}
			r = swarm(t, append([]string{"attach", "rig-01", "--json"}, in...)...)
			var line struct {
				OK      bool
				Payload struct {
					Detached []struct {
						ID, Command string
						Bytes       int64
						Exit        struct{ Code int }
					}
				}
			}
			first, _, _ := strings.Cut(r.stdout, "\n")
			must(t, json.Unmarshal([]byte(first), &line, json.MatchCaseInsensitiveNames(true)))
			if d := line.Payload.Detached; r.code != 0 || len(d) != 1 || d[0].ID != id || d[0].Bytes != size+4 || d[0].Exit.Code != 9 {
				t.Errorf("the list is %+v", r)
			}
			if r = swarm(t, append([]string{"attach", "rig-01"}, in...)...); r.code != 0 || !strings.Contains(r.stdout, id) || !strings.Contains(r.stdout, "exit code 9") {
				t.Errorf("the list is %+v", r)
			}
			r = swarm(t, append(append([]string{"run", "rig-01", "--detach"}, in...), "--", "sleep", "300")...)
			if r = swarm(t, append([]string{"attach", "rig-01", strings.TrimSpace(r.stdout), "--stop"}, in...)...); r.code != 143 {
				t.Errorf("stopped: %+v", r)
			}
			if r = swarm(t, append([]string{"attach", "rig-01", "nobody"}, in...)...); r.code != 125 || !strings.Contains(r.stderr, "no detached command") {
				t.Errorf("one that there is not: %+v", r)
			}
			audit := swarm(t, "audit", "--state", w.state).stdout
			for _, want := range []string{"detached (begun)", "run_end exit code 9 after", "attach " + id + " (begun)"} {
				if !strings.Contains(audit, want) {
					t.Errorf("the record has no %q: %s", want, audit)
				}
			}
		})
	}
}
