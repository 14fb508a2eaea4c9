package ops

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/wasm"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// job is what a workload runs: a miner or a command line. It is a value.
type job interface {
	// kind names the miner, or the driver.
	kind() string
	// record is what is kept of it, without what is wanted.
	record() record
	// wanted asks for it.
	wanted() *wanted
	// detect looks for the program.
	detect(ctx context.Context) (version string, err error)
	// render says how to run it within limits, with files of its own in dir.
	render(ctx context.Context, dir string, l Limits) (driver.Spec, error)
	// status asks what runs in dir.
	status(ctx context.Context, dir string) (miner.Status, error)
	// limits are those that were asked for.
	limits() Limits
	// again reports whether it is started again after an end that nobody asked for.
	again(driver.Exit) bool
}

// same reports whether two jobs are the same, settings and all.
func same(a, b job) bool { return reflect.DeepEqual(a, b) }

// minerJob is a miner.
type minerJob struct {
	adapter miner.Adapter
	spec    miner.Spec
}

func (j minerJob) kind() string { return j.adapter.Name() }

func (j minerJob) record() record {
	return record{Kind: j.kind(), Algorithm: j.spec.Algorithm, Pool: j.spec.Pool}
}

func (j minerJob) wanted() *wanted {
	return &wanted{Miner: &StartRequest{
		Miner: j.kind(), Name: j.spec.Name, Algorithm: j.spec.Algorithm, Threads: j.spec.Threads,
		Pool: j.spec.Pool, Wallet: j.spec.Wallet, Password: j.spec.Password, Config: j.spec.Config,
	}}
}

func (j minerJob) detect(ctx context.Context) (string, error) {
	info, err := j.adapter.Detect(ctx)
	return info.Version, err
}

func (j minerJob) render(ctx context.Context, dir string, l Limits) (driver.Spec, error) {
	spec, err := j.adapter.Render(ctx, j.spec, dir)
	spec.Limits = driver.Limits(l)
	return spec, err
}

func (j minerJob) status(ctx context.Context, dir string) (miner.Status, error) {
	return j.adapter.Status(ctx, dir)
}

func (j minerJob) limits() Limits { return Limits{} }

func (j minerJob) again(driver.Exit) bool { return true }

// commandJob is a command line.
type commandJob struct{ req WorkloadRequest }

func (j commandJob) kind() string { return j.req.Driver }

func (j commandJob) record() record { return record{Kind: j.kind()} }

func (j commandJob) wanted() *wanted { return &wanted{Command: &j.req} }

func (j commandJob) detect(context.Context) (string, error) {
	_, err := j.program()
	return "", err
}

// program is the absolute path of what is run: as it was given, or found in the PATH of the agent.
func (j commandJob) program() (string, error) {
	path, err := exec.LookPath(j.req.Argv[0])
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return "", streams.Errorf(streams.CodeNotFound, "there is no program %.200q on this machine", j.req.Argv[0])
	case err != nil:
		return "", streams.Errorf(streams.CodeRefused, "%.200q cannot be run: %w", j.req.Argv[0], errors.Unwrap(err))
	}
	return filepath.Abs(path)
}

func (j commandJob) render(_ context.Context, dir string, l Limits) (driver.Spec, error) {
	path, err := j.program()
	if err != nil {
		return driver.Spec{}, err
	}
	spec, err := j.place(dir)
	spec.Argv, spec.Limits = append([]string{path}, j.req.Argv[1:]...), driver.Limits(l)
	return spec, err
}

// place says where it runs, and with which variables.
func (j commandJob) place(dir string) (driver.Spec, error) {
	spec := driver.Spec{Dir: j.req.Dir, Mark: dir}
	if spec.Dir == "" { // one that is there at the next start
		spec.Dir = filepath.Join(filepath.Dir(dir), "files")
		if err := os.MkdirAll(spec.Dir, 0o700); err != nil {
			return driver.Spec{}, fmt.Errorf("make the directory of a workload: %w", err)
		}
	}
	if info, err := os.Stat(spec.Dir); err != nil || !info.IsDir() {
		return driver.Spec{}, streams.Errorf(streams.CodeNotFound, "there is no directory %.200q on this machine", spec.Dir)
	}
	for _, name := range slices.Sorted(maps.Keys(j.req.Env)) {
		spec.Env = append(spec.Env, name+"="+j.req.Env[name])
	}
	return spec, nil
}

func (j commandJob) status(context.Context, string) (miner.Status, error) {
	return miner.Status{State: miner.Running}, nil
}

func (j commandJob) limits() Limits { return j.req.Limits }

func (j commandJob) again(e driver.Exit) bool {
	switch j.req.Restart {
	case RestartAlways:
		return true
	case RestartNo:
		return false
	}
	return e != driver.Exit{}
}

// wasmJob is a WebAssembly module.
type wasmJob struct {
	commandJob
	program, cache string // of this machine's runtime
}

// module is the path of the module.
func (j wasmJob) module() (string, error) {
	path := j.req.Argv[0]
	if !filepath.IsAbs(path) {
		return "", streams.Errorf(streams.CodeRefused, "module %.200q: want its absolute path on the machine", path)
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return "", streams.Errorf(streams.CodeNotFound, "there is no file %.200q on this machine", path)
	case err != nil:
		return "", streams.Errorf(streams.CodeRefused, "%.200q cannot be read: %w", path, errors.Unwrap(err))
	case !info.Mode().IsRegular():
		return "", streams.Errorf(streams.CodeRefused, "%.200q is no file", path)
	}
	return path, nil
}

func (j wasmJob) detect(context.Context) (string, error) {
	_, err := j.module()
	return "", err
}

// render has the runtime bound the module's memory, on any system; it needs some more for itself.
func (j wasmJob) render(_ context.Context, dir string, l Limits) (driver.Spec, error) {
	path, err := j.module()
	if err != nil {
		return driver.Spec{}, err
	}
	spec, err := j.place(dir)
	if err != nil {
		return driver.Spec{}, err
	}
	spec.Limits = driver.Limits{CPU: l.CPU, Processes: l.Processes}
	spec.Argv, err = wasm.Argv(j.program, wasm.Module{
		Path: path, Args: j.req.Argv[1:], Dir: spec.Dir, Env: slices.Sorted(maps.Keys(j.req.Env)), Cache: j.cache, MemoryBytes: l.MemoryBytes,
	})
	return spec, err
}
