package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Options say what is installed.
type Options struct {
	Role Role
	// Args are the flags of the command that the service runs.
	Args []string
	// From is a state directory of that role, of a person, which becomes the service's. Empty for
	// a new one, or the one that is there.
	From string
	// User runs a controller, with the state directory State. Workers and relays have their own.
	User, State string
}

const maxProgram = 1 << 30 // bytes of this program

// Install plans what is missing for a service.
func (m *Machine) Install(o Options) (*Plan, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	p := &Plan{Program: m.program, State: StateDir(o.Role), User: account}
	if o.Role == Controller {
		p.User, p.State = o.User, o.State
	}
	copied := m.copies()
	if !inSystem(m.program) {
		p.Program, copied = program, true
		p.First = append(p.First, m.copyProgram())
	}
	if o.Role != Controller {
		p.First = append(p.First, m.makeUser()...)
		p.First = append(p.First, m.makeState(o, p.State))
	}
	p.Unit = unitText(o.Role, p, o.Args, copied)
	p.Then = append(p.Then, m.writeUnit(o.Role, p.Unit), m.startUnit(o.Role))
	return p, nil
}

// inSystem reports whether a program is where every user may run it, and where it stays.
func inSystem(file string) bool {
	for _, dir := range []string{"/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin", "/bin", "/opt"} {
		if rest, ok := strings.CutPrefix(file, dir); ok && strings.HasPrefix(rest, "/") {
			return true
		}
	}
	return false
}

func (m *Machine) copyProgram() Step {
	there := m.exists(program)
	s := Step{Text: "copied this program to " + program, do: func(context.Context) error {
		if err := os.MkdirAll(filepath.Dir(m.path(program)), 0o755); err != nil {
			return err
		}
		f, err := durable.Open(m.program)
		if err != nil {
			return err
		}
		defer f.Close()
		text, err := durable.ReadAll(f, m.program, maxProgram)
		if err != nil {
			return err
		}
		return durable.WriteFile(m.path(program), text, 0o755)
	}}
	if !there {
		s.undo = func(context.Context) error { return m.remove(program) }
	}
	return s
}

// makeUser makes the account of workers and relays, if it is missing.
func (m *Machine) makeUser() []Step {
	if _, err := m.lookup(account); err == nil {
		return nil
	}
	return []Step{{
		Text: "made the user " + account,
		do: func(ctx context.Context) error {
			line := fmt.Sprintf("u %s - %q %s", account, comment, StateRoot)
			_, err := m.command(ctx, "systemd-sysusers", "--inline", line)
			if err != nil {
				_, err2 := m.command(ctx, "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", StateRoot,
					"--shell", "/usr/sbin/nologin", "--comment", comment, account)
				if err2 != nil {
					return fmt.Errorf("make the user %s: %w", account, errors.Join(err, err2))
				}
			}
			return nil
		},
		undo: m.removeUser,
	}}
}

