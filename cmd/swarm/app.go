package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
)

// Exit codes. They are stable: scripts rely on them.
const (
	exitOK          = 0
	exitUsage       = 1 // bad arguments, unknown name, or an error of this machine
	exitFailed      = 2 // no machine succeeded, for various reasons
	exitPartial     = 3 // some machines succeeded
	exitUnreachable = 4 // no machine could be reached, or none answered in time
	exitDenied      = 5 // every machine refused for lack of rights
	exitInterrupted = 130
)

// codeError ends the program with a code; its text, if any, is printed.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// app is what all commands share.
type app struct {
	stdin          io.Reader
	in             *bufio.Reader // over stdin, from the first question on
	stdout, stderr *printer
	terminal       io.Writer // the standard error itself, for what steers it: colours, a progress bar

	// Global flags.
	state    string
	config   string
	logLevel string
	json     bool

	log *slog.Logger // set before a command runs
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "swarm",
		Short: "Control the machines you own, peer to peer",
		Long: `swarm controls the machines you own, peer to peer: behind NATs, across sites,
with no server in the middle and no account.

Each machine runs "swarm worker". You run "swarm controller exec". A worker does
what it is told only by those that its owner named with --allow, and runs only
what its owner enabled with --enable.

Every flag can also be set by an environment variable (--log-level is
SWARM_LOG_LEVEL) or in the configuration file, in this order.

Exit codes: 0 all succeeded; 1 usage, unknown name or local error; 2 none
succeeded; 3 some succeeded; 4 none could be reached; 5 all refused for lack of
rights.`,
		Example: `  swarm demo                        # see all of it on this machine, in half a minute
  swarm id                          # who this controller is
  swarm worker --allow PEER --enable miner=refpow,deploy
  swarm controller exec get_stats --all --bootstrap /ip4/192.0.2.7/tcp/4747/p2p/PEER`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.prepare(cmd) },
		Args:              noArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.StringVar(&a.state, "state", "", "`DIR` that holds everything of this node (default: /var/lib/swarm/… as root, else in $XDG_STATE_HOME)")
	f.StringVar(&a.config, "config", "", "YAML configuration `FILE` (default: $XDG_CONFIG_HOME/swarm/config.yaml, else /etc/swarm/config.yaml)")
	f.StringVar(&a.logLevel, "log-level", "", "what to log on standard error: debug, info, warn or error (default: info for a worker, else warn)")
	f.BoolVar(&a.json, "json", false, "print one JSON object a line instead of text")
	root.AddCommand(a.workerCommand(), a.controllerCommand(), a.relayCommand(), a.idCommand(), a.peersCommand(), a.pingCommand(), a.eventsCommand(), a.doctorCommand(),
		a.infoCommand(), a.versionCommand(), a.initCommand(), a.inviteCommand(), a.joinCommand(), a.membersCommand(), a.grantCommand(), a.revokeCommand(),
		a.renameCommand(), a.labelCommand(), a.renewCommand(), a.auditCommand(), a.leaveCommand(), a.statusCommand(), a.keyCommand(), a.demoCommand(), a.refpowCommand())
	return root
}

// noArgs refuses arguments in words: most often they are a mistyped command.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return fmt.Errorf("unknown command %q for %q; see: %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())
	}
	if f := cmd.Flags().Lookup(healthName); f != nil && f.Changed && f.Value.String() == f.NoOptDefVal {
		return fmt.Errorf("%q stands alone; an address for --%s comes after an equals sign: --%s=%s", args[0], f.Name, f.Name, args[0])
	}
	return fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0])
}

// prepare fills in the settings and the logger before any command runs.
func (a *app) prepare(cmd *cobra.Command) error {
	if err := a.settings(cmd); err != nil {
		return err
	}
	level := slog.LevelWarn
	if cmd.Name() == "worker" || cmd.Name() == "relay" {
		level = slog.LevelInfo
	}
	if a.logLevel != "" {
		if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
			return fmt.Errorf("log level %q: want debug, info, warn or error", a.logLevel)
		}
	}
	handler := func(level slog.Level) slog.Handler {
		return tint.NewTextHandler(folding{a.terminal}, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !isTerminal(a.terminal)})
	}
	a.log = slog.New(handler(level))
	// What libraries say by themselves: libp2p its faults, the mDNS library
	// by the standard logger what is of use in a search for trouble only.
	gologshim.SetDefaultHandler(handler(max(level, slog.LevelError)))
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(handler(level), slog.LevelDebug).Writer())
	return nil
}

func isTerminal(w any) bool {
	if p, ok := w.(*printer); ok {
		w = p.w
	}
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// exitCode prints the error, if there is one to print, and returns the code.
func (a *app) exitCode(ctx context.Context, err error) int {
	code := exitOK
	if err != nil {
		code = exitUsage
	}
	if ce, ok := errors.AsType[*codeError](err); ok {
		code, err = ce.code, ce.err
	}
	if err == nil {
		return code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	first, more, several := strings.Cut(err.Error(), "\n")
	a.stderr.printf("swarm: %s\n", first)
	if several {
		a.stderr.block("       ", more)
	}
	return code
}

// stateDir returns --state, or the default for a role.
func (a *app) stateDir(role string) (string, error) {
	if a.state != "" {
		return filepath.Abs(a.state)
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
