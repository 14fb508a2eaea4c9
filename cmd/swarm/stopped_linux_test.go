package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// How a command stands to a controller that serves and does not answer.
const (
	apart   = ""                 // it does not ask it
	without = "goes on without"  // it says so, and goes on
	stuck   = "kill -CONT "      // it ends with what to do
	endless = "until it is told" // it does not ask it, and runs until it is told to end
)

// stopped says of every command how it is called and how it stands to a controller that does not
// answer. SELF is this controller, and RIG a machine that takes connections and says nothing. An
// operation that is not here is called with RIG alone, and goes on without the controller.
var stopped = map[string]struct{ args, how string }{
	"swarm":                                {"", apart},
	"swarm audit":                          {"RIG", apart},
	"swarm config":                         {"", apart},
	"swarm config init":                    {"-", apart},
	"swarm config show":                    {"", apart},
	"swarm controller":                     {"", apart},
	"swarm controller exec":                {"--help", apart},
	"swarm controller exec attach":         {"RIG", without},
	"swarm controller exec deploy":         {"RIG BUNDLE", without},
	"swarm controller exec get_logs":       {"RIG --name x", without},
	"swarm controller exec get_stats":      {"--all", without},
	"swarm controller exec run":            {`RIG --payload {"argv":["true"]}`, without},
	"swarm controller exec power":          {"RIG --action reboot --yes", without},
	"swarm controller exec get_power":      {"RIG", without},
	"swarm controller exec shell":          {"RIG", without},
	"swarm controller exec start_miner":    {"RIG --miner xmrig", without},
	"swarm controller exec stop_miner":     {"RIG --name x", without},
	"swarm controller exec start_workload": {`RIG --name x --payload {"argv":["true"]}`, without},
	"swarm controller exec stop_workload":  {"RIG --name x", without},
	"swarm controller serve":               {"", stuck},
	"swarm controller watch":               {"", stuck},
	"swarm cp":                             {"main.go RIG:x", without},
	"swarm demo":                           {"", endless},
	"swarm doctor":                         {"RIG", without},
	"swarm events":                         {"", stuck},
	"swarm forward":                        {"RIG 0:80", without},
	"swarm power":                          {"RIG reboot --yes", without},
	"swarm grant":                          {"SELF --verbs stats.read --as-root", apart},
	"swarm id":                             {"", apart},
	"swarm info":                           {"RIG", apart},
	"swarm init":                           {"", apart},
	"swarm invite":                         {"rig-02", stuck},
	"swarm join":                           {"swarm1-x", apart},
	"swarm key":                            {"", apart},
	"swarm key backup":                     {"", apart},
	"swarm key restore":                    {"-", apart},
	"swarm key waive":                      {"SELF", apart},
	"swarm label":                          {"SELF gpu=3080 --as-root", without},
	"swarm leave":                          {"--state OTHER", apart},
	"swarm man":                            {"OTHER", apart},
	"swarm members":                        {"", apart},
	"swarm miner-refpow":                   {"", apart},
	"swarm peers":                          {"", without},
	"swarm peers add":                      {"/ip4/192.0.2.1/tcp/1/p2p/" + streamtest.PeerID("x").String(), apart},
	"swarm peers remove":                   {"nobody", apart},
	"swarm ping":                           {"RIG", apart},
	"swarm relay":                          {"--listen /ip4/127.0.0.1/tcp/0 --state OTHER", endless},
	"swarm rename":                         {"SELF laptop-2 --as-root", without},
	"swarm renew":                          {"SELF --as-root", without},
	"swarm revoke":                         {"nobody", apart},
	"swarm service":                        {"", apart},
	"swarm service install":                {"--dry-run", apart},
	"swarm service restart":                {"nobody", apart},
	"swarm service status":                 {"", apart},
	"swarm service uninstall":              {"nobody", apart},
	"swarm status":                         {"", apart},
	"swarm version":                        {"", apart},
	"swarm worker":                         {"--listen /ip4/127.0.0.1/tcp/0 --state OTHER", endless},
}

// With a controller that serves here and is stopped, every command with --timeout 5s ends within 6 s,
// and those that ask it say what is the case.
func TestServeThatIsStopped(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 s")
	}
	home := t.TempDir()
	state := filepath.Join(home, "laptop")
	swarm := func(ctx context.Context, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "swarm", args...)
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "SWARM_STATE="+state)
		return cmd
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := swarm(t.Context(), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	must("init", "--no-passphrase", "--name", "laptop")
	must("peers", "add", muteMachine(t), "--name", "RIG")
	self := must("id")
	bundle := filepath.Join(home, "bundle")
	if err := os.WriteFile(bundle, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	stopServe(t, swarm(t.Context(), "controller", "serve", "--mdns=false", "--listen", "/ip4/127.0.0.1/tcp/0"))

	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, 8)
	eachCommand(newRootCommand(console.New(nil, os.Stdout, os.Stderr)), func(cmd *cobra.Command) {
		call, known := stopped[cmd.CommandPath()]
		for _, op := range operations() {
			if cmd.CommandPath() == "swarm "+op.word {
				call, known = stopped["swarm controller exec "+string(op.Request)]
			}
		}
		if !known && strings.HasPrefix(cmd.CommandPath(), "swarm controller exec ") {
			call.args, call.how, known = "RIG", without, true
		}
		if !known {
			t.Errorf("say in this test how %q stands to a controller that does not answer", cmd.CommandPath())
			return
		}
		args := strings.Fields(strings.NewReplacer("BUNDLE", bundle, "SELF", self, "OTHER", filepath.Join(home, cmd.Name())).
			Replace(strings.TrimPrefix(cmd.CommandPath()+" "+call.args, "swarm")))
		if cmd.Flags().Lookup("timeout") != nil || cmd.InheritedFlags().Lookup("timeout") != nil {
			args = append(args, "--timeout", "5s")
		}
		if cmd.Flags().Lookup("mdns") != nil || cmd.InheritedFlags().Lookup("mdns") != nil {
			args = append(args, "--mdns=false")
		}
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if call.how == endless {
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				defer cancel()
			}
			c := swarm(ctx, args...)
			c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
			c.WaitDelay = 10 * time.Second
			began := time.Now()
			out, err := c.CombinedOutput()
			took := time.Since(began).Round(10 * time.Millisecond)
			t.Logf("%v %v", took, args)
			if took > 6*time.Second+busy {
				t.Errorf("%v ends after %v: %s", args, took, out)
			}
			if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited && call.how != endless {
				t.Errorf("%v: %v", args, err)
			}
			if (call.how == without || call.how == stuck) &&
				(!bytes.Contains(out, []byte("does not answer")) || !bytes.Contains(out, []byte(call.how))) {
				t.Errorf("%v says nothing of the controller that does not answer, or not %q:\n%s", args, call.how, out)
			}
		})
	})
}

// busy is what a machine with other work may add.
const busy = time.Second

// stopServe starts a controller, and stops its process once it is ready.
func stopServe(t *testing.T, serve *exec.Cmd) {
	t.Helper()
	out, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		serve.Process.Kill()
		serve.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("serve is not ready: %s %v", line, err)
	}
	if err := serve.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// muteMachine returns the address of a machine that takes connections and says nothing.
func muteMachine(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "/ip4/127.0.0.1/tcp/" + port + "/p2p/" + streamtest.PeerID("rig").String()
}
