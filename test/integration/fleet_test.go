package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/streams"
)

// realFleet is a fleet with its first controller, as processes see it.
type realFleet struct {
	controller
	id string
}

// newFleet makes a fleet, as its owner does.
func newFleet(t *testing.T) *realFleet {
	t.Helper()
	f := &realFleet{controller: controller{t: t, state: t.TempDir()}}
	r := f.swarm("init", "--no-passphrase", "--fleet", "home", "--name", "laptop", "--json")
	var made struct{ Event, Fleet, Peer string }
	mustLine(t, r, &made)
	f.id, f.controller.id = made.Fleet, made.Peer
	return f
}

// swarm runs a command of this controller.
func (c controller) swarm(args ...string) ran {
	c.t.Helper()
	return swarm(c.t, append(args, "--state", c.state)...)
}

// mustLine reads the first line of a command that must have succeeded.
func mustLine(t *testing.T, r ran, v any) {
	t.Helper()
	first, _, _ := strings.Cut(r.stdout, "\n")
	if r.code != 0 || json.Unmarshal([]byte(first), v, json.MatchCaseInsensitiveNames(true)) != nil {
		t.Fatalf("%+v", r)
	}
}

func mustRun(t *testing.T, r ran) ran {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	return r
}

// event is a line that invite, join or serve prints.
type event struct {
	Event, Ticket, ID, Name, Role, Peer, Fleet string
	Addrs                                      []string
}

// ongoing is a command that goes on while others run.
type ongoing struct {
	t      *testing.T
	cmd    *exec.Cmd
	events chan event
	log    *buffer
	once   sync.Once
}

// start runs a command that prints events.
func (c controller) start(args ...string) *ongoing {
	c.t.Helper()
	return startCommand(c.t, append(args, "--state", c.state, "--json")...)
}

func startCommand(t *testing.T, args ...string) *ongoing {
	t.Helper()
	return startCommandOf(t, exec.Command(program, args...))
}

// startCommandOf runs a command line that ends in one of this program.
func startCommandOf(t *testing.T, cmd *exec.Cmd) *ongoing {
	t.Helper()
	r := &ongoing{t: t, cmd: cmd, events: make(chan event, 64), log: new(buffer)}
	r.cmd.Env = environment(t)
	r.run()
	return r
}

// run starts the command, which ends with the test.
func (r *ongoing) run() {
	r.t.Helper()
	r.cmd.Stderr = r.log
	out, err := r.cmd.StdoutPipe()
	must(r.t, err)
	must(r.t, r.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(r.events)
		for s := bufio.NewScanner(out); s.Scan(); {
			var e event
			if slices.Contains(r.cmd.Args, "--json") {
				checkLines(r.t, r.cmd.Args, s.Text())
			}
			if err := json.Unmarshal(s.Bytes(), &e, json.MatchCaseInsensitiveNames(true)); err == nil {
				r.events <- e
			}
		}
	}()
	r.t.Cleanup(func() { r.stop(); <-read })
}

func (r *ongoing) stop() {
	r.once.Do(func() {
		r.cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { r.cmd.Process.Kill() })
		defer kill.Stop()
		r.cmd.Wait()
	})
}

// next waits for an event of this kind.
func (r *ongoing) next(kind string) event {
	r.t.Helper()
	after := time.After(30 * time.Second)
	for {
		select {
		case e, ok := <-r.events:
			if !ok {
				r.t.Fatalf("ended before the event %q: %s", kind, r.log)
			}
			if e.Event == kind {
				return e
			}
		case <-after:
			r.t.Fatalf("no event %q within 30 s: %s", kind, r.log)
		}
	}
}

const anyPort = "/ip4/127.0.0.1/tcp/0"

// invite makes a ticket, and leaves the command running.
func (c controller) invite(name string, args ...string) (ticket string, r *ongoing) {
	c.t.Helper()
	r = c.start(append([]string{"invite", name, "--listen", anyPort, "--mdns=false"}, args...)...)
	return r.next("ticket").Ticket, r
}

// freeAddr is a loopback address with a port that is free now.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)
}

