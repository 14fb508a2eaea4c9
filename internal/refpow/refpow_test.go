package refpow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	gopsutil "github.com/shirou/gopsutil/v4/process"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/internal/refpow"
	"github.com/seed-b490fa12/swarm/internal/refpow/pool"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

const easy = 1e-5 // about 43,000 hashes a share

// TestMain also plays the miner, and the agent that gets killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "miner-refpow" {
		os.Exit(refpow.Main(context.Background(), os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) == 3 && os.Args[1] == "agent" {
		agent(os.Args[2])
		return
	}
	goleak.VerifyTestMain(m)
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func serve(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	p, err := pool.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = p.Serve(ctx) })
	t.Cleanup(func() { cancel(); serving.Wait() })
	return p
}

func adapter(t *testing.T) *refpow.Adapter {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return refpow.New(refpow.AdapterConfig{Command: []string{exe, "miner-refpow"}})
}

func TestMinesAsAChild(t *testing.T) {
	p := serve(t, pool.Config{Difficulty: easy, Password: "secret"})
	a, dir := adapter(t), t.TempDir()
	spec, err := a.Render(t.Context(), miner.Spec{Name: "rig", Pool: p.URL(), Wallet: "bc1q", Password: "secret", Threads: 2}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if args := strings.Join(spec.Argv, " ") + strings.Join(spec.Env, " "); strings.Contains(args, "secret") {
		t.Errorf("the password is in %q", args)
	}
	if info, err := os.Stat(filepath.Join(dir, "config.json")); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("config has mode %v, %v", info.Mode(), err)
	}
	if s, err := a.Status(t.Context(), dir); err != nil || s.State != miner.Starting || s.HashRate != nil {
		t.Errorf("status before the start: %+v, %v", s, err)
	}
	var out buffer
	spec.Stdout, spec.Stderr = &out, &out
	w, err := process.Driver{}.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	var s miner.Status
	eventually(t, "two accepted shares in the status", func() bool {
		s, err = a.Status(t.Context(), dir)
		return err == nil && s.State == miner.Mining && s.SharesAccepted != nil && *s.SharesAccepted >= 2
	})
	if s.HashRate == nil || *s.HashRate < 1000 || *s.SharesRejected != 0 || s.Algorithm != "sha256d" || s.Pool == "" {
		t.Errorf("status is %+v", s)
	}
	if counts := p.Workers()["bc1q.rig"]; counts.Accepted < *s.SharesAccepted {
		t.Errorf("the pool counts %+v, the miner %d", counts, *s.SharesAccepted)
	}
	if err := w.Stop(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if w.Exit() != (driver.Exit{}) || !strings.Contains(out.String(), "share accepted (2 accepted, 0 rejected)") ||
		!strings.Contains(out.String(), "stopped") || strings.Contains(out.String(), "secret") {
		t.Errorf("exit %v, output:\n%s", w.Exit(), out.String())
	}
}

// mine runs the miner in this process.
func mine(t *testing.T, cfg refpow.Config) (out *buffer, stop func() error) {
	t.Helper()
	out = &buffer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- refpow.Mine(ctx, cfg, out) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return out, stop
}

func TestComesBackToThePool(t *testing.T) {
	p := serve(t, pool.Config{Difficulty: easy})
	out, stop := mine(t, refpow.Config{Pool: p.URL(), User: "a", Threads: 1})
	eventually(t, "a share", func() bool { return p.Total().Accepted > 0 })
	p.Drop()
	eventually(t, "the loss to be told", func() bool { return strings.Contains(out.String(), "no pool") })
	before := p.Total().Accepted
	eventually(t, "a share after the loss", func() bool { return p.Total().Accepted > before })
	p.NewJob()
	before = p.Total().Accepted
	eventually(t, "a share of the new job", func() bool { return p.Total().Accepted > before })
	if err := stop(); err != nil {
		t.Errorf("Mine() = %v", err)
	}
}

func TestRefusedByThePool(t *testing.T) {
	p := serve(t, pool.Config{Password: "right"})
	out, _ := mine(t, refpow.Config{Pool: p.URL(), User: "a", Password: "wrong"})
	eventually(t, "the refusal", func() bool { return strings.Contains(out.String(), "refused the user or password") })
}

func TestRenderRefuses(t *testing.T) {
	good := miner.Spec{Name: "rig", Pool: "stratum+tcp://127.0.0.1:1"}
	tests := []struct {
		name   string
		change func(*miner.Spec)
		words  string // empty: not refused
	}{
		{"good", func(*miner.Spec) {}, ""},
		{"its algorithm", func(s *miner.Spec) { s.Algorithm = "sha256d" }, ""},
		{"other algorithm", func(s *miner.Spec) { s.Algorithm = "rx/0" }, "sha256d only"},
		{"config", func(s *miner.Spec) { s.Config = []byte(`{}`) }, "no further settings"},
		{"no pool", func(s *miner.Spec) { s.Pool = "" }, "needs a pool"},
		{"bad pool", func(s *miner.Spec) { s.Pool = "http://x" }, "stratum+tcp"},
		{"all processors", func(s *miner.Spec) { s.Threads = runtime.NumCPU() }, ""},
		{"one thread more", func(s *miner.Spec) { s.Threads = runtime.NumCPU() + 1 }, "processors"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := good
			tt.change(&spec)
			_, err := adapter(t).Render(t.Context(), spec, t.TempDir())
			if tt.words == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var refusal *miner.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, tt.words) {
				t.Errorf("got %v, want a refusal with %q", err, tt.words)
			}
		})
	}
	if _, err := refpow.New(refpow.AdapterConfig{}).Detect(t.Context()); !errors.Is(err, miner.ErrNotInstalled) {
		t.Errorf("Detect without a command: %v", err)
	}
}