func (m *Machine) makeState(o Options, dir string) Step {
	had := m.exists(StateRoot)
	s := Step{Text: fmt.Sprintf("made %s, which is the user %s's alone", dir, account)}
	switch {
	case o.From != "":
		s.Text = fmt.Sprintf("moved %s to %s, which is the user %s's alone", o.From, dir, account)
	case m.exists(dir):
		s.Text = fmt.Sprintf("gave %s to the user %s alone", dir, account)
	}
	if !m.exists(dir) && o.From == "" {
		s.undo = func(context.Context) error {
			err := os.RemoveAll(m.path(dir))
			if !had {
				err = errors.Join(err, m.remove(StateRoot))
			}
			return err
		}
	}
	s.do = func(ctx context.Context) error {
		if err := os.MkdirAll(m.path(StateRoot), 0o755); err != nil {
			return err
		}
		if o.From != "" {
			if _, err := m.command(ctx, "mv", "-T", o.From, m.path(dir)); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(m.path(dir), 0o700); err != nil {
			return err
		}
		_, err := m.command(ctx, "chown", "--recursive", "--no-dereference", account+":"+account, m.path(dir))
		return err
	}
	return s
}

func (m *Machine) writeUnit(r Role, text string) Step {
	return Step{
		Text: "wrote " + unitPath(r),
		do: func(ctx context.Context) error {
			if err := durable.WriteFile(m.path(unitPath(r)), []byte(text), 0o644); err != nil {
				return err
			}
			_, err := m.command(ctx, "systemctl", "daemon-reload")
			return err
		},
		undo: func(ctx context.Context) error { return m.removeUnit(ctx, r) },
	}
}

func (m *Machine) startUnit(r Role) Step {
	return Step{
		Text: fmt.Sprintf("started %s, now and whenever the machine starts", r.Unit()),
		do: func(ctx context.Context) error {
			if _, err := m.command(ctx, "systemctl", "enable", r.Unit()); err != nil {
				return err
			}
			return m.start(ctx, "restart", r)
		},
	}
}

// Uninstall plans to take the service of a role away, with all that its installation made. Keep
// leaves its state directory. A controller's state is a person's, and stays in any case.
func (m *Machine) Uninstall(r Role, keep bool) (*Plan, error) {
	if !m.exists(unitPath(r)) {
		return nil, fmt.Errorf("%w: %s", ErrNone, r.Unit())
	}
	p := &Plan{State: StateDir(r)}
	copied, last := m.copies(), len(m.Installed()) == 1
	p.Then = append(p.Then, Step{
		Text: fmt.Sprintf("ended %s, and removed %s", r.Unit(), unitPath(r)),
		do: func(ctx context.Context) error {
			err := m.removeUnit(ctx, r)
			if r == Worker && p.Ended != nil {
				err = errors.Join(err, p.Ended(p.State))
			}
			return err
		},
	})
	if r != Controller && !keep {
		p.Then = append(p.Then, m.removeState(r))
	}
	if u, err := m.lookup(account); last && !keep && err == nil && u.Name == comment && !m.stateOfOthers(r) {
		p.Then = append(p.Then, Step{Text: "removed the user " + account, do: m.removeUser})
	}
	if last && copied {
		p.Then = append(p.Then, Step{
			Text: "removed " + program, do: func(context.Context) error { return m.remove(program) },
		})
	}
	return p, nil
}

func (m *Machine) removeState(r Role) Step {
	dir := StateDir(r)
	return Step{Text: "removed " + dir, do: func(context.Context) error {
		if err := os.RemoveAll(m.path(dir)); err != nil {
			return err
		}
		err := os.Remove(m.path(StateRoot)) // where nothing else is in it
		if errors.Is(err, fs.ErrNotExist) || m.exists(StateRoot) {
			return nil
		}
		return err
	}}
}

// stateOfOthers reports whether a node of another role has something left here.
func (m *Machine) stateOfOthers(r Role) bool {
	for _, other := range []Role{Worker, Relay} {
		if other != r && m.exists(StateDir(other)) {
			return true
		}
	}
	return false
}

func (m *Machine) removeUnit(ctx context.Context, r Role) error {
	var errs []error
	if m.exists(unitPath(r)) {
		if r == Worker { // as Ctrl-C does: its workloads end with it; an error says that it does not run
			m.command(ctx, "systemctl", "kill", "--kill-who=main", "--signal=SIGINT", r.Unit())
		}
		_, err := m.command(ctx, "systemctl", "disable", "--now", r.Unit())
		errs = append(errs, err)
	}
	errs = append(errs, m.remove(unitPath(r)), os.RemoveAll(m.path(unitPath(r)+".d")))
	_, err := m.command(ctx, "systemctl", "daemon-reload")
	errs = append(errs, err)
	m.command(ctx, "systemctl", "reset-failed", r.Unit()) // an error says that it has not failed
	return errors.Join(errs...)
}

// removeUser removes the account that makeUser has made.
func (m *Machine) removeUser(ctx context.Context) error {
	if _, err := m.lookup(account); err != nil {
		return nil
	}
	if _, err := m.command(ctx, "userdel", account); err != nil {
		return err
	}
	m.command(ctx, "groupdel", account) // where userdel has left it
	return nil
}

func (m *Machine) remove(p string) error {
	err := os.Remove(m.path(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