// join redeems a ticket that comes on the standard input.
func join(t *testing.T, state, ticket string, args ...string) ran {
	t.Helper()
	return swarmIn(t.Context(), t, strings.NewReader(ticket+"\n"), append([]string{"join", "-", "--state", state, "--json", "--yes"}, args...)...)
}

// rig is a worker of a fleet.
type rig struct {
	*process
	name, state, listen string
	args                []string
}

// letIn lets a worker in and starts it.
func (f *realFleet) letIn(name string, args ...string) *rig {
	f.t.Helper()
	ticket, inv := f.invite(name, args...)
	defer inv.stop()
	g := &rig{name: name, state: filepath.Join(f.t.TempDir(), name), listen: freeAddr(f.t)}
	mustRun(f.t, join(f.t, g.state, ticket, "--listen", g.listen, "--enable", "miner=refpow,deploy"))
	inv.next("joined")
	g.run(f.t)
	return g
}

// run starts the worker, as it was after joining.
func (g *rig) run(t *testing.T) {
	t.Helper()
	p := &process{t: t, state: g.state, log: new(buffer)}
	p.cmd = exec.Command(program, append([]string{"worker", "--state", g.state, "--listen", g.listen, "--mdns=false", "--json"}, g.args...)...)
	p.cmd.Env = environment(t)
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	t.Cleanup(p.stop)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the worker was not ready: %v\n%s", err, p.log)
	}
	var ready event
	must(t, json.Unmarshal(line, &ready, json.MatchCaseInsensitiveNames(true)))
	p.peer, p.addr = ready.Peer, ready.Addrs[0]
	g.process = p
}

// letInController lets in another controller, by its peer ID.
func (f *realFleet) letInController(name string, args ...string) controller {
	f.t.Helper()
	c := newController(f.t)
	ticket, inv := f.invite(name, append([]string{"--role", "controller", "--peer", c.id}, args...)...)
	defer inv.stop()
	mustRun(f.t, join(f.t, c.state, ticket))
	inv.next("joined")
	return c
}

// at makes sure that a controller knows where the workers are, as discovery would.
func (c controller) at(rigs ...*rig) []string {
	var args []string
	for _, g := range rigs {
		args = append(args, "--bootstrap", g.addr)
	}
	return args
}

// The journey: five commands, and nothing to copy but the ticket.
func TestFleetJourney(t *testing.T) {
	began := time.Now()
	f := newFleet(t)
	g := f.letIn("rig-01", "--label", "gpu=3080")
	r, lines := f.exec("get_stats", "--all")
	if r.code != 0 || len(lines) != 1 || !lines[0].OK || lines[0].Name != "rig-01" || lines[0].Peer != g.peer {
		t.Fatalf("%+v", r)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the journey took %v", took)
	}
	if r, lines = f.exec("get_stats", "--on", "gpu=3080"); r.code != 0 || len(lines) != 1 {
		t.Errorf("by label: %+v", r)
	}
	if r, _ = f.exec("get_stats", "--on", "gpu=4090"); r.code != 1 || !strings.Contains(r.stderr, "gpu=4090") {
		t.Errorf("by another label: %+v", r)
	}
	r = f.swarm("members", "--json")
	if r.code != 0 || !strings.Contains(r.stdout, `"name":"rig-01"`) || !strings.Contains(r.stdout, `"name":"laptop"`) {
		t.Errorf("members: %+v", r)
	}
	r = swarm(t, "status", "--state", g.state)
	for _, want := range []string{"rig-01, worker", "laptop: * admit grant revoke", "miners refpow"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("status lacks %q:\n%s", want, r.stdout)
		}
	}
	// A stranger reads as one who may not, and not as a machine that is away.
	stranger := newController(t)
	if r, lines := stranger.exec("get_stats", g.addr); r.code != 5 || lines[0].Error.Code != 401 {
		t.Errorf("a stranger: %+v", r)
	}
}

