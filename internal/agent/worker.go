package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/liveness"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/journal"
	"github.com/seed-b490fa12/swarm/internal/policy"
	"github.com/seed-b490fa12/swarm/internal/process"
	"github.com/seed-b490fa12/swarm/internal/refpow"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/cp"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/shim"
	"github.com/seed-b490fa12/swarm/ops/forward"
	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/ops/miner/xmrig"
	"github.com/seed-b490fa12/swarm/ops/power"
	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

// Kinds of nodes, as the handshake names them. Viewers and issuers run controllers.
const (
	RoleWorker     = string(trust.RoleWorker)
	RoleController = string(trust.RoleController)
	RoleRelay      = string(trust.RoleRelay)
)

// RefpowCommand is the word by which the program becomes the refpow miner.
const RefpowCommand = "miner-refpow"

// DefaultStatsEvery is how often stats are pushed.
const DefaultStatsEvery = 5 * time.Second

// WorkerConfig says what kind of worker NewWorker makes.
type WorkerConfig struct {
	// StateDir holds all that the worker keeps.
	StateDir string
	// Name is what the worker calls itself; empty means the host name.
	Name string
	// Listen are the multiaddrs to listen on; none means port 4747.
	Listen []string
	// Bootstrap are addresses to begin with, each ending in /p2p/<peer ID>.
	Bootstrap []string
	// MDNS announces the worker in the local network and looks for others.
	MDNS bool
	// Beacon does the same by UDP datagrams; nil means it does not.
	Beacon *discovery.BeaconConfig
	// Allow are the peers that may command this worker.
	Allow []peer.ID
	// Enable is what may run here in this run, beside what the policy file allows:
	// "miner=NAME" and "deploy".
	Enable []string
	// StatsEvery is how often stats are pushed while somebody listens; 0 means 5 s.
	StatsEvery time.Duration
	// KeepWorkloads lets workloads go on when the worker ends, unless it is interrupted or leaves the
	// fleet, and when it is killed; the next worker goes on with them. The program must begin with
	// shim.Main.
	KeepWorkloads bool
	// Program is the path of this program, which also is the refpow miner; empty means
	// os.Executable.
	Program string
	// Net says how the worker gets to others.
	Net NetConfig
	// XMRig is the path of the xmrig program; empty means to look in PATH.
	XMRig string
	// AgentLog is where what the worker logs is kept for its owner; nil for nowhere.
	AgentLog *logs.Log
	// Options are passed to libp2p, for instance a simulated network in tests.
	Options []libp2p.Option
	Logger  *slog.Logger
}

// Worker serves one machine.
type Worker struct {
	Node *node.Node
	Ops  *ops.Service

	cfg      WorkerConfig
	log      *slog.Logger
	adapters []miner.Adapter
	fleet    *trust.Fleet // nil in open mode

	leaders *leaders // nil in open mode
	judge   *trust.Open
	running context.Context    // that of Run
	every   chan time.Duration // how often stats are pushed from now on

	policy   *policy.File
	audit    *audit.Recorder
	journal  *journal.Journal
	deployed *deploy.Store
	commands *run.Service
	unhook   func() // ends the news of fleet; nil without

	power *power.Service

	forwarded connectionNotes
}

