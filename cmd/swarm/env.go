package main

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/ask"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/settings"
)

// env is what all commands share: where they read and print, the global flags, and the log.
type env struct {
	output.Std // JSON is --json
	ask        *ask.Person
	stdin      io.Reader
	terminal   io.Writer // the standard error itself, for colours and a progress bar

	state, config, logLevel string // flags

	log *slog.Logger // set before a command runs
}

// prepare fills in the settings and the logger before a command runs.
func (e *env) prepare(cmd *cobra.Command) error {
	if err := settings.Fill(cmd); err != nil {
		return err
	}
	level := slog.LevelWarn
	if cmd.Name() == "worker" || cmd.Name() == "relay" {
		level = slog.LevelInfo
	}
	if e.logLevel != "" {
		if err := level.UnmarshalText([]byte(e.logLevel)); err != nil {
			return fmt.Errorf("log level %q: want debug, info, warn or error", e.logLevel)
		}
	}
	handler := func(level slog.Level) slog.Handler {
		return tint.NewTextHandler(output.Folding(e.terminal),
			&tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !output.IsTerminal(e.terminal)})
	}
	e.log = slog.New(handler(level))
	// Libraries log by themselves: libp2p its faults, and the mDNS library by the standard logger
	// what helps only in a search for trouble.
	gologshim.SetDefaultHandler(handler(max(level, slog.LevelError)))
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(handler(level), slog.LevelDebug).Writer())
	return nil
}

// stateDir returns --state, or the default for a role.
func (e *env) stateDir(role string) (string, error) {
	if e.state != "" {
		return filepath.Abs(e.state)
	}
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib/swarm", role), nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "swarm", role), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the state: %w; give --state DIR", err)
	}
	return filepath.Join(home, ".local", "state", "swarm", role), nil
}

// stateDirs returns the state directories of this machine for which holds is true: the one of
// --state, or the usual ones.
func (e *env) stateDirs(holds func(dir string) bool) (dirs []string, err error) {
	for _, role := range []string{agent.RoleController, agent.RoleWorker, agent.RoleRelay} {
		dir, err := e.stateDir(role)
		if err != nil {
			return nil, err
		}
		if holds(dir) {
			dirs = append(dirs, dir)
		}
		if e.state != "" {
			break
		}
	}
	return dirs, nil
}

// inFleet reports whether the node in a state directory is in a fleet.
func inFleet(dir string) bool { return trust.InFleet(fleetdir.Dir(dir)) }

// hasIdentity reports whether a state directory holds a node.
func hasIdentity(dir string) bool {
	_, err := filepath.EvalSymlinks(identity.Path(dir))
	return err == nil
}
