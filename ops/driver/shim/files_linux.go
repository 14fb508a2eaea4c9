package shim

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/ops/logs"
)

const (
	// version is that of the files and the processes that read them. It grows when one of an older version
	// would misunderstand them; further members are no reason.
	version = 1
	// oldest is the oldest version that is understood.
	oldest = max(1, version-1)
)

// The files of a run.
const (
	lockFile  = "lock"
	orderFile = "shim.json"
	stateFile = "state.json"
	stopFile  = "stop.json"
	exitFile  = "exit.json"
	crashFile = "crash.txt"
)

const (
	maxOrder = 1 << 20  // bytes of orderFile
	maxFile  = 64 << 10 // bytes of the others
)

// order is what to run.
type order struct {
	Version     int      `json:"version"`
	Run         string   `json:"run"` // no other one has it
	Argv        []string `json:"argv"`
	Dir         string   `json:"dir"`
	Env         []string `json:"env"`
	OnlyEnv     bool     `json:"only_env"`
	Mark        string   `json:"mark"`
	NoCgroup    bool     `json:"no_cgroup"`
	Memory      int64    `json:"memory_bytes"`
	CPU         float64  `json:"cpu"`
	Processes   int      `json:"processes"`
	Log         string   `json:"log"`
	LogBytes    int64    `json:"log_segment_bytes"`
	LogSegments int      `json:"log_segments"`
}

// spec is the order for package process.
func (o order) spec() driver.Spec {
	return driver.Spec{Argv: o.Argv, Dir: o.Dir, Env: o.Env, OnlyEnv: o.OnlyEnv, Mark: o.Mark, Limits: o.limits()}
}

func (o order) limits() driver.Limits {
	return driver.Limits{MemoryBytes: o.Memory, CPU: o.CPU, Processes: o.Processes}
}

func (o order) logConfig() logs.Config {
	return logs.Config{SegmentBytes: o.LogBytes, Segments: o.LogSegments}
}

// state is what runs.
type state struct {
	Version  int              `json:"version"`
	Run      string           `json:"run"`
	Boot     string           `json:"boot"`
	Guard    process.Identity `json:"guard"`
	Shim     process.Identity `json:"shim"`
	Workload process.Identity `json:"workload"`
	Mark     string           `json:"mark"`
	Groups   []string         `json:"cgroups"`
	Started  time.Time        `json:"started"`
}

// tree is what the workload's processes are known by.
func (s state) tree() process.Tree {
	return process.Tree{First: s.Workload, Mark: s.Mark, Groups: s.Groups}
}

// stop is how to stop it.
type stop struct {
	Version int    `json:"version"`
	Run     string `json:"run"`
	Grace   int64  `json:"grace_ms"`
}

// ending is how it ended.
type ending struct {
	Version     int       `json:"version"`
	Run         string    `json:"run"`
	Code        int       `json:"code"`
	Signal      string    `json:"signal"`
	Number      int       `json:"number"`
	OutOfMemory bool      `json:"out_of_memory"`
	Lost        bool      `json:"lost"`
	Ended       time.Time `json:"ended"`
}

func endingOf(run string, e driver.Exit) ending {
	return ending{version, run, e.Code, e.Signal, e.Number, e.OutOfMemory, e.Lost, time.Now()}
}

func (e ending) exit() driver.Exit {
	return driver.Exit{Code: e.Code, Signal: e.Signal, Number: e.Number, OutOfMemory: e.OutOfMemory, Lost: e.Lost}
}

// summed is a file: what it says, and the sum of that.
type summed struct {
	Sum  string         `json:"sum"`
	Body jsontext.Value `json:"body"`
}

func sum(body []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// write makes a file with what v says lasting.
func write(dir, name string, v any, most int) error {
	body, err := json.Marshal(v)
	if err == nil {
		body, err = json.Marshal(summed{sum(body), body})
	}
	if err == nil && len(body) > most {
		err = fmt.Errorf("it would take %d bytes, at most %d", len(body), most)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
	}
	return durable.WriteFile(filepath.Join(dir, name), body, 0o600)
}

// read reads what write has written. The error matches fs.ErrNotExist, ErrDamaged, ErrNewer or
// durable.ErrUnsafe.
func read(dir, name string, most int64, v any) error {
	path := filepath.Join(dir, name)
	text, err := durable.ReadFile(path, most)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, durable.ErrUnsafe):
		return err
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	var file summed
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	if sum(file.Body) != file.Sum {
		return fmt.Errorf("%w: %s: its sum is not that of what it says", ErrDamaged, path)
	}
	var v0 struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(file.Body, &v0); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	if v0.Version > version {
		return fmt.Errorf("%w: %s has version %d, this program knows %d: run the newer one again", ErrNewer, path, v0.Version, version)
	}
	if v0.Version < oldest {
		return fmt.Errorf("%w: %s has version %d, this program knows %d and %d", ErrDamaged, path, v0.Version, oldest, version)
	}
	if err := json.Unmarshal(file.Body, v); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return nil
}

func readOrder(keep string) (o order, err error) {
	return o, read(keep, orderFile, maxOrder, &o)
}

func readState(keep string) (s state, err error) {
	return s, read(keep, stateFile, maxFile, &s)
}

// readEnding reads how a run ended.
func readEnding(keep, run string) (e ending, err error) {
	if err := read(keep, exitFile, maxFile, &e); err != nil {
		return ending{}, err
	}
	if e.Run != run {
		return ending{}, fmt.Errorf("%s is of another run: %w", filepath.Join(keep, exitFile), fs.ErrNotExist)
	}
	return e, nil
}

// readGrace reads how long a run may take to stop.
func readGrace(keep, run string) time.Duration {
	var s stop
	if err := read(keep, stopFile, maxFile, &s); err != nil || s.Run != run {
		return DefaultGrace
	}
	return time.Duration(max(0, min(s.Grace, int64(maxGrace/time.Millisecond)))) * time.Millisecond
}

// maxGrace bounds what a file can say.
const maxGrace = 24 * time.Hour

// lock opens the file that guard and shim keep locked, and locks it.
func lock(keep string) (*os.File, error) {
	f, err := durable.OpenFile(filepath.Join(keep, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	taken, err := durable.TryLock(f)
	if err == nil && !taken {
		err = fmt.Errorf("%w: %s", ErrBusy, keep)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// locked reports whether a guard or a shim lives.
func locked(keep string) (bool, error) {
	if _, err := os.Lstat(filepath.Join(keep, lockFile)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	f, err := lock(keep)
	if errors.Is(err, ErrBusy) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, f.Close()
}