// NewWorker makes a worker, which is reachable from Listen on. Close it in the end.
func NewWorker(cfg WorkerConfig) (*Worker, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.StatsEvery == 0 {
		cfg.StatsEvery = DefaultStatsEvery
	}
	if cfg.Name == "" {
		cfg.Name, _ = os.Hostname()
		cfg.Name = strings.ToValidUTF8(cfg.Name[:min(len(cfg.Name), greet.MaxNameLength)], "")
	}
	if len(cfg.Name) > greet.MaxNameLength || !utf8.ValidString(cfg.Name) {
		return nil, fmt.Errorf("name %q: want %d bytes of UTF-8 at most", cfg.Name, greet.MaxNameLength)
	}
	owner, err := openPolicy(cfg.StateDir, cfg.Enable)
	if err != nil {
		return nil, err
	}
	fleet, err := fleetdir.Open(cfg.StateDir, cfg.Allow, cfg.Logger)
	if err != nil {
		return nil, err
	}
	if fleet != nil {
		cfg.Name = fleet.Self().Grant.Name // what it is called by its owner
	}
	cfg.Logger = withNames(cfg.Logger, fleet)
	w := &Worker{cfg: cfg, log: cfg.Logger, fleet: fleet, policy: owner, judge: trust.NewOpen(cfg.Allow...), every: make(chan time.Duration, 1)}
	nc, err := w.nodeConfig()
	if err != nil {
		return nil, err
	}
	w.audit = audit.OpenRecorder(audit.RecorderConfig{
		Dir: audit.Dir(cfg.StateDir), Audits: Operations().Audits, Often: forward.Often, Name: w.nameOf, Logger: cfg.Logger,
	})
	nc.Audit, nc.Observe = w.audit.Record, w.audit.Observe
	w.journal = journal.Open(journal.Config{Dir: filepath.Join(cfg.StateDir, "journal"), Logger: cfg.Logger})
	nc.Journal = w.journal
	nc.AuditHead = func() greet.AuditHead { return greet.AuditHead(w.audit.Head()) }
	n, err := node.New(nc)
	if err != nil {
		return nil, errors.Join(err, w.journal.Close(), w.audit.Close())
	}
	w.Node = n
	w.protectAllowed(cfg.Allow)
	w.warnCaps()
	if err := w.register(); err != nil {
		if w.commands != nil {
			err = errors.Join(err, w.commands.Close())
		}
		if w.Ops != nil {
			err = errors.Join(err, w.Ops.Close())
		}
		return nil, errors.Join(err, n.Close(), w.journal.Close(), w.audit.Close())
	}
	if fleet != nil {
		w.unhook = fleet.Notify(w.trustChanged)
	}
	return w, nil
}

func (w *Worker) nodeConfig() (node.Config, error) {
	cfg := w.cfg
	hc, err := hostConfig(cfg.Listen, cfg.Bootstrap, cfg.Net)
	if err != nil {
		return node.Config{}, err
	}
	hc.StateDir, hc.MDNS, hc.Beacon, hc.Options = cfg.StateDir, cfg.MDNS, cfg.Beacon, cfg.Options
	nc := node.Config{
		Role: RoleWorker, Name: cfg.Name, Judge: w.judge, Fleet: w.fleet, Host: hc,
		Topics: []string{statsTopic(w.fleet).Name}, Seed: cfg.Net.Seed, Sole: true, Logger: cfg.Logger,
	}
	nc.Tickets, err = tickets(w.fleet, cfg.StateDir)
	return nc, err
}

// register puts the operations on the node.
func (w *Worker) register() error {
	program := w.cfg.Program
	if program == "" {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		program = exe
	}
	dir, err := filepath.Abs(w.cfg.StateDir)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	w.adapters = adapters(program, xmrig.Config{Binary: w.cfg.XMRig, Logger: w.log})
	w.Ops, err = ops.New(ops.Config{
		Dir: filepath.Join(dir, "ops"), Node: w.Node.ID().String(), Name: w.cfg.Name,
		Adapters: w.adapters, Policy: opsPolicy(w.policy), Logger: w.log,
		Agent: ops.AgentLog{Log: w.cfg.AgentLog, May: w.may}, Driver: w.driver(), Program: program, GoesOn: w.goesOn,
	})
	if err != nil {
		return err
	}
	w.deployed, err = deploy.OpenStore(deploy.StoreConfig{
		Dir: filepath.Join(dir, "deploy"), Logger: w.log, Quota: func() int64 { return w.policy.Policy().Deploy.TotalBytes },
	})
	if err != nil {
		return err
	}
	w.commands, err = run.New(run.Config{
		Dir: filepath.Join(dir, "run"), Allowed: w.mayRunCommands, Limits: w.capsOfCommands, Ended: w.noteCommand,
		Shell: w.mayOpenShells, ShellEnded: w.noteShell, Logger: w.log,
		Spool: filepath.Join(dir, "detached"), Still: func(by peer.ID) error { return w.may(by, run.VerbRun) },
	})
	if err != nil {
		return err
	}
	w.power = power.New(power.Config{
		Allowed: func() error { return w.policy.Policy().CheckPower() }, Failed: w.notePower, Logger: w.log,
	})
	w.forwarded.note = func(by peer.ID, words string) { w.audit.Note(audit.KindForwardEnd, by, words) }
	connections := forward.New(forward.Config{
		Allowed: func(target string) error { return w.policy.Policy().CheckForward(target) },
		Ended:   w.forwarded.add, Logger: w.log,
	})
	copies := cp.New(cp.Config{
		Place: func(path string) (string, string, error) { return w.policy.Policy().CheckCopy(path) }, Closed: []string{dir},
		Ended:  func(by peer.ID, s cp.Session) { w.audit.Note(audit.KindCopyEnd, by, s.String()) },
		Logger: w.log,
	})
	return errors.Join(
		operations(served{w.Ops, policed{w.policy, w.deployed}, w.audit, w.commands, w.power}).Register(w.Node.Mux),
		connections.Register(w.Node.Mux), copies.Register(w.Node.Mux),
	)
}

