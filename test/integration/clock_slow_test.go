//go:build linux && slow

package integration

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/test/skewed"
)

// clock is how a program's clock is wrong.
type clock struct {
	name string
	env  []string
}

const year = 365 * 24 * time.Hour

func clocks() []clock {
	off := func(d time.Duration) []string { return []string{fmt.Sprintf("CLOCK_SKEW=%d", int64(d.Seconds()))} }
	return []clock{
		{"1970", off(-time.Duration(time.Now().Unix()-1) * time.Second)}, {"-1 y", off(-year)}, {"-2 h", off(-2 * time.Hour)},
		{"+2 h", off(2 * time.Hour)}, {"+2 y", off(2 * year)},
		{"+10 y, right after 3 s", append(off(10*year), "CLOCK_AFTER=3")},
	}
}

// clockLab is a fleet whose state is copied for each row of the table, so that no row sees what another one has left behind.
type clockLab struct {
	t                       *testing.T
	bin, ctl, worker, relay string
}

func newClockLab(t *testing.T) *clockLab {
	t.Helper()
	f := newFleet(t)
	l := &clockLab{t: t, bin: skewed.Build(t), ctl: f.state, worker: filepath.Join(t.TempDir(), "w"), relay: filepath.Join(t.TempDir(), "r")}
	for dir, args := range map[string][]string{l.worker: {"rig-01"}, l.relay: {"vps", "--role", "relay"}} {
		ticket, inv := f.invite(args[0], args[1:]...)
		extra := []string{"--listen", strings.Replace(freeAddr(t), "127.0.0.1", hiddenAddr, 1)}
		if dir == l.worker {
			extra = append(extra, "--enable", "miner=refpow")
		}
		mustRun(t, join(t, dir, ticket, extra...))
		inv.next("joined")
		inv.stop()
	}
	return l
}

// hiddenAddr is where the worker listens: a controller that denies it goes by the relay.
const hiddenAddr = "127.0.0.2"

var transports = []struct{ name, listen string }{
	{"TCP", "/ip4/%s/tcp/0"}, {"WebSocket", "/ip4/%s/tcp/0/ws"}, {"QUIC", "/ip4/%s/udp/0/quic-v1"},
}

// node runs a long-lived program with some clock until the row ends, and returns its address.
func (l *clockLab) node(t *testing.T, env []string, args ...string) (addr string) {
	t.Helper()
	r := &ongoing{t: t, events: make(chan event, 64), log: new(buffer)}
	r.cmd = exec.Command(l.bin, append(args, "--mdns=false", "--json")...)
	r.cmd.Env = append(environment(t), env...)
	r.run()
	return r.next("ready").Addrs[0]
}

// command runs one command of the controller that connects with others.
func (l *clockLab) command(t *testing.T, env []string, args ...string) ran {
	t.Helper()
	return l.run(t, env, append(args, "--mdns=false")...)
}

func (l *clockLab) run(t *testing.T, env []string, args ...string) ran {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), l.bin, args...)
	cmd.Env = append(environment(t), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return ran{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errs.String()}
}