func TestTicketIsUsedOnce(t *testing.T) {
	f := newFleet(t)
	ticket, inv := f.invite("rig-01")
	first, second := t.TempDir(), t.TempDir()
	mustRun(t, join(t, first, ticket, "--listen", anyPort))
	if e := inv.next("joined"); e.Name != "rig-01" {
		t.Errorf("%+v", e)
	}
	r := join(t, second, ticket, "--listen", anyPort)
	if r.code == 0 || !strings.Contains(r.stderr, "used by another machine") {
		t.Errorf("the second machine: %+v", r)
	}
	inv.next("refused")
	// The machine that is in already is told so, and stays in.
	if r = join(t, first, ticket, "--listen", anyPort); r.code != 1 || !strings.Contains(r.stderr, "swarm leave") {
		t.Errorf("the first machine again: %+v", r)
	}
	inv.stop()
	// Out of it, it may join again with another ticket.
	mustRun(t, swarm(t, "leave", "--yes", "--state", first))
	ticket, _ = f.invite("rig-02")
	mustRun(t, join(t, first, ticket, "--listen", anyPort))
}

// A ticket goes to a machine as a file, or as a picture; neither is printed, nor for others to read.
func TestTicketAsAFile(t *testing.T) {
	f := newFleet(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "ticket")
	inv := f.start("invite", "rig-01", "--listen", anyPort, "--mdns=false", "--ticket-file", file)
	defer inv.stop()
	if e := inv.next("ticket"); e.Ticket != "" {
		t.Errorf("the ticket was printed, too: %+v", e)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	state := filepath.Join(dir, "rig-01")
	mustRun(t, swarm(t, "join", file, "--yes", "--state", state, "--json"))
	inv.next("joined")
	if r := swarm(t, "join", filepath.Join(dir, "none"), "--yes", "--state", state); r.code != 1 || !strings.Contains(r.stderr, "neither a ticket") {
		t.Errorf("%+v", r)
	}
	if r := f.swarm("invite", "rig-02", "--ticket-file", file); r.code != 1 || !strings.Contains(r.stderr, "is there already") {
		t.Errorf("%+v", r)
	}
}

func TestTicketIsRefusedInWords(t *testing.T) {
	f := newFleet(t)
	ticket, inv := f.invite("rig-01")
	for _, tc := range []struct{ name, ticket, words string }{
		{"one wrong character", ticket[:40] + flipped(ticket[40]) + ticket[41:], "altered or cut"},
		{"cut", ticket[:len(ticket)-1], "altered or cut"},
		{"something else", "hello", "swarm1-"},
		{"nothing", "", "read the ticket"},
	} {
		if r := join(t, t.TempDir(), tc.ticket); r.code != 1 || !strings.Contains(r.stderr, tc.words) {
			t.Errorf("%s: %+v", tc.name, r)
		}
	}
	inv.stop()
	if r := join(t, t.TempDir(), ticket, "--timeout", "5s"); r.code != 1 || !strings.Contains(r.stderr, "inviter is not to be reached") {
		t.Errorf("nobody redeems it any more: %+v", r)
	}
	ticket, inv = f.invite("rig-02", "--ttl", "1s")
	inv.next("expired")
	if r := join(t, t.TempDir(), ticket); r.code != 1 || !strings.Contains(r.stderr, "expired") {
		t.Errorf("expired: %+v", r)
	}
}

func flipped(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// What a revoked controller had open ends at once, and it gets nothing more.
func TestRevoke(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	second := f.letInController("laptop2")
	args := append([]string{"start_miner", g.name, "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:9"}, second.at(g)...)
	if r, _ := second.exec(args...); r.code != 0 {
		t.Fatalf("before: %+v", r)
	}
	follow := second.start(append([]string{"controller", "exec", "get_logs", g.name, "--follow", "--mdns=false"}, second.at(g)...)...)
	waitFor(t, "the follow to be under way", func() bool {
		r := swarm(t, "audit", "--state", g.state, "--json")
		return strings.Contains(r.stdout, "get_logs")
	})
	deployed := stalledDeploy(t, second, g)
	waitFor(t, "the deployment to be under way", func() bool {
		return strings.Contains(swarm(t, "audit", "--state", g.state, "--json").stdout, `"type":"deploy"`)
	})
	began := time.Now()
	r := mustRun(t, f.swarm("revoke", "laptop2", "--json", "--mdns=false"))
	if !strings.Contains(r.stdout, `"event":"told"`) || !strings.Contains(r.stdout, `"ok":true`) {
		t.Errorf("revoke: %+v", r)
	}
	ended := make(chan error, 1)
	go func() { ended <- follow.cmd.Wait() }()
	select {
	case <-ended:
		t.Logf("the follow ended after %v", time.Since(began))
	case <-time.After(10 * time.Second):
		t.Error("the follow goes on")
		follow.cmd.Process.Kill()
	}
	follow.once.Do(func() {}) // it was waited for
	if err := deployed(); streams.CodeOf(err) != streams.CodeForbidden && streams.CodeOf(err) != streams.CodeUnavailable {
		t.Errorf("the deployment ended with %v", err)
	} else {
		t.Logf("the deployment ended after %v: %v", time.Since(began), err)
	}
	if r, lines := second.exec(append([]string{"get_stats", g.name}, second.at(g)...)...); r.code != 5 || !strings.Contains(lines[0].Error.Message, "revoked") {
		t.Errorf("after: %+v", r)
	}
	if r := f.swarm("members"); !strings.Contains(r.stdout, "revoked") {
		t.Errorf("members: %s", r.stdout)
	}
	// The root lifts it; it needs its key.
	mustRun(t, f.swarm("revoke", "--lift", "laptop2", "--mdns=false"))
	if r, _ := second.exec(append([]string{"get_stats", g.name}, second.at(g)...)...); r.code != 0 {
		t.Errorf("lifted: %+v", r)
	}
}

// stalledDeploy begins a deployment whose bytes do not come to an end. The function
// that it returns waits until it has ended all the same.
func stalledDeploy(t *testing.T, by controller, to *rig) (wait func() error) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "big"), make([]byte, 1<<20), 0o600))
	bundle, err := deploy.Open(dir, "stalled", 0)
	must(t, err)
	c, err := agent.Started(agent.NewCommand(agent.ControllerConfig{StateDir: by.state, Bootstrap: []string{to.addr}}))
	must(t, err)
	target, err := c.Find(to.addr)
	must(t, err)
	body, feed := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		req := deploy.Request{Manifest: bundle.Manifest, Size: bundle.Manifest.Size()}
		_, err := deploy.Deploy.Do(context.Background(), c.Node.Client, target.Peer, req, body)
		ended <- err
	}()
	_, err = feed.Write(make([]byte, 64<<10))
	must(t, err)
	return func() error {
		defer c.Close()
		defer body.Close()
		go func() {
			for { // the next bytes find out
				if _, err := feed.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}()
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Second):
			return errors.New("it goes on")
		}
	}
}

