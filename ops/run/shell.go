package run

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/streams"
)

// VerbShell is the right to open login shells.
const VerbShell streams.Verb = "shell"

// Shell runs the login shell of the user that the owner of a machine has named, with inputs and outputs as
// those of [Run].
var Shell = streams.Bidi[ShellRequest, Input, Output]{
	Family: Family(), Request: "shell", Input: "run_input", Reply: "run_output", Verb: VerbShell,
}

// ShellRequest asks for a login shell.
type ShellRequest struct {
	// TTY asks for a terminal. Nil: there is none, and the shell reads its standard input to the end.
	TTY *TTY `json:"tty,omitzero"`
	// Locale are the variables that say the asker's language and characters, as [IsLocale] knows them.
	Locale map[string]string `json:"locale,omitzero"`
	// Input is set when there is standard input to come; else there is none. A terminal has some anyway.
	Input bool `json:"input,omitzero"`
}

// Validate checks the bounds.
func (r ShellRequest) Validate() error {
	for name, value := range r.Locale {
		if !IsLocale(name, value) {
			return fmt.Errorf("locale: %.40q=%.80q is none: want LANG or LC_…, and at most %d letters, digits and -+._@", name, value, maxLocale)
		}
	}
	if r.TTY != nil {
		return r.TTY.Validate()
	}
	return nil
}

// Summary is the request in words.
func (r ShellRequest) Summary() string {
	if r.TTY != nil {
		return "tty"
	}
	return ""
}

// ShellHandler returns the handler of [Shell]; nil for a nil service, on the side that only asks.
func ShellHandler(s *Service) func(context.Context, streams.Peer, ShellRequest, <-chan Input, func(Output) error) (Output, error) {
	if s == nil {
		return nil
	}
	return s.handleShell
}

// handleShell runs one shell to its end.
func (s *Service) handleShell(
	ctx context.Context, p streams.Peer, req ShellRequest, inputs <-chan Input, send func(Output) error,
) (Output, error) {
	name, _, _ := s.cfg.Shell() // it is asked again for whether it is allowed
	x := session{
		input: req.Input,
		allowed: func() (int, error) {
			now, most, err := s.cfg.Shell()
			if err == nil && now != name {
				err = errors.New("the owner has shells run as another user now")
			}
			return most, err
		},
		start: func() (*command, error) { return s.login(name, req) },
	}
	exit, err := s.serve(ctx, p, x, inputs, send)
	if exit != nil && s.cfg.ShellEnded != nil {
		s.cfg.ShellEnded(p.ID, name, req, *exit)
	}
	return Output{Exit: exit}, err
}

// login starts the login shell of a user; no name is the worker's own.
func (s *Service) login(name string, req ShellRequest) (*command, error) {
	if runtime.GOOS == "windows" {
		return nil, streams.Errorf(streams.CodeUnsupported, "workers on Windows open no shells: have a command run")
	}
	a, err := accountOf(name)
	if err != nil {
		return nil, err
	}
	env := environment(s.cfg.Environ, req.TTY, req.Locale)
	if home := variable(env, "HOME"); a.other == nil && filepath.IsAbs(home) {
		a.home = home // as commands have it
	}
	if a.other != nil { // with another user's variables it would read that one's files
		env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "PATH=") })
		env = append(env, "PATH="+defaultPath)
	}
	own := map[string]string{"HOME": a.home, "USER": a.name, "LOGNAME": a.name, "SHELL": a.shell}
	env = slices.DeleteFunc(env, func(kv string) bool { name, _, _ := strings.Cut(kv, "="); _, ok := own[name]; return ok })
	for _, name := range slices.Sorted(maps.Keys(own)) {
		env = append(env, name+"="+own[name])
	}
	dir := a.home
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || !filepath.IsAbs(dir) {
		dir = "/"
	}
	c, err := s.launch(driver.Spec{
		Argv: []string{a.shell}, Name: "-" + filepath.Base(a.shell), User: a.other, Dir: dir, Env: env, OnlyEnv: true,
		Mark: filepath.Join(s.cfg.Dir, rand.Text()), Limits: s.cfg.Limits(),
	}, req.TTY)
	switch {
	case errors.Is(err, driver.ErrSpec):
		return nil, streams.Errorf(streams.CodeUnsupported, "that machine runs no shells of other users: %v", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, streams.Errorf(streams.CodeRefused, "user %s may not execute the shell %s, or not enter %s", a.name, a.shell, dir)
	case err != nil:
		return nil, StartError(a.shell, err)
	}
	return c, nil
}

// account is a user of this machine.
type account struct {
	name, home, shell string
	other             *driver.User // nil: it is the one that we run as
}

// accountOf looks a user up; no name is the one that we run as.
func accountOf(name string) (a account, err error) {
	self, err := user.Current()
	if err != nil {
		return a, streams.Errorf(streams.CodeUnavailable, "the worker's user is not known to its machine: %v", err)
	}
	u := self
	if name != "" && name != self.Username {
		if u, err = user.Lookup(name); err != nil {
			return a, streams.Errorf(streams.CodeRefused, "there is no user %.80q there, for whom the owner allows shells (policy.json: shell.user)", name)
		}
	}
	a = account{name: u.Username, home: u.HomeDir, shell: shellOf(u.Username)}
	if a.shell == "" && u.Uid == self.Uid {
		a.shell = os.Getenv("SHELL") // where users are not kept in that file
	}
	a.shell = cmp.Or(a.shell, "/bin/sh")
	switch filepath.Base(a.shell) {
	case "nologin", "false":
		return a, streams.Errorf(streams.CodeRefused, "user %s has no login shell there, but %s; the owner names another user (policy.json: shell.user)",
			a.name, a.shell)
	}
	if u.Uid == self.Uid {
		return a, nil
	}
	if os.Geteuid() != 0 {
		return a, streams.Errorf(streams.CodeRefused,
			"the owner allows shells of user %s only, and the worker is not root there, so that it cannot open one (policy.json: shell.user)", a.name)
	}
	a.other, err = numbers(u)
	return a, err
}

// numbers are those of a user.
func numbers(u *user.User) (*driver.User, error) {
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", u.Username, err)
	}
	var n driver.User
	for i, text := range append([]string{u.Uid, u.Gid}, groups...) {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("number of user %s: %w", u.Username, err)
		}
		switch i {
		case 0:
			n.UID = uint32(id)
		case 1:
			n.GID = uint32(id)
		default:
			n.Groups = append(n.Groups, uint32(id))
		}
	}
	return &n, nil
}

// maxUsers is the largest file of users that is read, in bytes.
const maxUsers = 4 << 20

// shellOf is the login shell of a user in /etc/passwd; empty where it is not there.
func shellOf(name string) string {
	text, err := durable.ReadLinked("/etc/passwd", maxUsers)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) == 7 && fields[0] == name {
			return cmp.Or(fields[6], "/bin/sh")
		}
	}
	return ""
}