var clockChanging = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`12D3KooW[1-9A-HJ-NP-Za-km-z]+`), "PEER"},
	{regexp.MustCompile(`/(tcp|udp)/\d+`), "/$1/PORT"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`), "TIME"},
	{regexp.MustCompile(`offline since [0-9hms]+`), "offline since AGO"},
	{regexp.MustCompile(`\d{2,} years`), "N years"},
	{regexp.MustCompile(`\s+`), " "},
}

// told is what a command says, in one line without what changes from run to run.
func told(s string) string {
	for _, c := range clockChanging {
		s = c.what.ReplaceAllString(s, c.by)
	}
	return strings.TrimSpace(s)
}

// outcome is "ok", or the exit code and the words.
func outcome(r ran) string {
	if r.code == 0 {
		return "ok"
	}
	for line := range strings.SplitSeq(r.stderr, "\n") {
		if words, ok := strings.CutPrefix(line, "swarm: "); ok {
			return fmt.Sprintf("%d %s", r.code, told(words))
		}
	}
	return fmt.Sprint(r.code)
}

// finding are the lines of a diagnosis about clocks, and its result.
func finding(r ran) string {
	var out []string
	for line := range strings.SplitSeq(r.stdout, "\n") {
		if words := strings.Fields(strings.TrimLeft(line, "!x ")); len(words) > 1 && (words[0] == "clock" || words[0] == "result") {
			out = append(out, told(line))
		}
	}
	return strings.Join(out, "; ")
}

// soon repeats a command until it is good, for a few seconds: what has just started needs a moment to meet, and a clock that
// is set right a moment to be so.
func soon(within time.Duration, ask func() ran) (r ran) {
	end := time.After(within)
	again := time.NewTicker(time.Second) // no more than a stranger may ask
	defer again.Stop()
	for {
		if r = ask(); r.code == 0 {
			return r
		}
		select {
		case <-again.C:
		case <-end:
			return r
		}
	}
}

// row runs the fleet with one clock wrong, over one transport, and tells which commands work and what the doctor says.
func (l *clockLab) row(t *testing.T, who string, c clock, transport string) []string {
	t.Helper()
	states := make(map[string]string)
	for name, from := range map[string]string{"controller": l.ctl, "worker": l.worker, "relay": l.relay} {
		states[name] = filepath.Join(t.TempDir(), name)
		if out, err := exec.CommandContext(t.Context(), "cp", "-a", from, states[name]).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	env := func(program string) []string {
		if program == who {
			return c.env
		}
		return nil
	}
	worker := []string{"worker", "--state", states["worker"], "--listen", fmt.Sprintf(transport, hiddenAddr)}
	var reach []string
	if who == "relay" { // which is the only way
		addr := l.node(t, env("relay"), "relay", "--state", states["relay"], "--listen", fmt.Sprintf(transport, "127.0.0.1"))
		worker = append(worker, "--bootstrap", addr)
		reach = []string{"--bootstrap", addr, "--deny-net", hiddenAddr}
	}
	addr := l.node(t, env("worker"), worker...)
	command := env("controller")
	if who != "relay" {
		reach = []string{"--bootstrap", addr}
		l.node(t, env("controller"), append([]string{"controller", "serve", "--state", states["controller"], "--listen", fmt.Sprintf(transport, "127.0.0.1")}, reach...)...)
		if strings.Contains(c.name, "after") {
			command = nil // it is the one that serves whose clock is right by now
		}
	}
	do := func(args ...string) ran {
		return l.command(t, command, append(append(args, "--state", states["controller"]), reach...)...)
	}
	exec := func(args ...string) ran { return do(append([]string{"controller", "exec"}, args...)...) }
	within := 4 * time.Second
	if strings.Contains(c.name, "after") {
		within = 30 * time.Second // strangers are turned away for a while
	}
	out := []string{outcome(soon(within, func() ran { return exec("get_stats", "rig-01") }))}
	out = append(out,
		outcome(soon(within, func() ran {
			return exec("start_miner", "rig-01", "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:9")
		})),
		finding(do("doctor", "rig-01")))
	if who == "relay" {
		out = append(out, finding(do("doctor", "vps")))
	}
	return out
}

// TestClockMatrix: whose clock is wrong, by how much and over what: which commands work, and what the doctor says. Connections are
// made in each case; where a command is refused it is a grant that has ended by the clock of who refuses.
func TestClockMatrix(t *testing.T) {
	l := newClockLab(t)
	var table strings.Builder
	table.WriteString("# Whose clock is wrong; how; over what: get_stats; start_miner; what the doctor says. See TestClockMatrix.\n")
	for _, who := range []string{"worker", "controller", "relay"} {
		for _, c := range clocks() {
			for _, tr := range transports {
				t.Run(strings.Join([]string{who, c.name, tr.name}, " "), func(t *testing.T) {
					fmt.Fprintf(&table, "%s | %s | %s\n", who, c.name, tr.name)
					for _, said := range l.row(t, who, c, tr.listen) {
						fmt.Fprintf(&table, "    %s\n", said)
					}
				})
			}
		}
	}
	golden(t, "clock/matrix.golden", table.String())
}

// TestClockAtTheBeginning: a machine that was never told the time makes a fleet, and joins one; it says that its clock is wrong.
func TestClockAtTheBeginning(t *testing.T) {
	bin := skewed.Build(t)
	f := newFleet(t)
	ticket, inv := f.invite("rig-01")
	state := t.TempDir()
	l := &clockLab{t: t, bin: bin}
	at1970 := clocks()[0].env
	for name, r := range map[string]ran{
		"join": l.run(t, at1970, "join", ticket, "--yes", "--state", filepath.Join(state, "worker"), "--listen", anyPort),
		"init": l.run(t, at1970, "init", "--no-passphrase", "--state", filepath.Join(state, "ctl")),
	} {
		if r.code != 0 || !strings.Contains(r.stderr, "the clock of this machine cannot be right: it says 1970-01-01") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	inv.next("joined")
}
