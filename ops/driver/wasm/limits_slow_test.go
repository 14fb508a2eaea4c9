//go:build slow

package wasm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/ops/driver/wasm"
)

// A module gets no more memory than it may have; a little less is no matter.
func TestMemory(t *testing.T) {
	b := newBench(t)
	const limit = 64
	if exit, out := b.run(wasm.Module{Args: []string{"alloc", "20"}, MemoryBytes: limit << 20}); exit.Code != 0 || out != "20 MiB\n" {
		t.Errorf("within the limit: %v, %.300q", exit, out)
	}
	if exit, out := b.run(wasm.Module{Args: []string{"alloc", fmt.Sprint(2 * limit)}, MemoryBytes: limit << 20}); exit.Code == 0 || !strings.Contains(out, "out of memory") {
		t.Errorf("beyond the limit: %v, %.300q", exit, out)
	}
	if exit, out := b.run(wasm.Module{Args: []string{"show"}, MemoryBytes: 1}); exit.Code != 126 && exit.Code != 134 {
		t.Errorf("with one page: %v, %.300q", exit, out)
	}
}

// A module that does nothing but turn round ends as soon as it is stopped.
func TestSpin(t *testing.T) {
	b := newBench(t)
	w, out := b.start(wasm.Module{Args: []string{"spin"}})
	for end := time.Now().Add(time.Minute); !strings.Contains(out.String(), "spins"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not start: %q", out)
		}
	}
	began := time.Now()
	if err := w.Stop(t.Context(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v, which is no end by a signal", took)
	} else {
		t.Logf("it took %v", took)
	}
}

// What is no module is told in words.
func TestNoModule(t *testing.T) {
	b := newBench(t)
	for name, text := range map[string]string{"empty": "", "elf": "\x7fELF", "torn": "\x00asm\x01\x00\x00\x00\x01\xff", "text": "#!/bin/sh\n"} {
		path := filepath.Join(filepath.Dir(b.dir), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if exit, out := b.run(wasm.Module{Path: path}); exit.Code != 126 || !strings.Contains(out, "wasm: it is no WebAssembly module") {
			t.Errorf("%s: %v, %q", name, exit, out)
		}
	}
	if exit, out := b.run(wasm.Module{Path: b.dir + "/none"}); exit.Code != 126 || !strings.Contains(out, "no such file") {
		t.Errorf("none: %v, %q", exit, out)
	}
	if _, err := wasm.Argv("/bin/swarm", wasm.Module{Path: "x.wasm", Dir: "/", Cache: "/"}); err == nil {
		t.Error("a relative path is taken")
	}
}
