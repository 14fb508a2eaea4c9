// Package demo shows the whole program on one machine: it starts a pool, three workers and a
// controller as processes of their own, and walks through what an owner does with them.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/refpow/pool"
)

const (
	workers = 3
	timeout = 2 * time.Minute

	denied   = 5 // the exit code for a lack of rights
	maxHello = 1 << 10
)

// run is one run of the demonstration.
type run struct {
	out     *output.Std
	dir     string
	keep    bool // the directory, at the end
	program string
	pool    *pool.Pool
	workers []*child
	began   time.Time
	total   map[string]any // the last line
}

// Run shows the demonstration on out, in two minutes at most. The program that runs is started
// again for each process. Everything is stopped in the end, and removed unless keep is set.
func Run(ctx context.Context, out *output.Std, keep bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d := &run{out: out, keep: keep, began: time.Now(), total: map[string]any{"ok": false, "workers": 0, "sharesAccepted": 0}}
	if d.program, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if d.dir, err = os.MkdirTemp("", "swarm-demo-"); err != nil {
		return err
	}
	if !keep {
		defer os.RemoveAll(d.dir)
	}
	if d.pool, err = pool.Listen(pool.Config{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return fmt.Errorf("start the pool: %w", err)
	}
	poolCtx, stopPool := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- d.pool.Serve(poolCtx) }()
	err = d.walk(ctx)
	err = errors.Join(err, d.stopWorkers())
	stopPool()
	err = errors.Join(err, <-served)
	return d.finish(err)
}

// walk goes through the steps until one fails.
func (d *run) walk(ctx context.Context) error {
	for _, s := range []struct {
		title string
		do    func(context.Context) (string, error)
	}{
		{"a controller gets its identity", d.identity},
		{"three workers start; two know only the address of the first", d.start},
		{"the controller is told one address and finds all three", d.find},
		{"its owner gives them names", d.name},
		{"refpow starts mining on all of them", d.mine},
		{"the pool accepts shares of each", d.shares},
		{"stats are pushed while somebody watches", d.watch},
		{"the miners' logs", d.logs},
		{"a bundle is deployed to all", d.deploy},
		{"the miners stop", d.stop},
		{"a stranger is refused", d.stranger},
	} {
		if err := d.step(ctx, s.title, s.do); err != nil {
			return err
		}
	}
	return nil
}

// step does one step and shows what came of it.
func (d *run) step(ctx context.Context, title string, do func(context.Context) (string, error)) error {
	if !d.out.JSON {
		d.out.Stdout.Printf("\n== %s\n", title)
	}
	began := time.Now()
	said, err := do(ctx)
	if err != nil {
		err = fmt.Errorf("%s: %w", title, err)
	}
	if d.out.JSON {
		return errors.Join(err, d.out.PrintJSON(map[string]any{
			"step": title, "ok": err == nil, "seconds": time.Since(began).Seconds(),
		}))
	}
	if said != "" {
		d.out.Stdout.Block("   ", said)
	}
	return err
}

// finish prints the last line.
func (d *run) finish(err error) error {
	d.total["ok"] = err == nil
	d.total["seconds"] = time.Since(d.began).Seconds()
	left := "Everything was stopped and removed."
	if d.keep {
		d.total["dir"] = d.dir
		left = "Everything was stopped; what it made is in " + d.dir + "."
	}
	if d.out.JSON {
		return errors.Join(err, d.out.PrintJSON(d.total))
	}
	switch {
	case err == nil:
		d.out.Stdout.Printf("\nAll of it works here: %d workers, %d shares accepted, in %.0f s. %s\n",
			workers, d.total["sharesAccepted"], time.Since(d.began).Seconds(), left)
	case d.keep:
		d.out.Stdout.Printf("\n%s\n", left)
	}
	return err
}

func (d *run) state(name string) string { return filepath.Join(d.dir, name) }

func (d *run) identity(ctx context.Context) (string, error) {
	out, err := d.swarm(ctx, 0, "id", "--state", d.state("controller"))
	d.total["controller"] = strings.TrimSpace(out)
	return "$ swarm id\n" + out, err
}

func (d *run) start(ctx context.Context) (string, error) {
	var said strings.Builder
	for i := range workers {
		name := fmt.Sprintf("rig-%d", i+1)
		args := []string{
			"worker", "--name", name, "--state", d.state(name), "--listen", "/ip4/127.0.0.1/tcp/0", "--mdns=false",
			"--allow", d.total["controller"].(string), "--enable", "miner=refpow,deploy", "--stats-every", "1s", "--json",
		}
		if i > 0 {
			args = append(args, "--bootstrap", d.workers[0].addr)
		}
		w, err := d.startWorker(ctx, name, args)
		if err != nil {
			return said.String(), fmt.Errorf("%s: %w", name, err)
		}
		d.workers = append(d.workers, w)
		fmt.Fprintf(&said, "%s at %s\n", name, w.addr)
	}
	d.total["workers"] = len(d.workers)
	return said.String(), nil
}

