// Package refpow is a small Bitcoin-style miner (SHA-256d, stratum v1) in pure Go, and its adapter.
//
// It earns nothing on a processor. It is there so that the whole way from a command to an accepted
// share can be walked on any machine, with nothing installed, against the loopback pool in package
// pool.
//
// The miner runs as a child process of the program that embeds it. That program gives the adapter
// the arguments by which it becomes the miner, and calls [Main] when it sees them:
//
//	if len(os.Args) > 1 && os.Args[1] == "miner-refpow" {
//		os.Exit(refpow.Main(context.Background(), os.Args[2:], os.Stdout, os.Stderr))
//	}
//	…
//	adapter := refpow.New(refpow.AdapterConfig{Command: []string{exe, "miner-refpow"}})
//
// [Mine] is the same miner as a plain blocking call.
package refpow

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

const (
	// Name is what the miner is called.
	Name = "refpow"
	// Algorithm is the only one it knows.
	Algorithm = "sha256d"

	version    = "1.0"
	configFile = "config.json"
	statusFile = "status.json"
	// staleAfter is the age from which a status says nothing any more; a fresh one comes each
	// second.
	staleAfter = 10 * time.Second
	maxFile    = 16 << 10 // bytes of the configuration and of a status
)

// AdapterConfig is the configuration of the adapter.
type AdapterConfig struct {
	// Command is the program, as an absolute path, and the arguments by which it becomes the miner;
	// "--config FILE" is added to it.
	Command []string
}

// Adapter is the [miner.Adapter] of refpow.
type Adapter struct{ command []string }

var _ miner.Adapter = (*Adapter)(nil)

// New returns the adapter.
func New(cfg AdapterConfig) *Adapter { return &Adapter{command: slices.Clone(cfg.Command)} }

// Name is "refpow".
func (a *Adapter) Name() string { return Name }

// Detect always finds the miner: it is part of the program.
func (a *Adapter) Detect(context.Context) (miner.Info, error) {
	if len(a.command) == 0 {
		return miner.Info{}, fmt.Errorf("refpow without a command: %w", miner.ErrNotInstalled)
	}
	return miner.Info{Path: a.command[0], Version: version}, nil
}

// Render writes config.json. The wallet may be empty: then the pool sees the workload's name alone.
func (a *Adapter) Render(ctx context.Context, spec miner.Spec, dir string) (driver.Spec, error) {
	if _, err := a.Detect(ctx); err != nil {
		return driver.Spec{}, err
	}
	if err := check(spec); err != nil {
		return driver.Spec{}, err
	}
	cfg := Config{
		Pool: spec.Pool, User: user(spec), Password: spec.Password, Threads: max(1, spec.Threads),
		Status: filepath.Join(dir, statusFile), // it ends with whatever starts it, which need not be this process
	}
	b, err := json.Marshal(cfg)
	if err != nil {
		return driver.Spec{}, fmt.Errorf("encode refpow config: %w", err)
	}
	path := filepath.Join(dir, configFile)
	if err := durable.WriteFile(path, b, 0o600); err != nil {
		return driver.Spec{}, err
	}
	if err := os.Remove(cfg.Status); err != nil && !os.IsNotExist(err) {
		return driver.Spec{}, fmt.Errorf("remove the status of the last run: %w", err)
	}
	return driver.Spec{Argv: append(slices.Clone(a.command), "--config", path), Dir: dir}, nil
}

func check(spec miner.Spec) error {
	switch {
	case spec.Algorithm != "" && spec.Algorithm != Algorithm:
		return miner.Refuse("refpow mines %s only, not %q", Algorithm, spec.Algorithm)
	case len(spec.Config) > 0:
		return miner.Refuse("refpow has no further settings: leave out config")
	case spec.Pool == "":
		return miner.Refuse("refpow needs a pool, as stratum+tcp://host:port")
	case spec.Threads > runtime.NumCPU():
		return miner.Refuse("%d threads asked, this machine has %d processors", spec.Threads, runtime.NumCPU())
	}
	if _, err := miner.ParsePool(spec.Pool); err != nil {
		return miner.Refuse("%s", err)
	}
	return nil
}

// user is what pools expect: the wallet, and the rig after a dot.
func user(spec miner.Spec) string {
	if spec.Wallet == "" {
		return spec.Name
	}
	return spec.Wallet + "." + spec.Name
}

// Status reads the file the miner writes each second. One that is old tells nothing.
func (a *Adapter) Status(_ context.Context, dir string) (miner.Status, error) {
	s, err := readStatus(filepath.Join(dir, statusFile))
	if os.IsNotExist(err) {
		return miner.Status{State: miner.Starting, Algorithm: Algorithm}, nil
	}
	if err != nil {
		return miner.Status{State: miner.Degraded, Algorithm: Algorithm}, err
	}
	if age := time.Since(time.UnixMilli(s.Time)); age.Abs() > staleAfter {
		return miner.Status{State: miner.Degraded, Algorithm: Algorithm},
			fmt.Errorf("the miner's status is %v old", age.Round(time.Second))
	}
	return miner.Status{
		State: s.State, Algorithm: Algorithm, HashRate: s.HashRate,
		SharesAccepted: &s.Accepted, SharesRejected: &s.Rejected, Pool: s.Pool, Reason: s.Reason,
	}, nil
}
