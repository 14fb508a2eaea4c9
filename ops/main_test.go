package ops_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/internal/refpow"
	"github.com/seed-b490fa12/swarm/internal/refpow/pool"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/shim"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

// easy is a difficulty of about 43,000 hashes a share.
const easy = 1e-5

// TestMain also plays the workloads.
func TestMain(m *testing.M) {
	if code, done := shim.Main(); done {
		os.Exit(code)
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "miner-refpow":
			os.Exit(refpow.Main(context.Background(), os.Args[2:], os.Stdout, os.Stderr))
		case "child":
			os.Exit(child(os.Args[2], os.Args[3]))
		}
	}
	goleak.VerifyTestMain(m)
}

// child is a workload that does what its mode says. It counts its runs in the file.
func child(mode, file string) int {
	runs := 1
	if b, err := os.ReadFile(file); err == nil {
		n, _ := strconv.Atoi(string(b))
		runs += n
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(runs)), 0o600); err != nil {
		return 9
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Println("run", runs)
	switch mode {
	case "dies at once":
		return 3
	case "dies soon":
		time.Sleep(200 * time.Millisecond)
		return 4
	case "talks":
		out := bufio.NewWriter(os.Stdout)
		for i := range 3000 {
			fmt.Fprintln(out, "line", i)
		}
		_ = out.Flush()
	}
	<-ctx.Done()
	fmt.Println("bye")
	return 0
}

// scripted is an adapter for child.
type scripted struct {
	t    testing.TB
	name string // also the mode
	runs string // file that counts the runs
}

func (a *scripted) Name() string                               { return a.name }
func (a *scripted) Detect(context.Context) (miner.Info, error) { return miner.Info{}, nil }

func (a *scripted) Render(_ context.Context, spec miner.Spec, dir string) (driver.Spec, error) {
	modes := map[string]string{"dies-at-once": "dies at once", "dies-soon": "dies soon", "talks": "talks", "waits": "waits"}
	return driver.Spec{
		Argv: []string{executable(a.t), "child", modes[a.name], a.runs}, Dir: dir,
		Env: []string{"GORACE=atexit_sleep_ms=0"}, // else a child built with -race takes a second to end
	}, nil
}

func (a *scripted) Status(context.Context, string) (miner.Status, error) {
	if _, err := os.Stat(a.runs); err != nil {
		return miner.Status{State: miner.Starting}, nil
	}
	rate := 7.0
	return miner.Status{State: miner.Mining, Algorithm: "sleep", HashRate: &rate}, nil
}

func executable(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// serve runs a pool.
func serve(t *testing.T) *pool.Pool {
	t.Helper()
	p, err := pool.Listen(pool.Config{Difficulty: easy})
	if err != nil {
		t.Fatal(err)
	}
	background(t, p.Serve)
	return p
}

// background runs something until the test ends, or stop is called.
func background(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// allowed is a policy that allows these miners, and nothing that begins with "bad".
type allowed []string

func (a allowed) CheckMiner(kind string) error {
	if !slices.Contains(a, kind) {
		return fmt.Errorf("miner %s is not in the list", kind)
	}
	return nil
}

func (a allowed) CheckDriver(driver string) error {
	if !slices.Contains(a, driver) {
		return fmt.Errorf("driver %s is not in the list", driver)
	}
	return nil
}

func (a allowed) CheckPool(pool string) error {
	if strings.Contains(pool, "bad.example") {
		return errors.New("not this pool")
	}
	return nil
}

func (a allowed) CheckWallet(wallet string) error {
	if wallet == "bad" {
		return errors.New("not this wallet")
	}
	return nil
}

func (a allowed) Threads(asked int) (int, error) {
	if asked == 7 {
		return 0, errors.New("not 7 threads")
	}
	return asked, nil
}

func (a allowed) Limits(asked driver.Limits) (driver.Limits, error) {
	if asked.Processes == 7 {
		return driver.Limits{}, errors.New("not 7 processes")
	}
	return asked, nil
}

// newService makes a service whose owner allows everything there is, and runs it.
func newService(t testing.TB, dir string, configure ...func(*ops.Config)) (s *ops.Service, stop func()) {
	t.Helper()
	cfg := ops.Config{Dir: dir, Node: "node", Name: "rig-01", Restart: ops.RestartPolicy{Min: time.Millisecond}}
	cfg.Adapters = []miner.Adapter{refpow.New(refpow.AdapterConfig{Command: []string{executable(t), "miner-refpow"}})}
	for _, mode := range []string{"dies-at-once", "dies-soon", "talks", "waits"} {
		cfg.Adapters = append(cfg.Adapters, &scripted{t: t, name: mode, runs: dir + "/" + mode + ".runs"})
	}
	all := allowed{ops.DriverProcess}
	for _, a := range cfg.Adapters {
		all = append(all, a.Name())
	}
	cfg.Policy = func() ops.Policy { return all }
	for _, c := range configure {
		c(&cfg)
	}
	s, err := ops.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop = background(t, s.Run)
	return s, stop
}