// find asks all, until discovery has made the three known.
func (d *run) find(ctx context.Context) (string, error) {
	args := []string{"controller", "exec", "get_stats", "--all", "--wait", "2s", "--bootstrap", d.workers[0].addr}
	for {
		lines, err := d.ask(ctx, args...)
		if err != nil {
			return "", err
		}
		if len(lines) == workers {
			break
		}
	}
	out, err := d.exec(ctx, "get_stats", "--all", "--wait", "0")
	return "$ swarm stats --all\n" + out, err
}

// name puts the machines into the address book by the names they claim: here
// we know who they are.
func (d *run) name(ctx context.Context) (string, error) {
	var said strings.Builder
	for _, w := range d.workers {
		id := w.addr[strings.LastIndex(w.addr, "/")+1:]
		if _, err := d.swarm(ctx, 0, "peers", "add", id, "--name", w.name, "--state", d.state("controller")); err != nil {
			return said.String(), err
		}
		fmt.Fprintf(&said, "$ swarm peers add %s --name %s\n", id, w.name)
	}
	return said.String(), nil
}

func (d *run) mine(ctx context.Context) (string, error) {
	out, err := d.exec(ctx, "start_miner", "--all", "--wait", "0", "--miner", "refpow", "--threads", "1", "--pool", d.pool.URL())
	return "$ swarm start --all --miner refpow --pool " + d.pool.URL() + "\n" + out, err
}

// shares waits until every worker itself reports an accepted share.
func (d *run) shares(ctx context.Context) (string, error) {
	for {
		lines, err := d.ask(ctx, "controller", "exec", "get_stats", "--all", "--wait", "0")
		if err != nil {
			return "", err
		}
		mining := 0
		for _, l := range lines {
			if l.accepted() > 0 {
				mining++
			}
		}
		if mining == workers {
			break
		}
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return "", fmt.Errorf("%d of %d workers have an accepted share: %w", mining, workers, err)
		}
	}
	d.total["sharesAccepted"] = d.pool.Total().Accepted
	out, err := d.exec(ctx, "get_stats", "--all", "--wait", "0")
	return out, err
}

func pause(ctx context.Context, t time.Duration) error {
	select {
	case <-time.After(t):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch runs the watch command until each worker has pushed something.
func (d *run) watch(ctx context.Context) (string, error) {
	pushed, err := d.watchUntil(ctx, workers)
	d.total["pushed"] = len(pushed)
	var said strings.Builder
	fmt.Fprintln(&said, "$ swarm controller watch")
	for _, name := range slices.Sorted(maps.Keys(pushed)) {
		fmt.Fprintf(&said, "%s pushed: %s\n", name, pushed[name])
	}
	return said.String(), err
}

func (d *run) logs(ctx context.Context) (string, error) {
	out, err := d.exec(ctx, "get_logs", "--all", "--wait", "0", "--name", "refpow", "--lines", "3")
	if err == nil && !strings.Contains(out, "rig-") {
		err = errors.New("no worker sent a log")
	}
	return "$ swarm logs --all --name refpow --lines 3\n" + out, err
}

func (d *run) deploy(ctx context.Context) (string, error) {
	bundle := d.state("greeting")
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		return "", err
	}
	if err := durable.WriteFile(filepath.Join(bundle, "hello.txt"), []byte("hello from the controller\n"), 0o600); err != nil {
		return "", err
	}
	out, err := d.exec(ctx, "deploy", "--all", "--wait", "0", bundle)
	if err != nil {
		return out, err
	}
	for i := range workers {
		current := filepath.Join(d.state(fmt.Sprintf("rig-%d", i+1)), "deploy", "greeting", "current", "hello.txt")
		text, err := durable.ReadFile(current, maxHello)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || len(text) == 0 {
			return out, fmt.Errorf("the bundle is not in place at worker %d: %w", i+1, err)
		}
	}
	d.total["deployed"] = workers
	return "$ swarm deploy --all ./greeting\n" + out, nil
}

func (d *run) stop(ctx context.Context) (string, error) {
	d.total["sharesAccepted"] = d.pool.Total().Accepted
	out, err := d.exec(ctx, "stop_miner", "--all", "--wait", "0", "--name", "refpow")
	return "$ swarm stop --all --name refpow\n" + out, err
}

func (d *run) stranger(ctx context.Context) (string, error) {
	out, err := d.swarm(ctx, denied, "controller", "exec", "stop_miner", d.workers[0].addr, "--name", "refpow",
		"--mdns=false", "--state", d.state("stranger"))
	d.total["strangerRefused"] = err == nil
	return out, err
}
