//go:build unix

package run

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// login has a service open a shell, which reads a script, and returns what it prints and how it ends.
func login(t *testing.T, s *Service, req ShellRequest, script string) (text string, exit Exit, err error) {
	t.Helper()
	var (
		mu     sync.Mutex
		out    strings.Builder
		inputs = make(chan Input)
		ended  = make(chan struct{})
		dealt  = make(chan int64, 1<<12)
	)
	var talking sync.WaitGroup
	talking.Go(func() {
		in := Input{Data: []byte(script), End: req.TTY == nil}
		var again <-chan time.Time
		if req.TTY != nil { // a shell that begins may drop what was typed before
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			again = tick.C
		}
		for {
			select {
			case inputs <- in:
			case <-ended:
				return
			}
			select {
			case n := <-dealt:
				in = Input{Taken: n}
			case <-again:
				in = Input{Data: []byte(script)}
			case <-ended:
				return
			}
		}
	})
	total := int64(0)
	last, err := s.handleShell(t.Context(), streams.Peer{}, req, inputs, func(o Output) error {
		mu.Lock()
		defer mu.Unlock()
		out.Write(o.Data)
		if total += int64(len(o.Data)); len(o.Data) > 0 {
			select {
			case dealt <- total:
			default:
			}
		}
		return nil
	})
	close(ended)
	talking.Wait()
	if last.Exit != nil {
		exit = *last.Exit
	}
	return out.String(), exit, err
}

// anyShell lets the worker's user have one.
func anyShell(c *Config) { c.Shell = func() (string, int, error) { return "", 0, nil } }

// A login shell is that of the worker's user, knows that it is one, and sees a few variables, the asker's
// language among them.
func TestShell(t *testing.T) {
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	a, err := accountOf("")
	if err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	var told []string
	dir := t.TempDir() // with no profile in it
	s := newService(t, anyShell, func(c *Config) {
		c.Environ = append(c.Environ, "HOME="+dir)
		c.ShellEnded = func(_ peer.ID, user string, req ShellRequest, e Exit) {
			told = append(told, user+req.Summary()+": "+e.String())
		}
	})
	req := ShellRequest{Input: true, Locale: map[string]string{"LC_TIME": "de_DE"}}
	text, exit, err := login(t, s, req, "echo name=$0; echo in=$(pwd); env; exit 5\n")
	if err != nil || exit.Code == nil || *exit.Code != 5 {
		t.Fatalf("%s, %v: %s", exit, err, text)
	}
	home, _ := filepath.EvalSymlinks(dir)
	for _, want := range []string{
		"name=-" + filepath.Base(a.shell), "in=" + home, "HOME=" + dir, "USER=" + self.Username, "LOGNAME=" + self.Username, "SHELL=" + a.shell, "LC_TIME=de_DE",
	} {
		if !strings.Contains("\n"+text, "\n"+want+"\n") {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	for _, secret := range []string{"SWARM_SECRET", "AWS_KEY"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is seen", secret)
		}
	}
	if len(told) != 1 || told[0] != ": exit code 5" {
		t.Errorf("told %q", told)
	}
	text, exit, err = login(t, s, ShellRequest{TTY: &TTY{Rows: 30, Cols: 90, Term: "vt100"}}, "stty size; exit 6\r")
	if err != nil || exit.Code == nil || *exit.Code != 6 || !strings.Contains(text, "30 90") {
		t.Errorf("at a terminal: %s, %v: %q", exit, err, text)
	}
}

// Nobody has a shell but whom the owner has named, and as many as the owner allows.
func TestShellIsRefused(t *testing.T) {
	no := errors.New("no shells here")
	for _, tt := range []struct {
		name string
		edit func(*Config)
		code streams.Code
	}{
		{"nothing is said", func(c *Config) {}, streams.CodeRefused},
		{"not allowed", func(c *Config) { c.Shell = func() (string, int, error) { return "", 0, no } }, streams.CodeRefused},
		{"no such user", func(c *Config) { c.Shell = func() (string, int, error) { return "no-such-user", 0, nil } }, streams.CodeRefused},
	} {
		text, _, err := login(t, newService(t, tt.edit), ShellRequest{}, "")
		if streams.CodeOf(err) != tt.code || text != "" {
			t.Errorf("%s: %v, %q", tt.name, err, text)
		}
	}
	s := newService(t, func(c *Config) { c.Shell = func() (string, int, error) { return "", 1, nil } })
	first := ask(t, s, sh("sleep 300"), false) // commands count, too
	waitFor(t, "it to run", func() bool { first.mu.Lock(); defer first.mu.Unlock(); return first.pid > 0 })
	if _, _, err := login(t, s, ShellRequest{}, ""); streams.CodeOf(err) != streams.CodeTooMany {
		t.Errorf("one more: %v", err)
	}
}

// The shell of another user has that user's rights, home and groups, and its terminal.
func TestShellOfAnotherUser(t *testing.T) {
	name := ""
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 7 && f[2] != "0" && strings.HasSuffix(f[6], "sh") {
			name = f[0]
		}
	}
	if name == "" {
		t.Skip("NOT TESTED: there is no other user with a shell")
	}
	s := newService(t, func(c *Config) { c.Shell = func() (string, int, error) { return name, 0, nil } })
	if os.Geteuid() != 0 {
		if _, _, err := login(t, s, ShellRequest{}, ""); streams.CodeOf(err) != streams.CodeRefused || !strings.Contains(err.Error(), "not root") {
			t.Errorf("where the worker is not root: %v", err)
		}
		return
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := login(t, s, ShellRequest{TTY: &TTY{Rows: 24, Cols: 80}}, "echo [$(id -u) $(id -g) $HOME $USER]; : > $(tty) && echo mine; exit\r")
	if want := "[" + u.Uid + " " + u.Gid + " " + u.HomeDir + " " + name + "]"; err != nil || !strings.Contains(got, want) || !strings.Contains(got, "\r\nmine") {
		t.Errorf("got %q, %v; want %s", got, err, want)
	}
}

// When the owner names another user, the shells of the first one end.
func TestShellEndsWithThePolicy(t *testing.T) {
	var mu sync.Mutex
	name := ""
	s := newService(t, func(c *Config) {
		c.Shell = func() (string, int, error) { mu.Lock(); defer mu.Unlock(); return name, 0, nil }
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := make(chan struct{})
	go func() {
		<-started
		mu.Lock()
		defer mu.Unlock()
		name = "somebody"
	}()
	_, err := s.handleShell(ctx, streams.Peer{}, ShellRequest{TTY: &TTY{Rows: 24, Cols: 80}}, make(chan Input), func(o Output) error {
		if o.Started != nil {
			close(started)
		}
		return nil
	})
	if streams.CodeOf(err) != streams.CodeRefused {
		t.Errorf("it ends with %v", err)
	}
}
