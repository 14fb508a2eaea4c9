package service

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fake is a machine below a directory, whose commands are noted and do nothing but what the account
// needs.
type fake struct {
	*Machine
	ran  []string
	fail string // a command that begins with this fails
	made bool   // the account
}

func newFake(t *testing.T, at string) *fake {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{isBooted, unitDir, filepath.Dir(program), "/var/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(root, "swarm")
	if err := os.WriteFile(own, []byte("the program"), 0o755); err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	f.Machine = &Machine{root: root, program: own, command: f.command, lookup: f.lookup}
	if at != "" {
		f.program = at
	}
	return f
}

func (f *fake) command(_ context.Context, name string, args ...string) (string, error) {
	line := strings.ReplaceAll(strings.Join(append([]string{name}, args...), " "), f.root, "")
	f.ran = append(f.ran, line)
	if f.fail != "" && strings.HasPrefix(line, f.fail) {
		return "", errors.New("it fails")
	}
	switch name {
	case "systemd-sysusers":
		f.made = true
	case "userdel":
		f.made = false
	}
	return "", nil
}

func (f *fake) lookup(name string) (*user.User, error) {
	if name == account && !f.made {
		return nil, user.UnknownUserError(name)
	}
	return &user.User{Username: name, Name: comment}, nil
}

// files are all files and directories of the machine.
func (f *fake) files(t *testing.T) (out []string) {
	t.Helper()
	err := filepath.WalkDir(f.root, func(path string, _ fs.DirEntry, err error) error {
		out = append(out, strings.TrimPrefix(path, f.root))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func run(t *testing.T, p *Plan, err error) error {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return p.Run(t.Context(), nil, func(string) {})
}

// What an installation makes its removal takes away, and no more.
func TestInstallAndUninstall(t *testing.T) {
	for _, at := range []string{"", "/usr/bin/swarm"} {
		f := newFake(t, at)
		before := f.files(t)
		p, err := f.Install(Options{Role: Worker, Args: []string{"--name", "rig 01"}})
		if err := run(t, p, err); err != nil {
			t.Fatal(err)
		}
		if !f.made || !slices.Equal(f.Installed(), []Role{Worker}) || !f.exists(StateDir(Worker)) {
			t.Errorf("%q: installed %v, account %v", at, f.Installed(), f.made)
		}
		if f.exists(program) != (at == "") {
			t.Errorf("%q: copied: %v", at, f.exists(program))
		}
		p, err = f.Install(Options{Role: Relay})
		if err := run(t, p, err); err != nil {
			t.Fatal(err)
		}
		for i, r := range []Role{Worker, Relay} {
			p, err := f.Uninstall(r, false)
			if err := run(t, p, err); err != nil {
				t.Fatal(err)
			}
			if f.made != (i == 0) {
				t.Errorf("%q: after %s the account is there: %v", at, r, f.made)
			}
		}
		if after := f.files(t); !slices.Equal(after, before) {
			t.Errorf("%q: left %v, want %v", at, after, before)
		}
		if _, err := f.Uninstall(Worker, false); !errors.Is(err, ErrNone) {
			t.Errorf("twice: %v", err)
		}
	}
}

// Whatever fails, what was made is taken back.
func TestFailedInstallLeavesNothing(t *testing.T) {
	for _, fail := range []string{"chown", "systemctl daemon-reload", "systemctl enable", "systemctl restart", "join"} {
		f := newFake(t, "")
		f.fail = fail
		before := f.files(t)
		p, err := f.Install(Options{Role: Worker})
		if err != nil {
			t.Fatal(err)
		}
		err = p.Run(t.Context(), func() error {
			f.ran = nil
			_, err := f.command(t.Context(), "join")
			return err
		}, func(string) {})
		if err == nil || f.made || !slices.Equal(f.files(t), before) {
			t.Errorf("%s: %v, account %v, left %v", fail, err, f.made, f.files(t))
		}
	}
}

// An account that somebody else has made, and what a person has kept, stay.
func TestUninstallKeeps(t *testing.T) {
	f := newFake(t, "/usr/bin/swarm")
	p, err := f.Install(Options{Role: Worker})
	if err := run(t, p, err); err != nil {
		t.Fatal(err)
	}
	p, err = f.Uninstall(Worker, true)
	if err := run(t, p, err); err != nil {
		t.Fatal(err)
	}
	if !f.exists(StateDir(Worker)) || !f.made {
		t.Errorf("state %v, account %v", f.exists(StateDir(Worker)), f.made)
	}
}

func TestNoSystemd(t *testing.T) {
	f := newFake(t, "")
	if err := os.Remove(f.path(isBooted)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Install(Options{Role: Worker}); !errors.Is(err, ErrNoSystemd) {
		t.Errorf("got %v", err)
	}
}

// A person's node is not left behind for a new one, without a word.
func TestForPerson(t *testing.T) {
	f := newFake(t, "")
	home := t.TempDir()
	alice := Person{"alice", home}
	if o, err := f.For(alice, Options{Role: Worker}, false); err != nil || o.From != "" {
		t.Errorf("without a node: %+v, %v", o, err)
	}
	dir := alice.State(Worker)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "identity.pem"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.For(alice, Options{Role: Worker}, false); !errors.Is(err, ErrHasNode) || !strings.Contains(err.Error(), "alice has one already") {
		t.Errorf("with a node: %v", err)
	}
	if _, err := f.For(alice, Options{Role: Worker}, true); err != nil {
		t.Errorf("a new one: %v", err)
	}
	if o, err := f.For(alice, Options{Role: Worker, From: dir}, false); err != nil || o.From != dir {
		t.Errorf("from it: %+v, %v", o, err)
	}
	if _, err := f.For(alice, Options{Role: Worker, From: home}, false); err == nil {
		t.Error("from where no node is")
	}
	if _, err := f.For(alice, Options{Role: Controller}, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no controller: %v", err)
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"--name=rig-01": "--name=rig-01",
		"rig 01":        `"rig 01"`,
		"50%":           "50%%",
		"$HOME":         "$$HOME",
		`a"b\c`:         `"a\"b\\c"`,
		"":              `""`,
	} {
		if got := quote(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}

// The files for packages are those that an installation writes.
func TestUnitsForPackages(t *testing.T) {
	for _, r := range []Role{Worker, Relay} {
		want := unitText(r, &Plan{Program: "/usr/bin/swarm", State: StateDir(r), User: account}, nil, false)
		path := filepath.Join("..", "..", "deployments", "systemd", r.Unit()+".service")
		if os.Getenv("SWARM_UPDATE") != "" {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s is another one (%v); to write it: SWARM_UPDATE=1 go test ./internal/service", path, err)
		}
	}
}
