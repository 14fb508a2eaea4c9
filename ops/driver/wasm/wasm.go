// Package wasm runs WebAssembly modules (WASI preview 1), each in a process of its own, which is this
// program started again. One module runs alike on every machine, whatever its processor.
//
//	argv, err := wasm.Argv(program, wasm.Module{Path: "/srv/job.wasm", Args: args, Dir: dir, Cache: cache})
//	w, err := process.Driver{}.Start(driver.Spec{Argv: argv, Dir: dir, Env: env})
//
// so that its main function begins with
//
//	if code, done := wasm.Main(os.Args); done {
//		os.Exit(code)
//	}
//
// A module sees one directory, as /, and nothing else of the machine: no other files, no processes, no
// network. It has the variables that it was given, clocks, and random bytes. Its memory is bounded by the
// runtime, on any system. What the runtime makes of it is kept in a cache, so that the next start is quick.
package wasm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

const (
	// MaxModule is the largest file of a module, in bytes.
	MaxModule = 256 << 20
	// pageBytes is how much memory a module gets at a time, and maxPages the most that there are.
	pageBytes = 64 << 10
	maxPages  = 64 << 10
	// word is the argument by which the program becomes a runtime.
	word = "workload-wasm"
)

// ErrModule says that a file is no module that can be run.
var ErrModule = errors.New("it is no WebAssembly module")

// Module is what to run.
type Module struct {
	// Path is its file, an absolute path, and Args are its arguments without its name.
	Path string   `json:"path"`
	Args []string `json:"args,omitzero"`
	// Dir is the directory that it sees as /, an absolute path.
	Dir string `json:"dir"`
	// Env names the variables of the process that it sees, and no others.
	Env []string `json:"env,omitzero"`
	// Cache is a directory for what the runtime makes of modules, an absolute path. Whoever can write there
	// can have other code run.
	Cache string `json:"cache"`
	// MemoryBytes is the most memory that it gets, rounded down to pages of 64 KiB; 0 is 4 GiB.
	MemoryBytes int64 `json:"memoryBytes,omitzero"`
}

// Argv is the command line that runs a module; program is the path of this program.
func Argv(program string, m Module) ([]string, error) {
	for _, path := range []string{m.Path, m.Dir, m.Cache} {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("module, directory and cache: %q is no absolute path", path)
		}
	}
	text, err := json.Marshal(m)
	return []string{program, word, string(text)}, err
}

// pages is how many pages of memory the module may have.
func (m Module) pages() uint32 {
	if m.MemoryBytes <= 0 {
		return maxPages
	}
	return uint32(min(max(1, m.MemoryBytes/pageBytes), maxPages))
}

// environ returns the variables that the module sees.
func (m Module) environ() (pairs [][2]string) {
	for _, kv := range os.Environ() {
		if name, value, ok := strings.Cut(kv, "="); ok && slices.Contains(m.Env, name) {
			pairs = append(pairs, [2]string{name, value})
		}
	}
	return pairs
}

// parse reads the command line that Argv has made; ok is false for any other.
func parse(args []string) (m Module, ok bool, err error) {
	if len(args) != 3 || args[1] != word {
		return Module{}, false, nil
	}
	err = json.Unmarshal([]byte(args[2]), &m, json.RejectUnknownMembers(true))
	return m, true, err
}