// mayRunCommands returns why the owner allows no commands, and how many at a time.
func (w *Worker) mayRunCommands() (most int, err error) {
	p := w.policy.Policy()
	return p.Caps.Runs, p.CheckRun()
}

// capsOfCommands are the limits of each command.
func (w *Worker) capsOfCommands() driver.Limits {
	l, _ := w.policy.Policy().Limits(driver.Limits{}) // it asks for none, so that none is refused
	return l
}

// noteCommand records how a command ended.
func (w *Worker) noteCommand(by peer.ID, req run.Request, e run.Exit) {
	w.audit.Note(audit.KindRunEnd, by, fmt.Sprintf("%s after %.1f s, %d bytes to stdout and %d to stderr: %s",
		e, e.Seconds, e.StdoutBytes, e.StderrBytes, req.Summary()))
}

// notePower records that the machine was not rebooted or shut down after all.
func (w *Worker) notePower(by peer.ID, a power.Action, err error) {
	w.audit.Note(audit.KindPowerFail, by, fmt.Sprintf("action=%s was not done: %v", a, err))
}

// mayOpenShells returns for whom the owner allows login shells and how many, or why none.
func (w *Worker) mayOpenShells() (user string, most int, err error) {
	p := w.policy.Policy()
	return p.Shell.User, p.Caps.Runs, p.CheckShell()
}

// noteShell records how a login shell ended.
func (w *Worker) noteShell(by peer.ID, user string, _ run.ShellRequest, e run.Exit) {
	w.audit.Note(audit.KindShellEnd, by, fmt.Sprintf("%s after %.1f s, %d bytes to stdout and %d to stderr: shell of %s",
		e, e.Seconds, e.StdoutBytes, e.StderrBytes, cmp.Or(user, "the worker's user")))
}

// may returns why a peer does not have a right.
func (w *Worker) may(p peer.ID, verb streams.Verb) error {
	var judge trust.Judge = w.judge
	if w.fleet != nil {
		judge = w.fleet
	}
	err := judge.May(p, string(verb))
	if d, ok := errors.AsType[*trust.Denied](err); ok && w.cfg.Net.Hint != nil {
		return fmt.Errorf("%w%s", err, w.cfg.Net.Hint(d))
	}
	return err
}

// driver runs the workloads; nil is the one whose workloads end with the worker.
func (w *Worker) driver() driver.Driver {
	if !w.cfg.KeepWorkloads {
		return nil
	}
	if err := shim.Supported(); err != nil {
		w.log.Warn("workloads end with the worker", "err", err)
		return nil
	}
	return shim.Driver{}
}

// EndWorkloads ends what a worker that has ended has left running, and returns how many processes that
// were. Those of one that runs are its own.
func EndWorkloads(stateDir string) (killed int, err error) {
	dir, err := filepath.Abs(stateDir)
	if err != nil {
		return 0, err
	}
	killed, err = ops.EndLeft(filepath.Join(dir, "ops"))
	if errors.Is(err, ops.ErrInUse) {
		return 0, nil
	}
	return killed, err
}

// goesOn reports whether the workloads go on without the worker: it was told to stop, and not by a person
// at its terminal, nor because it has left its fleet.
func (w *Worker) goesOn() bool {
	return w.running.Err() != nil && !process.Interrupted(w.running)
}

// adapters are the miners that a worker can drive: refpow, which is program itself, and xmrig.
func adapters(program string, x xmrig.Config) []miner.Adapter {
	return []miner.Adapter{
		refpow.New(refpow.AdapterConfig{Command: []string{program, RefpowCommand}}), xmrig.New(x),
	}
}

// Listen opens the worker's addresses. From then on it can be reached.
func (w *Worker) Listen() error {
	if w.fleet != nil {
		w.leaders = newLeaders(w.Node, w.fleet, leaderRoles...)
		w.leaders.keep()
	}
	return w.Node.Listen()
}

// Addrs returns the worker's addresses, each with its peer ID.
func (w *Worker) Addrs() ([]string, error) { return AddrsOf(w.Node) }

