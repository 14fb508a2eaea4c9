//go:build unix

package integration

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// forwarding is a "swarm forward" that runs.
type forwarding struct {
	addr  string // where it listens
	out   *buffer
	cmd   *exec.Cmd
	ended chan struct{}
}

// forward starts one to a target.
func (c controller) forward(t *testing.T, name, target string) *forwarding {
	t.Helper()
	f := &forwarding{out: new(buffer), ended: make(chan struct{})}
	f.cmd = exec.Command(program, "forward", name, "0:"+target, "--json", "--mdns=false", "--state", c.state)
	f.cmd.Env, f.cmd.Stdout, f.cmd.Stderr = environment(t), f.out, f.out
	must(t, f.cmd.Start())
	go func() {
		defer close(f.ended)
		f.cmd.Wait()
	}()
	t.Cleanup(func() { f.cmd.Process.Signal(syscall.SIGTERM); <-f.ended })
	waitFor(t, "the port is listened to", func() bool {
		for line := range strings.Lines(f.out.String()) {
			var l struct{ Event, Listen, Target, Name string }
			if json.Unmarshal([]byte(line), &l, json.MatchCaseInsensitiveNames(true)) == nil && l.Event == "listening" && l.Target == target && l.Name == name {
				f.addr = l.Listen
			}
		}
		return f.addr != ""
	})
	return f
}

// page reads a page, over a connection of its own.
func page(url string) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// A web page of a machine is read through the swarm, also after the worker was away, and after the
// controller that serves was another one.
func TestForward(t *testing.T) {
	body := bytes.Repeat([]byte("a page of a miner "), 100_000)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			sum := sha256.New()
			n, _ := io.Copy(sum, r.Body)
			fmt.Fprintf(w, "%d %x", n, sum.Sum(nil))
			return
		}
		w.Write(body)
	}))
	defer web.Close()
	target := web.Listener.Addr().String()
	for _, how := range []string{"alone", "through serve"} {
		t.Run(how, func(t *testing.T) {
			c := newController(t)
			state, listen := t.TempDir(), freeAddr(t)
			args := []string{"--allow", c.id, "--enable", "forward=" + target, "--listen", listen}
			w := startWorker(t, state, args...)
			if r := swarm(t, "peers", "add", listen+"/p2p/"+w.peer, "--name", "rig-01", "--state", c.state); r.code != 0 {
				t.Fatalf("peers add: %+v", r)
			}
			var serve *process
			if how == "through serve" {
				serve = startServe(t, c)
			}
			f := c.forward(t, "rig-01", target)
			addr := f.addr
			if host, _, err := net.SplitHostPort(addr); err != nil || host != "127.0.0.1" {
				t.Errorf("it listens on %s", addr)
			}
			var all sync.WaitGroup
			for range 30 {
				all.Go(func() {
					if got, err := page("http://" + addr); err != nil || !bytes.Equal(got, body) {
						t.Errorf("%d bytes of %d, %v", len(got), len(body), err)
					}
				})
			}
			all.Wait()
			resp, err := http.Post("http://"+addr, "", bytes.NewReader(body))
			must(t, err)
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			must(t, err)
			if want := fmt.Sprintf("%d %x", len(body), sha256.Sum256(body)); string(got) != want {
				t.Errorf("posted: %s, want %s", got, want)
			}

			open, err := net.Dial("tcp", addr)
			must(t, err)
			defer open.Close()
			io.WriteString(open, "GET / HTTP/1.1\r\n")
			w.stop()
			open.SetReadDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.ReadAll(open); err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("a connection to a worker that has ended: %v", err)
			}
			startWorker(t, state, args...)
			awaits(t, "the page is there again", func() bool {
				got, err := page("http://" + addr)
				return err == nil && bytes.Equal(got, body)
			})
			if serve != nil {
				serve.stop()
				startServe(t, c)
				awaits(t, "another controller serves the page", func() bool { _, err := page("http://" + addr); return err == nil })
				if s := f.out.String(); !strings.Contains(s, `"event":"cut"`) || !strings.Contains(s, `"event":"back"`) {
					t.Errorf("printed %s", s)
				}
			}
			must(t, f.cmd.Process.Signal(syscall.SIGINT))
			<-f.ended
			if code := f.cmd.ProcessState.ExitCode(); code != 130 {
				t.Errorf("exit code %d after Ctrl-C: %s", code, f.out)
			}
			if _, err := net.Dial("tcp", addr); err == nil {
				t.Error("it listens after its end")
			}
			if r := auditOf(t, state); !strings.Contains(r.stdout, "target="+target) || !strings.Contains(r.stdout, "forward_end") {
				t.Errorf("the record: %s", r.stdout)
			}
		})
	}
}

// Why a port cannot be reached is told apart.
func TestForwardRefusals(t *testing.T) {
	c, stranger := newController(t), newController(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	target := closed.Addr().String()
	must(t, closed.Close())
	w := startWorker(t, t.TempDir(), "--allow", c.id, "--enable", "forward="+target)
	for _, who := range []controller{c, stranger} {
		if r := swarm(t, "peers", "add", w.addr, "--name", "rig-01", "--state", who.state); r.code != 0 {
			t.Fatalf("peers add: %+v", r)
		}
	}
	if r := swarm(t, "peers", "add", freeAddr(t)+"/p2p/"+stranger.id, "--name", "gone", "--state", c.state); r.code != 0 {
		t.Fatalf("peers add: %+v", r)
	}
	for _, tt := range []struct {
		who  controller
		args string
		code int
		want string
	}{
		{c, "rig-01 0:127.0.0.1:1", 2, "--enable forward=127.0.0.1:1"},
		{stranger, "rig-01 0:" + target, 5, "--allow"},
		{c, "gone 0:" + target, 4, "gone"},
		{c, "nobody 0:80", 1, "no machine is named"},
		{c, "rig-01", 1, "swarm forward rig-01 8080:80"},
		{c, "rig-01 0.0.0.0:0:80", 1, "--listen-any"},
		{c, "rig-01 0:0.0.0.0:80", 1, "127.0.0.1"},
		{c, "rig-01 192.0.2.1:0:80 --listen-any", 1, "192.0.2.1:0"},
	} {
		args := append(append([]string{"forward"}, strings.Fields(tt.args)...), "--mdns=false", "--timeout", "5s", "--state", tt.who.state)
		if r := swarm(t, args...); r.code != tt.code || !strings.Contains(r.stderr, tt.want) {
			t.Errorf("%s: %+v, want %d and %s", tt.args, r, tt.code, tt.want)
		}
	}
	f := c.forward(t, "rig-01", target)
	if _, err := page("http://" + f.addr); err == nil {
		t.Error("a page of nobody")
	}
	awaits(t, "it says that nobody listens", func() bool { return strings.Contains(f.out.String(), "connection refused") })
}