func TestStatusOfFiles(t *testing.T) {
	now := time.Now().UnixMilli()
	tests := []struct {
		name, file string
		state      miner.State
		ok         bool
	}{
		{"fresh", fmt.Sprintf(`{"time":%d,"state":"mining","hashRate":5}`, now), miner.Mining, true},
		{"stale", fmt.Sprintf(`{"time":%d,"state":"mining","hashRate":5}`, now-60_000), miner.Degraded, false},
		{"from the future", fmt.Sprintf(`{"time":%d,"state":"mining","hashRate":5}`, now+60_000), miner.Degraded, false},
		{"half", `{"time":`, miner.Degraded, false},
		{"huge", strings.Repeat(" ", 1<<20), miner.Degraded, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "status.json"), []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := adapter(t).Status(t.Context(), dir)
			if s.State != tt.state || (err == nil) != tt.ok || !tt.ok && s.HashRate != nil {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
}

func TestMainRefusesBadConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	tests := []struct {
		name, config string
		args         []string
		code         int
	}{
		{"no file", "", []string{"--config", file + "x"}, 2},
		{"bad flag", "", []string{"--x"}, 2},
		{"no JSON", "x", []string{"--config", file}, 2},
		{"unknown key", `{"pools":1}`, []string{"--config", file}, 2},
		{"bad pool", `{"pool":"x","user":"a","threads":1}`, []string{"--config", file}, 1},
		{"too many threads", `{"pool":"stratum+tcp://a:1","user":"a","threads":1025}`, []string{"--config", file}, 1},
		{"password with blanks", `{"pool":"stratum+tcp://a:1","user":"a","threads":1,"password":"a b"}`, []string{"--config", file}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
			var words buffer
			if code := refpow.Main(t.Context(), tt.args, &words, &words); code != tt.code || words.String() == "" {
				t.Errorf("code %d, want %d; words %q", code, tt.code, words.String())
			}
		})
	}
}

// agent starts the miner without the driver, so that only the miner itself can notice our end.
func agent(pool string) {
	dir, err := os.MkdirTemp("", "refpow")
	if err != nil {
		panic(err)
	}
	cfg, _ := json.Marshal(refpow.Config{Pool: pool, User: "orphan", Parent: os.Getpid()})
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, cfg, 0o600); err != nil {
		panic(err)
	}
	cmd := exec.Command(os.Args[0], "miner-refpow", "--config", file)
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	fmt.Println(cmd.Process.Pid, dir)
	_ = cmd.Wait()
}

func TestEndsWithItsParent(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a job object ends the miner there")
	}
	p := serve(t, pool.Config{Difficulty: easy})
	exe, _ := os.Executable()
	var out buffer
	cmd := exec.Command(exe, "agent", p.URL())
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphan to mine", func() bool { return p.Workers()["orphan"].Accepted > 0 })
	var pid int
	var dir string
	if _, err := fmt.Sscan(out.String(), &pid, &dir); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	eventually(t, "the orphan to end", func() bool {
		p, err := gopsutil.NewProcess(int32(pid))
		if err != nil {
			return true
		}
		state, err := p.Status() // an orphan may stay a zombie where nobody reaps
		return err != nil || slices.Contains(state, gopsutil.Zombie)
	})
}
