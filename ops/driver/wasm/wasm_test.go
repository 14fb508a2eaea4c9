package wasm_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/ops/driver/wasm"
)

func TestMain(m *testing.M) {
	if code, done := wasm.Main(os.Args); done {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// bench is where modules of one test run.
type bench struct {
	t           *testing.T
	module, dir string
	cache       string
}

// built is the module of the tests, which takes a while.
var built = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "swarm-wasm")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+"/probe.wasm", "./testdata/probe")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(dir + "/probe.wasm")
})

func newBench(t *testing.T) *bench {
	t.Helper()
	base := t.TempDir()
	b := &bench{t, filepath.Join(base, "probe.wasm"), filepath.Join(base, "dir"), filepath.Join(base, "cache")}
	text, err := built()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.module, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return b
}

// printed is what a module prints.
type printed struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

// start starts the module.
func (b *bench) start(m wasm.Module, env ...string) (driver.Workload, *printed) {
	b.t.Helper()
	if m.Path == "" {
		m.Path = b.module
	}
	m.Dir, m.Cache = b.dir, b.cache
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	argv, err := wasm.Argv(self, m)
	if err != nil {
		b.t.Fatal(err)
	}
	out := new(printed)
	w, err := process.Driver{}.Start(driver.Spec{Argv: argv, Dir: b.dir, Env: env, Stdout: out, Stderr: out})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { w.Stop(b.t.Context(), 0) })
	return w, out
}

// run runs it to its end.
func (b *bench) run(m wasm.Module, env ...string) (driver.Exit, string) {
	b.t.Helper()
	w, out := b.start(m, env...)
	select {
	case <-w.Done():
	case <-time.After(2 * time.Minute):
		b.t.Fatalf("it does not end, and printed %q", out)
	}
	return w.Exit(), out.String()
}

// A module has its arguments, the variables that are named, its directory, and an exit code.
func TestModule(t *testing.T) {
	b := newBench(t)
	exit, out := b.run(wasm.Module{Args: []string{"show", "one two", ""}, Env: []string{"COLOUR"}}, "COLOUR=red", "SECRET=hush")
	if exit.Code != 7 || out != "[one two ] [COLOUR=red]\nto stderr\n" {
		t.Errorf("%v, printed %q", exit, out)
	}
	if exit, out := b.run(wasm.Module{Args: []string{"write"}}); exit.Code != 0 {
		t.Errorf("%v, printed %q", exit, out)
	}
	if text, err := os.ReadFile(filepath.Join(b.dir, "note.txt")); string(text) != "from inside" {
		t.Errorf("it wrote %q, %v", text, err)
	}
	began := time.Now()
	b.run(wasm.Module{Args: []string{"show"}})
	t.Logf("a start from the cache takes %v", time.Since(began))
}

// Nothing outside its directory is read, changed or reached by a module, whatever links are in it.
func TestNothingOutside(t *testing.T) {
	b := newBench(t)
	secret := filepath.Join(filepath.Dir(b.dir), "secret")
	for path, to := range map[string]string{"out": "/", "dangling": filepath.Dir(b.dir) + "/new"} {
		if err := os.Symlink(to, filepath.Join(b.dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(b.dir, "there"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{secret, filepath.Join(b.dir, "there/file")} {
		if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exit, out := b.run(wasm.Module{Args: []string{"escape", secret}})
	if exit.Code != 0 || out != "done\n" {
		t.Errorf("%v: %s", exit, out)
	}
	if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file outside: %v, %v", info, err)
	}
	if text, err := os.ReadFile(secret); string(text) != "secret" {
		t.Errorf("the file outside: %q, %v", text, err)
	}
	left, err := os.ReadDir(filepath.Dir(b.dir))
	if err != nil || len(left) != 4 { // module, directory, cache, secret
		t.Errorf("there is %v, %v", left, err)
	}
}