// A friend gets a right for a while, on some machines.
func TestGrantForAWhile(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01", "--label", "site=cabin")
	friend := newController(t)
	ticket, inv := f.invite("friend", "--role", "viewer", "--for", "24h")
	mustRun(t, join(t, friend.state, ticket))
	inv.stop()
	at := friend.at(g)
	stop := func() (ran, []line) {
		return friend.exec(append([]string{"stop_miner", g.name, "--payload", `{"name":"nope"}`}, at...)...)
	}
	if r, _ := friend.exec(append([]string{"get_stats", g.name}, at...)...); r.code != 0 {
		t.Fatalf("a viewer reads: %+v", r)
	}
	if r, lines := stop(); r.code != 5 || lines[0].Error.Code != 403 || !strings.Contains(lines[0].Error.Message, "swarm grant") {
		t.Errorf("a viewer stops a miner: %+v", r)
	}
	mustRun(t, f.swarm("grant", "friend", "--verbs", "miner.control", "--on", "site=sea", "--for", "8h", "--mdns=false"))
	if r, lines := stop(); r.code != 5 || lines[0].Error.Code != 403 {
		t.Errorf("on other machines: %+v", r)
	}
	mustRun(t, f.swarm("grant", "friend", "--verbs", "miner.control", "--on", "site=cabin", "--for", "8h", "--mdns=false"))
	// The friend's commands do not listen, so its new grant waits on the machines it asks.
	waitFor(t, "the right to arrive", func() bool { _, lines := stop(); return lines[0].Error.Code == 404 })
	mustRun(t, f.swarm("grant", "friend", "--verbs", "*.read", "--only", "--mdns=false"))
	if r, lines := stop(); r.code != 5 || lines[0].Error.Code != 403 {
		t.Errorf("taken away: %+v", r)
	}
}

