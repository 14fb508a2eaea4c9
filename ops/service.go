package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/ops/hardware"
	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// MaxWorkloads is the most workloads a service knows, those that have stopped included.
const MaxWorkloads = 64

// DefaultGrace is how long a workload may take to stop by itself.
const DefaultGrace = 5 * time.Second

// Config is the configuration of a [Service]. Dir is required.
type Config struct {
	// Dir is an absolute path, below which the service keeps all its files. It is made with mode
	// 0700. No other service can use it at the same time; New returns ErrInUse then.
	Dir string
	// Node and Name are told in stats: the peer ID and the name of this machine.
	Node, Name string
	// Adapters are the miners there are. Which may run is for Policy to say.
	Adapters []miner.Adapter
	// Policy returns what the owner allows by now; nil allows nothing.
	Policy func() Policy
	// Driver runs the workloads; nil for the process driver. Those of a driver.Adopter outlive a service
	// that is killed, and the next one goes on with them.
	Driver driver.Driver
	// Program is the path of this program, whose main function begins with wasm.Main; empty: it runs no
	// WebAssembly modules.
	Program string
	// GoesOn reports whether the workloads of a driver.Adopter go on when Run ends, for the next service;
	// nil: they end with it. It is asked at the end.
	GoesOn func() bool
	// Logger gets what happens; nil is silent.
	Logger *slog.Logger
	// Grace is how long a workload may take to stop by itself; 0 for DefaultGrace.
	Grace time.Duration
	// Restart says what happens when a workload dies; zero fields have defaults.
	Restart RestartPolicy
	// Logs is the size of each workload's log; zero fields have defaults.
	Logs logs.Config
	// Agent is the agent's own log; without one nobody can ask for it.
	Agent AgentLog
}

