// Package xmrig is the adapter of the XMRig miner.
//
//	a := xmrig.New(xmrig.Config{Binary: "/opt/xmrig/xmrig"})
//
// The program is what the owner of the machine has installed; it is never downloaded. It always
// runs with a configuration written here, from scratch: XMRig's own example mines for somebody
// else's wallet, so a pool and a wallet must be given. XMRig's authors keep [DonateLevel] percent
// of the mining time; that is the least a released XMRig allows, and it is said in the log of each
// start.
//
// The adapter asks the running miner over XMRig's HTTP interface: on 127.0.0.1 only, at a free
// port, read-only, and with a random token that is new for each start and stands in the same
// private file as the wallet.
package xmrig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

const (
	// Name is what the miner is called.
	Name = "xmrig"
	// DonateLevel is the percentage of the time that XMRig mines for its authors.
	DonateLevel = 1

	configFile = "config.json"
	// versionTime is how long the program may take to tell its version.
	versionTime = 5 * time.Second
)

// Config is the configuration of the adapter. The zero value is useful.
type Config struct {
	// Binary is the program: an absolute path, or empty to look for "xmrig" in the agent's PATH.
	Binary string
	// Logger gets what the owner should know; nil is silent.
	Logger *slog.Logger
}

// Adapter is the [miner.Adapter] of XMRig.
type Adapter struct{ cfg Config }

var _ miner.Adapter = (*Adapter)(nil)

// New returns the adapter.
func New(cfg Config) *Adapter {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Adapter{cfg: cfg}
}

// Name is "xmrig".
func (a *Adapter) Name() string { return Name }

// Detect finds the program and asks it for its version.
func (a *Adapter) Detect(ctx context.Context) (miner.Info, error) {
	path, err := a.binary()
	if err != nil {
		return miner.Info{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env, cmd.WaitDelay = []string{"LANG=C.UTF-8"}, time.Second
	out, err := cmd.Output()
	if err != nil {
		return miner.Info{}, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	return miner.Info{Path: path, Version: parseVersion(string(out))}, nil
}

// binary is the absolute path of the program.
func (a *Adapter) binary() (string, error) {
	name, looked := a.cfg.Binary, ""
	if name == "" {
		name, looked = Name, "no program "+Name+" in the PATH of the worker"
	} else if !filepath.IsAbs(name) {
		return "", fmt.Errorf("xmrig program %q is not an absolute path", name)
	}
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return "", &miner.NotInstalled{Looked: cmp.Or(looked, "there is no "+name)}
	}
	if err != nil {
		return "", fmt.Errorf("find xmrig: %w", err)
	}
	return filepath.Abs(path)
}

// parseVersion reads a first line such as "XMRig 6.26.0"; empty when it is another one.
func parseVersion(out string) string {
	line, _, _ := strings.Cut(out, "\n")
	name, version, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok || name != "XMRig" || len(version) > 32 {
		return ""
	}
	return version
}

// Render writes config.json. Pool and wallet are required.
func (a *Adapter) Render(_ context.Context, spec miner.Spec, dir string) (driver.Spec, error) {
	path, err := a.binary()
	if err != nil {
		return driver.Spec{}, err
	}
	b, err := render(spec)
	if err != nil {
		return driver.Spec{}, err
	}
	file := filepath.Join(dir, configFile)
	if err := durable.WriteFile(file, b, 0o600); err != nil {
		return driver.Spec{}, err
	}
	a.cfg.Logger.Info("xmrig gives part of the mining time to its authors", "percent", DonateLevel)
	return driver.Spec{Argv: []string{path, "--config=" + file, "--no-color"}, Dir: dir}, nil
}
