//go:build linux

package integration

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

// damages are what a power cut, a bad card or a person make of a file.
func damages() map[string]func([]byte) []byte {
	return map[string]func([]byte) []byte{
		"empty": func([]byte) []byte { return []byte{} },
		"zeros": func(b []byte) []byte { return make([]byte, len(b)) },
		"half":  func(b []byte) []byte { return b[:len(b)/2] },
		"a bit": func(b []byte) []byte {
			b = bytes.Clone(b)
			if len(b) > 0 {
				b[len(b)/2] ^= 0x10
			}
			return b
		},
		"gone": func([]byte) []byte { return nil },
	}
}

// stateFiles are the files below a state directory, but those of the fleet, locks, and what was deployed.
func stateFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case e.IsDir() && (rel == "fleet" || strings.HasPrefix(rel, "deploy/") && strings.HasSuffix(rel, "/releases")):
			return fs.SkipDir
		case e.Type().IsRegular() && filepath.Base(path) != "lock":
			files = append(files, rel)
		}
		return nil
	}))
	return files
}

// Whatever becomes of one file, a machine goes on, or says which file it is and what to do.
func TestDamagedFiles(t *testing.T) {
	p := servePool(t)
	c := newController(t)
	state := t.TempDir()
	w := startWorker(t, state, "--name", "rig", "--allow", c.id)
	w.stop()
	must(t, agent.WritePolicy(state, []string{"miner=refpow", "deploy"}))
	w = startWorker(t, state, "--name", "rig", "--allow", c.id)
	mustRun(t, swarm(t, "peers", "add", w.addr, "--name", "rig-01", "--state", c.state))
	run := func(args ...string) { r, _ := c.exec(args...); mustRun(t, r) }
	run("start_miner", "rig-01", "--miner", "refpow", "--threads", "1", "--pool", p.URL())
	bundle := filepath.Join(t.TempDir(), "app.txt")
	must(t, os.WriteFile(bundle, []byte("x"), 0o600))
	run("deploy", "rig-01", bundle, "--name", "app")
	run("get_logs", "rig-01", "--name", "refpow")
	run("stop_miner", "rig-01", "--name", "refpow")
	mustRun(t, swarm(t, "audit", "rig-01", "--state", c.state, "--mdns=false"))
	w.stop()

	open := map[string]func(dir string, log *slog.Logger) error{
		state: func(dir string, log *slog.Logger) error {
			w, err := agent.NewWorker(agent.WorkerConfig{StateDir: dir, Name: "rig", Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Logger: log})
			if err == nil {
				err = errors.Join(w.Listen(), w.Close())
			}
			return err
		},
		c.state: func(dir string, log *slog.Logger) error {
			c, err := agent.Started(agent.NewCommand(agent.ControllerConfig{StateDir: dir, Logger: log}))
			if err == nil {
				err = c.Close()
			}
			return err
		},
	}
	for dir, open := range open {
		for _, file := range stateFiles(t, dir) {
			for name, damage := range damages() {
				t.Run(file+" "+name, func(t *testing.T) {
					at := filepath.Join(t.TempDir(), "state")
					must(t, os.CopyFS(at, os.DirFS(dir)))
					for _, private := range append(stateFiles(t, at), ".") { // CopyFS keeps not all of the modes
						path := filepath.Join(at, private)
						if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
							must(t, os.Chmod(path, 0o600))
						}
					}
					must(t, os.Chmod(at, 0o700))
					path := filepath.Join(at, file)
					good, err := os.ReadFile(path)
					must(t, err)
					bad := damage(good)
					if bad == nil {
						must(t, os.Remove(path))
					} else {
						must(t, os.WriteFile(path, bad, 0o600))
					}
					said := new(buffer)
					err = open(at, slog.New(slog.NewTextHandler(said, nil)))
					decides := file == "identity.pem" || file == "policy.json"
					switch {
					case err == nil && file == "identity.pem" && bad != nil && !bytes.Equal(bad, good):
						t.Error("it went on with a damaged key")
					case err != nil && !decides:
						t.Errorf("it did not go on: %v\n%s", err, said)
					case err != nil && (!strings.Contains(err.Error(), filepath.Base(file)) || !strings.Contains(err.Error(), "away")):
						t.Errorf("the error names no file or no next step: %v", err)
					}
				})
			}
		}
	}
}

// On a disk that has become read-only a worker starts: it answers, and refuses what has an effect, with the reason.
func TestReadOnlyDisk(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: NO MOUNT NAMESPACES HERE: %v: %s", err, out)
	}
	p := servePool(t)
	c := newController(t)
	state := t.TempDir()
	args := []string{"--name", "rig", "--allow", c.id, "--enable", "miner=refpow"}
	w := startWorker(t, state, args...)
	mustRun(t, swarm(t, "peers", "add", w.addr, "--name", "rig-01", "--state", c.state))
	r, _ := c.exec("start_miner", "rig-01", "--miner", "refpow", "--threads", "1", "--pool", p.URL())
	mustRun(t, r)
	waitFor(t, "lines of the log", func() bool {
		r, _ := c.exec("get_logs", "rig-01", "--name", "refpow")
		return strings.Contains(r.stdout, "accepted")
	})
	w.stop()

	listen := strings.SplitN(w.addr, "/p2p/", 2)[0]
	ro := startCommandOf(t, exec.Command("unshare", append([]string{"--mount", "sh", "-c",
		`mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"`, state, program,
		"worker", "--state", state, "--listen", listen, "--mdns=false", "--json"}, args...)...))
	ro.next("ready")
	if !strings.Contains(ro.log.String(), "read-only") {
		t.Errorf("it does not say so: %s", ro.log)
	}
	r, _ = c.exec("get_stats", "rig-01")
	mustRun(t, r)
	mustRun(t, swarm(t, "ping", "rig-01", "-c", "1", "--state", c.state, "--mdns=false"))
	if r, _ = c.exec("get_logs", "rig-01", "--name", "refpow"); r.code != 0 || !strings.Contains(r.stdout, "accepted") {
		t.Errorf("get_logs: %+v", r)
	}
	for _, op := range [][]string{{"start_miner", "rig-01", "--miner", "refpow", "--pool", p.URL()}, {"stop_miner", "rig-01", "--name", "refpow"}} {
		if r, _ := c.exec(op...); r.code == 0 || !strings.Contains(r.stdout, "read-only") {
			t.Errorf("%v: %+v", op, r)
		}
	}
}