func (c Config) withDefaults() Config {
	if c.Driver == nil {
		c.Driver = process.Driver{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.GoesOn == nil {
		c.GoesOn = func() bool { return false }
	}
	if c.Policy == nil {
		c.Policy = func() Policy { return nothing{} }
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	c.Restart = c.Restart.withDefaults()
	return c
}

// Policy is what the owner of a machine allows, whoever asks. No message can change it. The words
// of an error are for the one who asked (422).
type Policy interface {
	CheckMiner(kind string) error
	// CheckDriver is asked for workloads that are no miners.
	CheckDriver(driver string) error
	// CheckPool and CheckWallet are asked with an empty text where none is named, or where a raw
	// configuration may name any.
	CheckPool(pool string) error
	CheckWallet(wallet string) error
	// Threads returns how many a workload gets that asks for so many; 0 is as many as it likes.
	Threads(asked int) (int, error)
	// Limits returns the limits that a workload gets that asks for these.
	Limits(asked driver.Limits) (driver.Limits, error)
}

// nothing is the policy where there is none.
type nothing struct{}

func (nothing) CheckMiner(kind string) error {
	return fmt.Errorf("miner %s is not enabled on this machine", kind)
}
func (nothing) CheckDriver(string) error {
	return errors.New("workloads other than miners are not enabled on this machine")
}
func (nothing) CheckPool(string) error         { return errors.New("no pool is allowed") }
func (nothing) CheckWallet(string) error       { return errors.New("no wallet is allowed") }
func (nothing) Threads(asked int) (int, error) { return asked, nil }

func (nothing) Limits(asked driver.Limits) (driver.Limits, error) { return asked, nil }

// ErrInUse says that another agent, which still runs, uses the same directory.
var ErrInUse = errors.New("state directory is in use by another running agent")

// Service runs the workloads of one machine. It is a [Worker]. All its methods are safe for
// concurrent use.
type Service struct {
	cfg      Config
	adapters map[string]miner.Adapter
	started  time.Time
	boot     int64
	lock     *os.File // keeps other services away from the directory while it is open

	mu        sync.Mutex
	life      context.Context      // guarded by mu: of Run while it runs, else nil; workloads end with it
	closed    bool                 // guarded by mu: was run, or closed
	workloads map[string]*workload // guarded by mu
	host      Host                 // guarded by mu: as last measured
	devices   []hardware.Device    // guarded by mu: as last read
	seq       uint64               // guarded by mu: of the last Stats

	parts sync.WaitGroup // the goroutines of workloads; added to under mu while life is there
}

var _ Worker = (*Service)(nil)

// New makes a service. It finds the workloads of earlier runs, whose logs can be read. What still
// runs of them, because the agent was killed, is ended.
func New(cfg Config) (*Service, error) {
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("ops: directory %q is not an absolute path", cfg.Dir)
	}
	s := &Service{
		cfg: cfg.withDefaults(), adapters: make(map[string]miner.Adapter), started: time.Now(),
		workloads: make(map[string]*workload),
	}
	for _, a := range cfg.Adapters {
		s.adapters[a.Name()] = a
	}
	if err := os.MkdirAll(s.workloadsDir(), 0o700); err != nil {
		return nil, fmt.Errorf("ops: make state directory: %w", err)
	}
	if err := s.takeDir(); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	return s, nil
}

// takeDir locks the directory for the life of the service: two would write the same logs, and end
// each other's workloads.
func (s *Service) takeDir() error {
	f, err := durable.OpenFile(filepath.Join(s.cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if durable.IsReadOnly(err) {
		// The machine still says how it is, and what its workloads said.
		s.cfg.Logger.Error("the disk is read-only: nothing can be started or changed until it is mounted for writing, and the worker started again", "dir", s.cfg.Dir)
		if f, err = durable.Open(filepath.Join(s.cfg.Dir, "lock")); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("ops: open lock: %w", err)
	}
	taken, err := durable.TryLock(f)
	if err == nil && !taken {
		err = ErrInUse
	}
	if err != nil {
		return errors.Join(fmt.Errorf("ops: lock %s: %w", s.cfg.Dir, err), f.Close())
	}
	s.lock = f
	return nil
}

// load reads what is left of earlier runs.
func (s *Service) load() (err error) {
	if s.boot, err = s.nextBoot(filepath.Join(s.cfg.Dir, "boot"), s.started); err != nil {
		return err
	}
	return s.findWorkloads()
}

func (s *Service) workloadsDir() string { return filepath.Join(s.cfg.Dir, "workloads") }

// kinds lists the miners there are, for error messages.
func (s *Service) kinds() string { return strings.Join(slices.Sorted(maps.Keys(s.adapters)), ", ") }

// Run lets workloads start, and blocks until ctx ends. Then it stops them all, unless they go on; when
// it returns none of their processes and none of its goroutines is left. A service runs once.
func (s *Service) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errors.New("ops: service was run or closed before")
	}
	s.life, s.closed = ctx, true
	s.mu.Unlock()
	resumeAll(s)
	s.parts.Go(func() { sampleDevices(ctx, s) })
	s.sampleHost(ctx)
	s.mu.Lock()
	s.life = nil
	s.mu.Unlock()
	s.parts.Wait()
	return s.closeFiles()
}

// Close gives back what New took, for a service that was never run. After Run it does nothing.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.closeFiles()
}

// closeFiles is for the end, when nobody writes any more.
func (s *Service) closeFiles() error {
	var errs []error
	for _, w := range s.workloads {
		errs = append(errs, w.log.Close())
	}
	if s.lock != nil { // none on a read-only disk on which nothing ever ran
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Stats is the state of the machine and its workloads, as last measured.
func (s *Service) Stats(context.Context) (Stats, error) {
	s.mu.Lock()
	s.seq++
	st := Stats{
		Node: s.cfg.Node, Name: s.cfg.Name, UptimeSeconds: time.Since(s.started).Seconds(),
		Host: s.host, Seq: s.seq, Boot: s.boot, Workloads: []Workload{},
	}
	st.Host.Devices = s.devices
	all := slices.SortedFunc(maps.Values(s.workloads), func(a, b *workload) int { return strings.Compare(a.name, b.name) })
	s.mu.Unlock()
	for _, w := range all {
		st.Workloads = append(st.Workloads, w.stats())
	}
	return st, nil
}

// find returns a workload by its name.
func (s *Service) find(name string) (*workload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.workloads[name]; w != nil {
		return w, nil
	}
	if len(s.workloads) == 0 {
		return nil, streams.Errorf(streams.CodeNotFound, "no workload %q: none was ever started here", name)
	}
	return nil, streams.Errorf(streams.CodeNotFound, "no workload %q; there are: %s", name, s.names())
}

// names needs mu.
func (s *Service) names() string { return strings.Join(slices.Sorted(maps.Keys(s.workloads)), ", ") }

func errNotRunning() error {
	return streams.Errorf(streams.CodeUnavailable, "the worker is starting or stopping: try again in a moment")
}

// obtain returns the workload of that name, and makes it when there is none.
func (s *Service) obtain(name string) (*workload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil {
		return nil, errNotRunning()
	}
	if w := s.workloads[name]; w != nil {
		return w, nil
	}
	if len(s.workloads) >= MaxWorkloads {
		return nil, streams.Errorf(streams.CodeRefused,
			"this machine has had %d workloads, the most it keeps: use one of their names: %s",
			MaxWorkloads, s.names())
	}
	w, err := s.newWorkload(name)
	if err != nil {
		return nil, err
	}
	s.workloads[name] = w
	return w, nil
}

// forget undoes obtain for a workload that never ran.
func (s *Service) forget(w *workload) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.workloads, w.name)
	return errors.Join(w.log.Close(), os.RemoveAll(w.dir))
}

// spawn starts the goroutine of a workload, unless the service is at its end.
func (s *Service) spawn(run func(life context.Context)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil || s.life.Err() != nil {
		return errNotRunning()
	}
	life := s.life
	s.parts.Go(func() { run(life) })
	return nil
}

// findWorkloads makes the workloads that earlier runs have left on disk.
func (s *Service) findWorkloads() error {
	entries, err := os.ReadDir(s.workloadsDir())
	if err != nil {
		return fmt.Errorf("ops: list workloads: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || miner.ValidName(e.Name()) != nil {
			continue
		}
		w, err := s.newWorkload(e.Name())
		if err != nil {
			s.cfg.Logger.Error("a workload of an earlier run cannot be read, going on without", "workload", e.Name(), "err", err)
			continue
		}
		s.workloads[w.name] = w
		if err := adopt(w); err != nil {
			s.sweep(w)
		}
	}
	return nil
}

// sweep ends what is left of a workload from an agent that was killed. A run that ended well has no
// directory.
func (s *Service) sweep(w *workload) {
	sweeper, ok := s.cfg.Driver.(driver.Sweeper)
	if _, err := os.Stat(w.runDir()); !ok || err != nil {
		return
	}
	killed, err := sweeper.Sweep(w.runDir())
	if killed > 0 || err != nil {
		s.cfg.Logger.Warn("ended what an earlier run has left", "workload", w.name, "processes", killed, "err", err)
	}
	w.removeFiles()
}

// nextBoot names this run by its start in Unix ms, or more if the clock went back since the last
// one.
func (s *Service) nextBoot(path string, now time.Time) (int64, error) {
	boot := now.UnixMilli()
	old, err := durable.ReadFile(path, maxRecordFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Logger.Warn("the number of the last run cannot be read, going on without", "err", err)
	}
	if last, err := strconv.ParseInt(strings.TrimSpace(string(old)), 10, 64); err == nil {
		boot = max(boot, last+1)
	}
	if err := durable.WriteFile(path, []byte(strconv.FormatInt(boot, 10)+"\n"), 0o600); err != nil {
		// A full disk must not keep the machine from being reached.
		s.cfg.Logger.Error("the number of this run cannot be kept", "err", err)
	}
	return boot, nil
}
