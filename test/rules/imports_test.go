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
	"host":                 {"host/book", "host/dial", "host/discovery", "host/identify", "host/identity", "host/keep", "host/limits", "host/liveness", "host/names", "host/reach", "host/relay", "host/route", "host/transport", "internal/backoff", "internal/durable"},
	"host/book":            {"host/discovery", "host/route", "internal/durable"},
	"host/dial":            {"host/names", "host/route", "host/transport"},
	"host/identify":        {"internal/backoff"},
	"host/identity":        {"internal/durable"},
	"host/keep":            {"host/discovery", "host/route", "internal/backoff"},
	"host/names":           {},
	"host/limits":          {"host/liveness", "host/route", "internal/backoff"},
	"host/liveness":        {},
	"host/reach":           {"host/discovery", "host/route", "internal/backoff"},
	"host/relay":           {"host/liveness", "host/route", "internal/backoff"},
	"host/route":           {},
	"host/transport":       {},
	"host/discovery":       {"internal/backoff"},
	"host/node":            {"host/node/...", "host", "host/book", "host/dial", "host/identity", "host/limits", "host/route", "host/trust/...", "streams", "scoring"},
	"host/node/addrs":      {"host/node/membership", "host/book", "host/discovery", "host/route", "host/trust/...", "streams"},
	"host/node/gossip":     {"host/limits", "host/trust/...", "streams", "internal/backoff"},
	"host/node/greet":      {"host/trust/...", "streams"},
	"host/node/join":       {"host/node/membership", "host/book", "host/trust/...", "streams"},
	"host/node/membership": {"host/trust/...", "streams"},
	"host/node/probe":      {"host/node/greet", "host/liveness", "host/reach", "streams"},
	"host/node/scores":     {"host/route", "scoring", "streams", "internal/durable"},
	"host/node/strangers":  {"host/node/greet", "host/route", "host/trust/..."},
	"host/node/twins":      {"host/node/greet", "host/dial", "host/trust/...", "streams"},
	"host/trust":           {"internal/byteword", "internal/statements", "internal/durable"},
	"internal/byteword":    {},
	"internal/statements":  {"internal/durable"},
	"host/trust/...":       {"host/trust", "internal/durable"}, // tickets, and the root key at rest
	"internal/backoff":     {},
	"internal/brief":       {"internal/output", "host", "streams"},
	"cmd/swarm": {
		"internal/nearest", "internal/usage", "internal/buildinfo", "internal/span", "internal/selector", "internal/meant", "internal/complete", "internal/manual",
		"internal/control", "internal/admin", "internal/diagnose", "internal/hints", "internal/agent", "internal/audit", "internal/clock", "internal/health",
		"internal/fleetdir", "internal/policy", "internal/ask", "internal/demo", "internal/netflags", "internal/output", "internal/process", "internal/settings", "internal/connect", "internal/console", "internal/lines", "internal/results", "internal/signing", "internal/running", "internal/agentlog", "internal/handout", "internal/reload", "internal/service", "internal/servicecli", "host", "host/book", "host/discovery", "host/identity", "host/node/greet", "host/route", "host/trust/...", "streams", "ops", "deploy", "internal/durable", "ops/driver/shim", "ops/driver/wasm", "ops/logs", "internal/runcli", "internal/workloadcli", "internal/forwardcli", "internal/cpcli", "internal/pingcli", "internal/powercli", "internal/ownlog", "ops/power",
	},
	"internal/ask":     {"internal/output"},
	"internal/lines":   {"internal/agent", "streams"},
	"internal/connect": {"internal/agent", "internal/console", "internal/control", "internal/hints", "internal/netflags", "internal/selector", "internal/span", "internal/usage"},
	"internal/console": {
		"internal/agent", "internal/ask", "internal/clock", "internal/control", "internal/fleetdir", "internal/hints", "internal/lines", "internal/output", "internal/settings", "host/book", "host/identity", "host/trust/...", "streams", "internal/audit", "internal/running", "internal/service", "internal/usage",
	},
	"internal/results":     {"internal/lines", "internal/agent", "internal/audit", "internal/brief", "internal/console", "internal/output", "streams", "ops", "ops/hardware", "ops/logs", "ops/run", "host/route"},
	"internal/ownlog":      {"internal/agent", "internal/agentlog", "internal/console", "internal/fleetdir", "ops"},
	"internal/forwardcli":  {"internal/agent", "internal/connect", "internal/console", "internal/lines", "internal/results", "internal/span", "ops/forward/target"},
	"internal/cpcli":       {"internal/agent", "internal/connect", "internal/console", "internal/lines", "internal/output", "internal/results", "internal/span", "ops/cp"},
	"internal/pingcli":     {"internal/agent", "internal/connect", "internal/console", "internal/lines", "internal/output", "internal/results", "internal/span"},
	"internal/powercli":    {"internal/agent", "internal/connect", "internal/console", "internal/lines", "internal/output", "internal/results", "internal/span", "ops", "ops/power", "streams"},
	"internal/workloadcli": {"internal/runcli", "ops"},
	"internal/runcli":      {"internal/agent", "internal/console", "internal/output", "internal/results", "ops/run", "streams"},
	"internal/signing":     {"internal/lines", "internal/admin", "internal/agent", "internal/connect", "internal/console", "internal/control", "internal/output", "host/trust/...", "streams", "internal/span"},
	"internal/demo":        {"internal/output", "internal/durable", "internal/refpow/pool", "ops"},
	"internal/netflags":    {"internal/agent", "internal/health", "host/discovery", "internal/span", "internal/usage"},
	"internal/output":      {},
	"internal/process":     {},
	"internal/running":     {"host/identity", "internal/durable"},
	"internal/servicecli":  {"internal/agent", "internal/console", "internal/output", "internal/running", "internal/service", "internal/span", "internal/hints", "internal/settings"},
	"internal/agentlog":    {"ops/logs"},
	"internal/handout":     {"host/trust/ticket", "internal/durable"},
	"internal/reload":      {"internal/process", "internal/settings"},
	"internal/service":     {"internal/durable", "internal/running"},
	"internal/settings":    {"internal/durable", "internal/meant", "internal/nearest", "internal/span"},
	"internal/control":     {"internal/diagnose", "internal/agent", "internal/backoff", "internal/clock", "streams", "deploy", "ops/run"},
	"internal/hints":       {"internal/control", "internal/durable", "internal/running", "internal/service", "host", "host/trust/..."},
	"internal/admin":       {"internal/agent", "internal/fleetdir", "internal/clock", "internal/output", "host/...", "streams", "internal/nearest"},
	"internal/diagnose":    {"internal/agent", "internal/clock", "internal/fleetdir", "internal/running", "host/...", "streams"},
	"internal/fleetdir":    {"internal/clock", "internal/durable", "host/...", "host/trust/..."},
	"internal/health":      {},
	"internal/clock":       {},
	"internal/agent": {
		"internal/nearest", "internal/selector",
		"internal/audit", "internal/brief", "internal/clock", "internal/durable", "internal/fleetdir", "internal/journal", "internal/policy", "internal/process", "internal/refpow", "host/...",
		"streams", "scoring", "ops/...", "deploy",
	},

	// words of the command line
	"internal/nearest":   {},
	"internal/meant":     {"internal/nearest"},
	"internal/selector":  {"internal/nearest"},
	"internal/span":      {},
	"internal/usage":     {},
	"internal/buildinfo": {},
	"internal/complete":  {"internal/agent", "internal/console", "internal/fleetdir", "host/book", "host/trust/..."},
	"internal/manual":    {"internal/usage"},

	"streams":              {"streams/arrivals", "streams/bulk", "streams/late", "streams/quota"},
	"streams/arrivals":     {},
	"streams/bulk":         {},
	"streams/late":         {},
	"streams/quota":        {},
	"streams/streamtest":   {"streams"},
	"scoring":              {"internal/durable"},
	"ops":                  {"ops/...", "streams", "internal/durable"},
	"ops/...":              {"ops/...", "internal/durable"},
	"ops/run":              {"ops/driver/...", "streams", "internal/durable"},
	"ops/forward":          {"ops/forward/target", "streams", "streams/quota"},
	"ops/cp":               {"streams", "streams/quota", "internal/durable"},
	"ops/forward/target":   {},
	"ops/boot":             {},
	"ops/power":            {"streams", "ops/boot"},
	"deploy":               {"streams", "internal/durable"},
	"internal/durable":     {},
	"internal/audit":       {"ops", "streams", "internal/durable"},
	"internal/journal":     {"streams", "internal/durable"},
	"internal/policy":      {"internal/durable", "ops/driver", "ops/forward/target"},
	"test/contract":        {}, // what --json prints, as docs/json.md says
	"test/integration/...": {"..."},
	"examples/...":         {"host/...", "streams"},
	"internal/refpow":      {"ops/driver/...", "ops/miner", "internal/refpow/...", "internal/durable"},
	"internal/refpow/...":  {"ops/miner", "internal/refpow/..."}, // a pool for tests and the demo knows no worker
}

