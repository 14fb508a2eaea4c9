package rules_test

import (
	"slices"
	"strings"
	"testing"
)

// mayImport says which of our own packages each one may know; a pattern that
// ends in /... means a whole folder. What is not here may import none: a new
// package has to find its place in docs/architecture.md first.
var mayImport = map[string][]string{
	"host":                 {"host/book", "host/dial", "host/discovery", "host/identify", "host/identity", "host/keep", "host/limits", "host/reach", "host/relay", "host/route", "internal/backoff", "internal/durable"},
	"host/book":            {"host/discovery", "host/route", "internal/durable"},
	"host/dial":            {"host/route"},
	"host/identify":        {"internal/backoff"},
	"host/identity":        {"internal/durable"},
	"host/keep":            {"host/discovery", "host/route", "internal/backoff"},
	"host/limits":          {"host/route", "internal/backoff"},
	"host/reach":           {"host/discovery", "host/route", "internal/backoff"},
	"host/relay":           {"host/route", "internal/backoff"},
	"host/route":           {},
	"host/discovery":       {"internal/backoff"},
	"host/node":            {"host/node/...", "host", "host/book", "host/identity", "host/limits", "host/route", "host/trust/...", "streams", "scoring"},
	"host/node/addrs":      {"host/node/membership", "host/book", "host/discovery", "host/route", "host/trust/...", "streams"},
	"host/node/gossip":     {"host/limits", "host/trust/...", "streams", "internal/backoff"},
	"host/node/greet":      {"host/trust/...", "streams"},
	"host/node/join":       {"host/node/membership", "host/book", "host/trust/...", "streams"},
	"host/node/membership": {"host/trust/...", "streams"},
	"host/node/probe":      {"host/node/greet", "host/reach", "streams"},
	"host/node/scores":     {"host/route", "scoring", "streams", "internal/durable"},
	"host/node/strangers":  {"host/node/greet", "host/route", "host/trust/..."},
	"host/node/twins":      {"host/node/greet", "host/dial", "host/trust/...", "streams"},
	"host/trust":           {"internal/statements", "internal/durable"},
	"internal/statements":  {"internal/durable"},
	"host/trust/...":       {"host/trust", "internal/durable"}, // tickets, and the root key at rest
	"internal/backoff":     {},
	"cmd/swarm": {
		"internal/control", "internal/admin", "internal/diagnose", "internal/agent", "internal/audit", "internal/clock", "internal/health",
		"internal/fleetdir", "internal/policy", "internal/ask", "internal/demo", "internal/netflags", "internal/output", "internal/process", "internal/settings",
		"host", "host/book", "host/discovery", "host/identity", "host/node/greet", "host/route", "host/trust/...", "streams", "ops", "deploy", "internal/durable",
	},
	"internal/ask":      {"internal/output"},
	"internal/demo":     {"internal/output", "internal/durable", "internal/refpow/pool", "ops"},
	"internal/netflags": {"internal/agent", "internal/health", "host/discovery"},
	"internal/output":   {},
	"internal/process":  {},
	"internal/settings": {"internal/durable"},
	"internal/control":  {"internal/agent", "streams", "deploy"},
	"internal/admin":    {"internal/agent", "internal/fleetdir", "internal/clock", "host/...", "streams"},
	"internal/diagnose": {"internal/agent", "internal/clock", "host/...", "streams"},
	"internal/fleetdir": {"internal/clock", "internal/durable", "host/...", "host/trust/..."},
	"internal/health":   {},
	"internal/clock":    {},
	"internal/agent": {
		"internal/audit", "internal/clock", "internal/durable", "internal/fleetdir", "internal/policy", "internal/refpow", "host/...",
		"streams", "scoring", "ops/...", "deploy",
	},
	"streams":              {},
	"streams/streamtest":   {"streams"},
	"scoring":              {"internal/durable"},
	"ops":                  {"ops/...", "streams", "internal/durable"},
	"ops/...":              {"ops/...", "internal/durable"},
	"deploy":               {"streams", "internal/durable"},
	"internal/durable":     {},
	"internal/audit":       {"ops", "streams", "internal/durable"},
	"internal/policy":      {"internal/durable"},
	"test/integration/...": {"..."},
	"examples/...":         {"host/...", "streams"},
	"internal/refpow":      {"ops/driver/...", "ops/miner", "internal/refpow/...", "internal/durable"},
	"internal/refpow/...":  {"ops/miner", "internal/refpow/..."}, // a pool for tests and the demo knows no worker
}

// onlyIn says where libraries may be imported that talk to people or serve numbers. The library
// packages and internal/agent leave that to the program, and get a *slog.Logger with their Config.
var onlyIn = map[string][]string{
	"github.com/spf13/cobra":         {"cmd/swarm", "internal/settings"},
	"github.com/spf13/pflag":         {"cmd/swarm", "internal/netflags", "internal/settings"},
	"github.com/goccy/go-yaml":       {"internal/settings"},
	"go.yaml.in/yaml":                {},
	"gopkg.in/yaml":                  {},
	"github.com/schollz/progressbar": {"cmd/swarm"},
	"github.com/lmittmann/tint":      {"cmd/swarm"},
	"github.com/mattn/go-isatty":     {"internal/output"},
	"golang.org/x/term":              {"internal/ask", "internal/output"},
	"charm.land":                     {},
	"text/tabwriter":                 {"internal/output"},
	"github.com/prometheus/client_golang/prometheus/promhttp": {"cmd/swarm"},
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		t.Run(p.name(), func(t *testing.T) {
			may, known := lookUp(mayImport, p.name())
			for _, path := range p.Imports {
				name, ours := strings.CutPrefix(path, module+"/")
				switch {
				case !ours:
					if may, ok := under(onlyIn, path); ok && !slices.Contains(may, p.name()) {
						t.Errorf("imports %s: only %v may", path, may)
					}
				case !known:
					t.Errorf("imports %s, and has no line in mayImport: say there what it may know", name)
				case !slices.ContainsFunc(may, func(pattern string) bool { return matches(pattern, name) }):
					t.Errorf("imports %s: it may know only %v (docs/architecture.md, direction of imports)", name, may)
				}
			}
		})
	}
}

// TestStrangers keeps apart, through all that they import, the three packages
// that must be usable without one another.
func TestStrangers(t *testing.T) {
	apart := []string{"host", "streams", "scoring"}
	for _, p := range packages(t) {
		if !slices.Contains(apart, p.name()) {
			continue
		}
		for _, other := range apart {
			if other != p.name() && slices.Contains(p.Deps, module+"/"+other) {
				t.Errorf("%s depends on %s: host/node is where they meet", p.name(), other)
			}
		}
	}
}

func matches(pattern, name string) bool {
	dir, all := strings.CutSuffix(pattern, "...")
	if !all {
		return pattern == name
	}
	return dir == "" || name+"/" == dir || strings.HasPrefix(name, dir)
}

// lookUp finds the most exact pattern for name.
func lookUp(rules map[string][]string, name string) ([]string, bool) {
	if may, ok := rules[name]; ok {
		return may, true
	}
	for pattern, may := range rules {
		if matches(pattern, name) {
			return may, true
		}
	}
	return nil, false
}

// under finds the library that a path belongs to, and who may import it.
func under(libraries map[string][]string, path string) (may []string, ok bool) {
	for lib, may := range libraries {
		if rest, ok := strings.CutPrefix(path, lib); ok && (rest == "" || rest[0] == '/' || rest[0] == '.') {
			return may, true
		}
	}
	return nil, false
}