func TestRenameAndLabel(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01", "--label", "gpu=3080")
	mustRun(t, f.swarm("rename", "rig-01", "cabin-01", "--mdns=false"))
	mustRun(t, f.swarm("label", "cabin-01", "site=cabin", "gpu-", "--mdns=false"))
	if r, lines := f.exec("get_stats", "--on", "site=cabin"); r.code != 0 || lines[0].Name != "cabin-01" || lines[0].Peer != g.peer {
		t.Errorf("%+v", r)
	}
	if r, _ := f.exec("get_stats", "rig-01"); r.code != 1 {
		t.Errorf("by its old name: %+v", r)
	}
	r := swarm(t, "status", "--state", g.state, "--json")
	if !strings.Contains(r.stdout, `"name":"cabin-01"`) {
		t.Errorf("the machine does not know: %s", r.stdout)
	}
}

// Without the root key on the controller's machine daily work goes on, and what
// needs it says so.
func TestRootKeyElsewhere(t *testing.T) {
	f := newFleet(t)
	stick := filepath.Join(t.TempDir(), "root.key")
	data, err := os.ReadFile(filepath.Join(f.state, "root.key"))
	must(t, err)
	must(t, os.WriteFile(stick, data, 0o600))
	must(t, os.Remove(filepath.Join(f.state, "root.key")))
	f.letIn("rig-01")
	if r, _ := f.exec("get_stats", "--all"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	for _, args := range [][]string{
		{"renew", "laptop"}, {"key", "backup"}, {"revoke", "--lift", "rig-01"},
		{"invite", "boss", "--role", "issuer", "--peer", newController(t).id},
	} {
		if r := f.swarm(args...); r.code != 1 || !strings.Contains(r.stderr, "root key") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	mustRun(t, f.swarm("renew", "laptop", "--root", stick, "--mdns=false"))
	mustRun(t, f.swarm("key", "backup", "--root", stick))
}

// The laptop is lost: the sheet brings everything back, and no machine is touched.
func TestRestoreFromSheet(t *testing.T) {
	f := newFleet(t)
	rigs := []*rig{f.letIn("rig-01"), f.letIn("rig-02"), f.letIn("rig-03")}
	if r, _ := f.exec("get_stats", "--all"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	sheet := filepath.Join(t.TempDir(), "sheet.txt")
	must(t, os.WriteFile(sheet, []byte(mustRun(t, f.swarm("key", "backup")).stdout), 0o600))

	rigs[2].stop() // one of them is away
	restored := controller{t: t, state: t.TempDir()}
	r := restored.swarm("key", "restore", sheet, "--no-passphrase", "--name", "laptop2", "--mdns=false", "--json")
	if r.code != 3 || !strings.Contains(r.stdout, `"waiting":["rig-01","rig-02","rig-03"]`) || !strings.Contains(r.stderr, rigs[0].peer) {
		t.Fatalf("restore: %+v", r)
	}
	for _, name := range []string{"rig-01", "rig-02"} {
		if r, lines := restored.exec("get_stats", name); r.code != 0 || !lines[0].OK {
			t.Errorf("%s: %+v", name, r)
		}
	}
	// The thief has the old laptop.
	if r, lines := f.exec("get_stats", "rig-01"); r.code != 5 {
		t.Errorf("the lost laptop: %+v %+v", r, lines)
	}
	rigs[2].run(t)
	if r, lines := restored.exec("get_stats", "rig-03"); r.code != 0 || !lines[0].OK {
		t.Errorf("the one that was away: %+v", r)
	}
	if r, _ := f.exec("get_stats", "rig-03"); r.code != 5 {
		t.Errorf("the lost laptop, at the one that was away: %+v", r)
	}
	// They were signed anew by themselves; groups leave them out until a person has looked.
	if r, lines := restored.exec("get_stats", "--all"); r.code != 3 || len(lines) > 0 {
		t.Errorf("before a person has looked: %+v", r)
	}
	mustRun(t, restored.swarm("renew", "--from", f.controller.id, "--yes", "--mdns=false"))
	if r, lines := restored.exec("get_stats", "--all"); r.code != 0 || len(lines) != 3 {
		t.Errorf("after a person has looked: %+v", r)
	}
}

// With the long-lived controller an invitation returns at once, and it redeems.
func TestInviteBesideServe(t *testing.T) {
	f := newFleet(t)
	serve := f.start("controller", "serve", "--listen", anyPort, "--mdns=false")
	serve.next("ready")
	began := time.Now()
	var inv event
	mustLine(t, f.swarm("invite", "rig-01", "--json"), &inv)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	g := &rig{name: "rig-01", state: t.TempDir(), listen: freeAddr(t)}
	mustRun(t, join(t, g.state, inv.Ticket, "--listen", g.listen))
	g.run(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if r, lines := f.exec("get_stats", "rig-01"); r.code != 0 || !lines[0].OK {
				t.Errorf("beside serve: %+v", r)
			}
		})
	}
	wg.Wait()
	serve.stop()
	for range 8 {
		wg.Go(func() {
			if r, lines := f.exec("get_stats", "rig-01"); r.code != 0 || !lines[0].OK {
				t.Errorf("without serve: %+v", r)
			}
		})
	}
	wg.Wait()
}

// A machine that cannot call is called.
func TestInviteTo(t *testing.T) {
	f := newFleet(t)
	state := t.TempDir()
	wait := startCommand(t, "join", "--wait", "--fleet", f.id, "--yes", "--listen", anyPort, "--state", state, "--json", "--enable", "deploy")
	at := wait.next("waiting")
	_, inv := f.invite("rig-01", "--to", at.Addrs[0])
	if e := wait.next("joined"); e.Name != "rig-01" || e.Fleet != f.id {
		t.Errorf("%+v", e)
	}
	inv.next("joined")
	// A ticket that is brought is not to be pasted by anybody.
	wait = startCommand(t, "join", "--wait", "--fleet", f.id, "--yes", "--listen", anyPort, "--state", t.TempDir(), "--json")
	r := f.swarm("invite", "rig-02", "--to", wait.next("waiting").Addrs[0], "--mdns=false")
	if r.code != 0 || !strings.Contains(r.stderr, "rig-02 has joined") || strings.Contains(r.stderr, "paste") {
		t.Errorf("%+v", r)
	}
	wait.next("joined")
	// Without a word of which fleet it is to be, anybody could take the machine.
	if r := swarm(t, "join", "--wait", "--yes", "--state", t.TempDir()); r.code != 1 || !strings.Contains(r.stderr, "--fleet") {
		t.Errorf("%+v", r)
	}
}

// Another member redeems tickets, within the bounds that the root gave it.
func TestInviteVia(t *testing.T) {
	f := newFleet(t)
	vps := f.letIn("vps")
	if r := f.swarm("invite", "rig-01", "--via", "vps", "--mdns=false"); r.code != 1 || !strings.Contains(r.stderr, "swarm grant vps --issue") {
		t.Errorf("without the right: %+v", r)
	}
	mustRun(t, f.swarm("grant", "vps", "--issue", "worker", "--issue-names", "rig-*", "--mdns=false"))
	var inv event
	mustLine(t, f.swarm("invite", "rig-01", "--via", "vps", "--json", "--mdns=false"), &inv)
	g := &rig{name: "rig-01", state: t.TempDir(), listen: freeAddr(t)}
	mustRun(t, join(t, g.state, inv.Ticket, "--listen", g.listen))
	g.run(t)
	if r, lines := f.exec(append([]string{"get_stats", "--all"}, f.at(vps)...)...); r.code != 0 || len(lines) != 2 {
		t.Errorf("%+v", r)
	}
	mustLine(t, f.swarm("invite", "other", "--via", "vps", "--json", "--mdns=false"), &inv)
	if r := join(t, t.TempDir(), inv.Ticket, "--listen", anyPort); r.code == 0 || !strings.Contains(r.stderr, "may not") {
		t.Errorf("beyond its bounds: %+v", r)
	}
}