// onlyIn says where libraries may be imported that talk to people or serve numbers. The library
// packages and internal/agent leave that to the program, and get a *slog.Logger with their Config.
var onlyIn = map[string][]string{
	"github.com/spf13/cobra":         {"cmd/swarm", "internal/forwardcli", "internal/cpcli", "internal/pingcli", "internal/powercli", "internal/ownlog", "internal/reload", "internal/connect", "internal/console", "internal/settings", "internal/servicecli", "internal/usage", "internal/meant", "internal/complete", "internal/manual"},
	"github.com/spf13/pflag":         {"cmd/swarm", "internal/runcli", "internal/reload", "internal/connect", "internal/console", "internal/netflags", "internal/settings", "internal/signing", "internal/usage", "internal/meant", "internal/selector", "internal/span", "internal/complete", "internal/powercli", "internal/workloadcli"},
	"github.com/goccy/go-yaml":       {"internal/settings"},
	"go.yaml.in/yaml":                {},
	"gopkg.in/yaml":                  {},
	"github.com/schollz/progressbar": {"internal/output"},
	"github.com/lmittmann/tint":      {"internal/console"},
	"github.com/mattn/go-isatty":     {"internal/output"},
	"golang.org/x/term":              {"internal/ask", "internal/output", "internal/runcli"},
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