// Run serves until ctx ends; then the workloads have been stopped.
func (w *Worker) Run(ctx context.Context) error {
	w.running = ctx
	w.audit.Note(audit.KindStart, "", "the worker started; may run: "+w.policy.Policy().Status().String())
	defer w.audit.Note(audit.KindStop, "", "the worker stopped")
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { w.warnMiners(ctx); return nil })
	g.Go(func() error { return w.Node.Run(ctx) })
	g.Go(func() error { return w.Ops.Run(ctx) })
	g.Go(func() error { return w.power.Run(ctx) })
	g.Go(func() error { return w.pushStats(ctx) })
	g.Go(func() error { return w.audit.Run(ctx) })
	g.Go(func() error { return w.deployed.Run(ctx) })
	g.Go(func() error { return watchTwin(ctx, w.Node, w.cfg.StateDir, w.log, w.noteTwin) })
	if w.leaders != nil {
		g.Go(func() error { return w.leaders.run(ctx) })
		g.Go(func() error { return fleetdir.UntilLeft(ctx, w.fleet) })
	}
	return g.Wait()
}

// nameOf returns the peer's name in the fleet.
func (w *Worker) nameOf(p peer.ID) string {
	if w.fleet == nil {
		return ""
	}
	m, ok := w.fleet.Known(p)
	if !ok {
		return ""
	}
	return m.Grant.Name
}

// trustChanged records what the fleet has told this machine.
func (w *Worker) trustChanged() {
	own := w.fleet.Self().Grant
	w.audit.Note(audit.KindTrust, "", fmt.Sprintf("this machine is a member until %s (grant %s/%d); members or rights that were revoked: %d",
		own.ExpiresAt().UTC().Format(time.DateOnly), own.Line.Serial, own.N, len(w.fleet.Revocations())))
}

// noteTwin records that another machine has this identity, and that it is gone: what was done
// meanwhile may be in the record of either.
func (w *Worker) noteTwin(t twins.Twin, there bool) {
	words := "no other machine runs with this identity any more, as far as is known"
	if there {
		words = "held what has an effect: " + t.Words()
	}
	w.audit.Note(audit.KindTrust, "", words)
}

// Close frees everything, also of a worker that never ran.
func (w *Worker) Close() error {
	if w.unhook != nil {
		w.unhook()
	}
	err := errors.Join(w.Node.Close(), w.commands.Close(), w.Ops.Close(), w.journal.Close())
	w.forwarded.close()
	return errors.Join(err, w.audit.Close())
}

// pushStats publishes the stats while somebody listens, and at once to one who
// begins to.
func (w *Worker) pushStats(ctx context.Context) error {
	subject, err := statsTopic(w.fleet).Join(w.Node.PubSub, w.Node.ID(), w.Node.Streams, nil)
	if err != nil {
		return err
	}
	joins, stop, err := subject.Joins(ctx)
	if err != nil {
		return err
	}
	defer subject.Close()
	defer stop()
	// The first time at random: a fleet that was started at once must not push in step.
	tick := time.NewTicker(1 + rand.N(w.cfg.StatsEvery))
	defer tick.Stop()
	welcome := rate.NewLimiter(rate.Every(time.Second), 1) // one who comes and goes gets no more than others
	pushes := pace{wanted: w.cfg.StatsEvery}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-joins:
			if !welcome.Allow() {
				continue
			}
		case <-tick.C:
			tick.Reset(pushes.next(w.lost()))
		case pushes.wanted = <-w.every:
			tick.Reset(pushes.wanted)
			continue
		}
		if len(subject.Subscribers()) > 0 {
			w.publish(ctx, subject)
		}
	}
}

// lost is how many packets the open connections have sent, and how many of these were lost, as far as
// that is known.
func (w *Worker) lost() (sent, lost uint64) {
	for _, c := range w.Node.Network().Conns() {
		s, l := liveness.Lost(c)
		sent, lost = sent+s, lost+l
	}
	return sent, lost
}

func (w *Worker) publish(ctx context.Context, subject *streams.Subject[ops.Stats]) {
	stats, err := w.Ops.Stats(ctx)
	if err == nil {
		err = subject.Publish(ctx, stats)
	}
	if err != nil && ctx.Err() == nil {
		w.log.Warn("stats could not be pushed", "err", err)
	}
}

// RunRefpow is the refpow miner as a program; it returns the exit code.
func RunRefpow(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return refpow.Main(ctx, args, stdout, stderr)
}
