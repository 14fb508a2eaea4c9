package wasm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Exit codes of a runtime whose module has none, as a shell has them.
const (
	exitUsage  = 125 // the command line or a directory
	exitModule = 126 // it is no module, or not one that can be run here
	exitTrap   = 134 // it has done what it may not, as one that is aborted
)

// Main runs the module that args, as those of [os.Args], name, and returns the exit code; done is false
// where they name none. A signal ends it at once.
func Main(args []string) (code int, done bool) {
	m, ok, err := parse(args)
	if !ok {
		return 0, false
	}
	if err != nil {
		return complain(exitUsage, err), true
	}
	return run(context.Background(), m, os.Stdin, os.Stdout, os.Stderr), true
}

func complain(code int, err error) int {
	fmt.Fprintln(os.Stderr, "wasm:", err)
	return code
}

// run runs a module to its end.
func run(ctx context.Context, m Module, stdin io.Reader, stdout, stderr io.Writer) int {
	if err := os.MkdirAll(m.Cache, 0o700); err != nil {
		return complain(exitUsage, err)
	}
	cache, err := wazero.NewCompilationCacheWithDir(m.Cache)
	if err != nil {
		return complain(exitUsage, err)
	}
	defer cache.Close(ctx)
	root, err := os.OpenRoot(m.Dir)
	if err != nil {
		return complain(exitUsage, err)
	}
	defer root.Close()
	text, err := read(m.Path)
	if err != nil {
		return complain(exitModule, err)
	}
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache).WithMemoryLimitPages(m.pages()))
	defer r.Close(ctx)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return complain(exitUsage, err)
	}
	compiled, err := r.CompileModule(ctx, text)
	if err != nil {
		return complain(exitModule, fmt.Errorf("%w: %s: %w", ErrModule, m.Path, err))
	}
	config := wazero.NewModuleConfig().WithArgs(append([]string{m.Path}, m.Args...)...).
		WithStdin(stdin).WithStdout(stdout).WithStderr(stderr).
		WithSysWalltime().WithSysNanotime().WithSysNanosleep().WithRandSource(rand.Reader).
		WithFSConfig(wazero.NewFSConfig().(sysfs.FSConfig).WithSysFSMount(rooted{sysfs.DirFS(m.Dir), root}, "/"))
	for _, kv := range m.environ() {
		config = config.WithEnv(kv[0], kv[1])
	}
	_, err = r.InstantiateModule(ctx, compiled, config)
	return exitCode(err)
}

// exitCode is that of a module whose run has ended with err.
func exitCode(err error) int {
	exit, ok := errors.AsType[*sys.ExitError](err)
	switch {
	case err == nil:
		return 0
	case ok:
		return int(exit.ExitCode())
	}
	return complain(exitTrap, err)
}

// read reads the file of a module.
func read(path string) ([]byte, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxModule+1))
	if err == nil && len(text) > MaxModule {
		err = fmt.Errorf("%w: %s has more than %d MiB", ErrModule, path, MaxModule>>20)
	}
	return text, err
}
