package driver_test

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

func TestSpecValidate(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name string
		spec driver.Spec
		ok   bool
	}{
		{"good", driver.Spec{Argv: []string{dir + "/x", "-a"}, Dir: dir, Env: []string{"A=b"}}, true},
		{"no program", driver.Spec{Dir: dir}, false},
		{"relative program", driver.Spec{Argv: []string{"x"}, Dir: dir}, false},
		{"relative directory", driver.Spec{Argv: []string{dir}, Dir: "."}, false},
		{"zero byte", driver.Spec{Argv: []string{dir, "a\x00b"}, Dir: dir}, false},
		{"most arguments", driver.Spec{Argv: args(dir, driver.MaxArgs), Dir: dir}, true},
		{"one argument more", driver.Spec{Argv: args(dir, driver.MaxArgs+1), Dir: dir}, false},
		{"most bytes", driver.Spec{Argv: []string{dir, strings.Repeat("x", driver.MaxArgBytes-len(dir))}, Dir: dir}, true},
		{"one byte more", driver.Spec{Argv: []string{dir, strings.Repeat("x", driver.MaxArgBytes-len(dir)+1)}, Dir: dir}, false},
		{"kept", driver.Spec{Argv: []string{dir}, Dir: dir, Keep: dir, Log: dir}, true},
		{"relative keep", driver.Spec{Argv: []string{dir}, Dir: dir, Keep: "x"}, false},
		{"relative log", driver.Spec{Argv: []string{dir}, Dir: dir, Log: "x"}, false},
		{"limits", driver.Spec{Argv: []string{dir}, Dir: dir, Limits: driver.Limits{MemoryBytes: 1 << 20, CPU: 0.01, Processes: 1}}, true},
		{"too little memory", driver.Spec{Argv: []string{dir}, Dir: dir, Limits: driver.Limits{MemoryBytes: 1<<20 - 1}}, false},
		{"negative memory", driver.Spec{Argv: []string{dir}, Dir: dir, Limits: driver.Limits{MemoryBytes: -1}}, false},
		{"too little of a processor", driver.Spec{Argv: []string{dir}, Dir: dir, Limits: driver.Limits{CPU: 0.009}}, false},
		{"no number of processors", driver.Spec{Argv: []string{dir}, Dir: dir, Limits: driver.Limits{CPU: math.NaN()}}, false},
		{"negative processes", driver.Spec{Argv: []string{dir}, Dir: dir, Limits: driver.Limits{Processes: -1}}, false},
		{"a name", driver.Spec{Argv: []string{dir}, Dir: dir, Name: "-sh"}, true},
		{"a zero byte in the name", driver.Spec{Argv: []string{dir}, Dir: dir, Name: "\x00"}, false},
		{"a terminal", driver.Spec{Argv: []string{dir}, Dir: dir, TTY: os.Stdin}, true},
		{"a terminal and output", driver.Spec{Argv: []string{dir}, Dir: dir, TTY: os.Stdin, Stdout: os.Stdout}, false},
		{"a terminal and input", driver.Spec{Argv: []string{dir}, Dir: dir, TTY: os.Stdin, Stdin: os.Stdin}, false},
		{"environment without value", driver.Spec{Argv: []string{dir}, Dir: dir, Env: []string{"A"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.spec.Validate()
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, driver.ErrSpec) {
				t.Errorf("Validate() = %v, want ok %v", err, tt.ok)
			}
		})
	}
}

func TestExitInWords(t *testing.T) {
	for want, exit := range map[string]driver.Exit{
		"exit code 0":          {},
		"exit code 2":          {Code: 2},
		"exit code unknown":    {Code: -1},
		"signal killed":        {Code: -1, Signal: "killed", Number: 9},
		"out of memory":        {Code: -1, Signal: "killed", Number: 9, OutOfMemory: true},
		"its monitor was lost": {Code: -1, Lost: true},
	} {
		if got := exit.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

func args(first string, n int) []string {
	all := make([]string, n)
	all[0] = first
	return all
}
