package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/ops"
)

// stopGrace is how long a worker of the demo may take to stop its miner and end.
const stopGrace = 15 * time.Second

// child is a worker process of the demo.
type child struct {
	name string
	addr string
	cmd  *exec.Cmd
	said *tail
}

// tail keeps the end of what a process says on standard error.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	if t.Len() > 64<<10 {
		t.Reset()
	}
	return t.Buffer.Write(p)
}

// environment is the program's own, without its settings.
func environment() (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SWARM_") {
			env = append(env, kv)
		}
	}
	return append(env, "SWARM_CONFIG="+os.DevNull)
}

func (d *run) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.program, args...)
	cmd.Env = environment()
	cmd.Cancel = func() error { return interrupt(cmd.Process) }
	cmd.WaitDelay = stopGrace
	dieWithParent(cmd)
	return cmd
}

// startWorker starts a worker and waits until it is ready.
func (d *run) startWorker(ctx context.Context, name string, args []string) (*child, error) {
	c := &child{name: name, cmd: d.command(ctx, args...), said: new(tail)}
	c.cmd.Stderr = c.said
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct {
		Addrs []string `json:"addrs"`
	}
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err == nil && len(ready.Addrs) == 0 {
		err = errors.New("it listens nowhere")
	}
	if err != nil {
		interrupt(c.cmd.Process)
		c.cmd.Wait()
		return nil, fmt.Errorf("not ready: %w\n%s", err, c.said)
	}
	c.addr = ready.Addrs[0]
	return c, nil
}

// stopWorkers ends the workers and waits for them; each must end by itself.
func (d *run) stopWorkers() (err error) {
	for _, w := range d.workers {
		interrupt(w.cmd.Process)
	}
	for _, w := range d.workers {
		kill := time.AfterFunc(stopGrace, func() { w.cmd.Process.Kill() })
		if waitErr := w.cmd.Wait(); waitErr != nil {
			err = errors.Join(err, fmt.Errorf("%s did not end well: %w\n%s", w.name, waitErr, w.said))
		}
		kill.Stop()
	}
	return err
}

// swarm runs the program itself and returns its output; another exit code than the one wanted is an
// error.
func (d *run) swarm(ctx context.Context, want int, args ...string) (string, error) {
	cmd := d.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return stdout.String(), ctx.Err()
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return "", err
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		return stdout.String(), fmt.Errorf("swarm %s: exit code %d, want %d: %s",
			strings.Join(args, " "), code, want, stderr.String())
	}
	return stdout.String() + stderr.String(), nil
}

// exec runs one operation of the demo's controller.
func (d *run) exec(ctx context.Context, args ...string) (string, error) {
	return d.swarm(ctx, 0, append([]string{"controller", "exec", "--mdns=false", "--state", d.state("controller")}, args...)...)
}

// statsLine is what the demo reads of a line of get_stats or watch.
type statsLine struct {
	Name    string    `json:"name"`
	Payload ops.Stats `json:"payload"`
}

func (l statsLine) accepted() (n int64) {
	for _, w := range l.Payload.Workloads {
		if w.SharesAccepted != nil {
			n += *w.SharesAccepted
		}
	}
	return n
}

// ask runs a command of the demo's controller and returns its lines of JSON.
func (d *run) ask(ctx context.Context, args ...string) (lines []statsLine, err error) {
	out, err := d.swarm(ctx, 0, append(args, "--mdns=false", "--json", "--state", d.state("controller"))...)
	if err != nil {
		return nil, err
	}
	for text := range strings.Lines(out) {
		var l statsLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return nil, fmt.Errorf("read %q: %w", text, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// watchUntil runs "swarm controller watch" until n workers have pushed a hash rate, and returns the
// rates by name.
func (d *run) watchUntil(ctx context.Context, n int) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := d.command(ctx, "controller", "watch", "--json", "--mdns=false", "--state", d.state("controller"))
	stderr := new(tail)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	seen := make(map[string]string)
	r := bufio.NewReader(out)
	for len(seen) < n && err == nil {
		err = hear(r, seen)
	}
	interrupt(cmd.Process)
	go io.Copy(io.Discard, r) // it may be printing
	ended := cmd.Wait()
	if len(seen) < n {
		return seen, fmt.Errorf("%d of %d workers were heard: %w\n%s", len(seen), n, err, stderr)
	}
	if ended != nil {
		return seen, fmt.Errorf("watch did not end well: %w\n%s", ended, stderr)
	}
	return seen, nil
}

// hear reads one line of watch, and notes the hash rate in it.
func hear(r *bufio.Reader, seen map[string]string) error {
	text, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	var l statsLine
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("read %q: %w", text, err)
	}
	for _, w := range l.Payload.Workloads {
		if w.HashRate != nil {
			seen[l.Name] = output.HashRate(w.HashRate)
		}
	}
	return nil
}
