// Package console is what all commands share with the person and the process: where they read and
// print, the global flags, the log, the state directories, the controller that serves here, and exit
// codes.
package console

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
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/ask"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/settings"
	"github.com/seed-b490fa12/swarm/internal/usage"
)

// Env is what all commands share: where they read and print, the global flags, and the log.
type Env struct {
	output.Std // JSON is --json
	Ask        *ask.Person
	Stdin      io.Reader
	Terminal   io.Writer // the standard error itself, for colours and a progress bar

	Verbose bool // --verbose: errors with all that was tried

	state, config, logLevel string // flags

	// These are set before a command runs.
	Log     *slog.Logger
	level   slog.LevelVar // of Log
	usual   slog.Level    // of Log, where nobody has said another
	timeout time.Duration // --timeout, 0 for a command that has none

	waited time.Duration // for a controller that serves and does not answer
}

// workloadEnv marks the processes of a workload, which may be this program.
const workloadEnv = "SWARM_WORKLOAD"

// New returns what commands share before their flags are read.
func New(stdin io.Reader, stdout, stderr io.Writer) *Env {
	errs := output.New(stderr)
	return &Env{
		Std: output.Std{Stdout: output.New(stdout), Stderr: errs}, Ask: ask.New(stdin, errs), Stdin: stdin, Terminal: stderr,
	}
}

// Flags declares the flags of all commands.
func (e *Env) Flags(f *pflag.FlagSet) { usage.Group(f, usage.Global, e.flags) }

func (e *Env) flags(f *pflag.FlagSet) {
	f.StringVar(&e.state, "state", "",
		"`DIR` that holds everything of this node (default: /var/lib/swarm/… as root, else in $XDG_STATE_HOME)")
	f.StringVar(&e.config, "config", "",
		"YAML configuration `FILE` (default: $XDG_CONFIG_HOME/swarm/config.yaml, else /etc/swarm/config.yaml)")
	f.StringVar(&e.logLevel, "log-level", "",
		"what to log on standard error: debug, info, warn or error (default: info for a worker, else warn)")
	f.BoolVarP(&e.Verbose, "verbose", "v", false, "say of each error all that was tried")
	f.BoolVar(&e.JSON, "json", false, "print one JSON object a line instead of text")
}

// Prepare fills in the settings and the logger before a command runs.
func (e *Env) Prepare(cmd *cobra.Command) error {
	chosen := choosing(cmd)
	if err := settings.Fill(cmd); err != nil {
		return err
	}
	tellChoice(e, cmd, chosen)
	for _, w := range settings.UnknownVariables(cmd.Root(), PassphraseEnv, workloadEnv) {
		e.Stderr.Printf("swarm: %s\n", w)
	}
	if t, err := cmd.Flags().GetDuration("timeout"); err == nil {
		e.timeout = t
	}
	e.usual = slog.LevelWarn
	if cmd.Name() == "worker" || cmd.Name() == "relay" {
		e.usual = slog.LevelInfo
	}
	if err := e.SetLogLevel(e.logLevel); err != nil {
		return err
	}
	handler := func(level slog.Leveler) slog.Handler {
		return tint.NewTextHandler(output.Folding(e.Terminal),
			&tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != "" || !output.IsTerminal(e.Terminal)})
	}
	e.Log = slog.New(handler(&e.level))
	// Libraries log by themselves: libp2p its faults, and the mDNS library by the standard logger
	// what helps only in a search for trouble.
	theirs := max(e.level.Level(), slog.LevelError)
	if e.usual == slog.LevelWarn && e.logLevel == "" {
		theirs++ // who asked for no log reads nothing of them: what matters is told in our words
	}
	gologshim.SetDefaultHandler(handler(theirs))
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(handler(&e.level), slog.LevelDebug).Writer())
	return nil
}

// SetLogLevel makes a level that of the log; empty means the usual one of the command.
func (e *Env) SetLogLevel(name string) error {
	level := e.usual
	if name != "" {
		if err := level.UnmarshalText([]byte(name)); err != nil {
			return fmt.Errorf("log level %q: want debug, info, warn or error", name)
		}
	}
	e.level.Set(level)
	return nil
}

// FreshFlags declares the flags of all commands anew, and returns what takes over those that can change
// while a command runs.
func (e *Env) FreshFlags(f *pflag.FlagSet) (take map[string]func() error) {
	fresh := new(Env)
	fresh.Flags(f)
	return map[string]func() error{"log-level": func() error { return e.SetLogLevel(fresh.logLevel) }}
}

// StateDir returns --state, or the default for a role.
func (e *Env) StateDir(role string) (string, error) {
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

// InFleet reports whether the node in a state directory is in a fleet.
func InFleet(dir string) bool { return trust.InFleet(fleetdir.Dir(dir)) }

// HasIdentity reports whether a state directory holds a node.
func HasIdentity(dir string) bool {
	_, err := filepath.EvalSymlinks(identity.Path(dir))
	return err == nil
}
