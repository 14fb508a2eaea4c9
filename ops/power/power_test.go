package power_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/internal/journal"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/power"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is a worker whose system is a file to which each reboot adds a line, and the laptop that asks it.
type machine struct {
	*streamtest.Pipe
	t       *testing.T
	journal *journal.Journal
	end     context.CancelFunc
	ran     sync.WaitGroup
}

// config has the system's command append to a file.
func config(file string, command ...string) power.Config {
	if command == nil {
		command = []string{"/bin/sh", "-c", "echo done >> " + file}
	}
	return power.Config{
		Allowed: func() error { return nil }, Pause: time.Millisecond,
		Command: func(power.Action) ([]string, error) { return command, nil },
	}
}

func start(t *testing.T, dir string, cfg power.Config) *machine {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: it takes a shell")
	}
	m := &machine{t: t, journal: journal.Open(journal.Config{Dir: filepath.Join(dir, "journal")})}
	m.Pipe = streamtest.New(streamtest.PeerID("worker"), streamtest.PeerID("laptop"), streams.Config{
		Authorize: func(context.Context, streams.Peer, streams.Verb) error { return nil },
		Member:    func(peer.ID) bool { return true }, Journal: m.journal,
	}, streams.Config{})
	s := power.New(cfg)
	operations := ops.Operations{ops.FromCall(power.Power, power.Handler(s)), ops.FromCall(power.GetPower, power.StateHandler(s))}
	if err := operations.Register(m.Mux); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	m.end = end
	m.ran.Go(func() { s.Run(ctx) })
	return m
}

// stop ends the worker, as a system does that goes down.
func (m *machine) stop() {
	m.t.Helper()
	m.end()
	m.ran.Wait()
	if err := errors.Join(m.Close(), m.journal.Close()); err != nil {
		m.t.Error(err)
	}
}

func (m *machine) until(what string, ok func() bool) {
	m.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatal("waited in vain until " + what)
		}
	}
}

// send sends a request as it is, and returns the answer.
func (m *machine) send(msg *streams.Message) (answer string) {
	m.t.Helper()
	answers, err := m.Send(m.t.Context(), power.Family(), msg)
	if err != nil || len(answers) != 1 {
		m.t.Fatalf("%d answers, %v", len(answers), err)
	}
	return string(answers[0].Payload)
}

func (m *machine) request(a power.Action) *streams.Message {
	m.t.Helper()
	msg, err := streams.NewMessage(m.Caller.ID(), power.Power.Request, power.Request{Action: a})
	if err != nil {
		m.t.Fatal(err)
	}
	return msg
}

func (m *machine) state() power.State {
	m.t.Helper()
	s, err := power.GetPower.Do(m.t.Context(), m.Client, m.Server.ID(), power.StateRequest{})
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// begins waits until the service takes requests, with one that is done.
func (m *machine) begins(msg *streams.Message) (answer string) {
	m.t.Helper()
	m.until("it takes requests", func() bool {
		answer = m.send(msg)
		return !strings.Contains(answer, "try again in a moment")
	})
	return answer
}

func boots(file string) int {
	b, _ := os.ReadFile(file) // none yet
	return strings.Count(string(b), "done\n")
}

// A request boots the machine once, however often it is repeated, before and after the boot: the answer
// may have died with the machine.
func TestOneBoot(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "boots")
	m := start(t, dir, config(file))
	msg := m.request(power.Reboot)
	first := m.begins(msg)
	m.until("it boots", func() bool { return boots(file) > 0 })
	if s := m.state(); s.Action != power.Reboot || s.Failed != "" {
		t.Errorf("it stands at %+v", s)
	}
	for range 2 {
		for range 5 {
			if answer := m.send(msg); answer != first || !strings.Contains(answer, `"action":"reboot"`) {
				t.Errorf("the first answer is %s, and then %s", first, answer)
			}
		}
		m.stop()
		m = start(t, dir, config(file))
	}
	m.begins(m.request(power.Reboot))
	m.until("it boots again", func() bool { return boots(file) > 1 })
	m.stop()
	if n := boots(file); n != 2 {
		t.Errorf("two requests were %d boots", n)
	}
}

// What is not allowed, or not possible, is not done, and is told.
func TestRefusals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "boots")
	denied, asked := errors.New("the owner does not allow it"), 0
	failed := make(chan error, 1)
	late := config(file)
	late.Failed = func(_ peer.ID, _ power.Action, err error) { failed <- err }
	late.Allowed = func() error {
		if asked++; asked > 1 {
			return denied
		}
		return nil
	}
	impossible := config(file)
	impossible.Command = func(power.Action) ([]string, error) { return nil, errors.New("there is nothing to do it with") }
	for _, tt := range []struct {
		name string
		cfg  power.Config
		want string // of the answer
	}{
		{"nobody said what is allowed", power.Config{Command: config(file).Command}, "that is not allowed here"},
		{"no means", impossible, "there is nothing to do it with"},
		{"allowed no more", late, ""},
		{"the system does not", config(file, "/bin/sh", "-c", "echo Access denied >&2; exit 1"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := start(t, t.TempDir(), tt.cfg)
			defer m.stop()
			answer := m.begins(m.request(power.Shutdown))
			if tt.want != "" {
				if !strings.Contains(answer, tt.want) || !strings.Contains(answer, "422") {
					t.Errorf("answer %s, want %q", answer, tt.want)
				}
				return
			}
			if tt.name == "allowed no more" {
				if err := <-failed; !errors.Is(err, denied) {
					t.Error(err)
				}
			}
			if tt.name == "the system does not" {
				m.until("it is told", func() bool { return strings.Contains(m.state().Failed, "exit status 1: Access denied") })
			}
		})
	}
	if n := boots(file); n != 0 {
		t.Errorf("%d boots", n)
	}
	if asked != 2 {
		t.Errorf("the owner was asked %d times, want once before the answer and once before the effect", asked)
	}
}

// One thing is done at a time, and nothing else is asked meanwhile.
func TestOneAtATime(t *testing.T) {
	m := start(t, t.TempDir(), config("", "/bin/sleep", "60"))
	defer m.stop()
	m.begins(m.request(power.Shutdown))
	if answer := m.send(m.request(power.Reboot)); !strings.Contains(answer, "already: shutdown") || !strings.Contains(answer, "409") {
		t.Error(answer)
	}
}
