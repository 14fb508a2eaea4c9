// Package service puts a node of this machine under the care of systemd, and takes it away again:
//
//	m := service.System()
//	plan, err := m.Install(service.Options{Role: service.Worker})
//	err = plan.Run(ctx, tell)
//
// A worker and a relay run as a user of their own, which is made for them, with their state in
// /var/lib/swarm. A controller runs as the person who commands by it. What an installation makes it
// can take back: [Machine.Uninstall] leaves nothing.
//
// It also knows whose a state directory is, and runs this program as that user ([Owner]).
package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Role is what a service runs.
type Role string

// The roles.
const (
	Worker     Role = "worker"
	Relay      Role = "relay"
	Controller Role = "controller"
)

// Roles are all of them.
func Roles() []Role { return []Role{Worker, Relay, Controller} }

const (
	// StateRoot holds the state directories of the nodes of a machine.
	StateRoot = "/var/lib/swarm"

	account  = "swarm"         // the user and the group of workers and relays
	comment  = "swarm service" // of the account: one that bears it is ours to remove
	unitDir  = "/etc/systemd/system"
	program  = "/usr/local/bin/swarm" // where a copy of this program goes
	isBooted = "/run/systemd/system"  // is there where systemd runs the machine
)

// ErrNoSystemd says that this machine is run by something else.
var ErrNoSystemd = errors.New("this machine is not run by systemd")

// ErrNone says that no service of this program is installed here.
var ErrNone = errors.New("no service of swarm is installed on this machine")

// StateDir is where the service of a role keeps its state, unless it is a person's.
func StateDir(r Role) string { return filepath.Join(StateRoot, string(r)) }

// Unit is the name of the service.
func (r Role) Unit() string { return "swarm-" + string(r) }

// Machine is where services are installed.
type Machine struct {
	root    string // before each path; empty but in tests
	program string // the file of this program
	command func(ctx context.Context, name string, args ...string) (string, error)
	lookup  func(name string) (*user.User, error)
	owns    func(dir string) (Owner, error)
}

// System is this machine.
func System() (*Machine, error) {
	file, err := os.Executable()
	if err == nil {
		file, err = filepath.EvalSymlinks(file)
	}
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	return &Machine{program: file, command: command, lookup: user.Lookup, owns: OwnerOf}, nil
}

// command runs a program of the system, and returns what it printed. Its complaint is in the error.
func command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), err
}

func (m *Machine) path(p string) string { return m.root + p }

func (m *Machine) exists(p string) bool {
	_, err := os.Lstat(m.path(p))
	return err == nil
}

// Check returns ErrNoSystemd where no service can be installed.
func (m *Machine) Check() error {
	if !m.exists(isBooted) {
		return ErrNoSystemd
	}
	return nil
}

// Installed are the roles that have a service here.
func (m *Machine) Installed() []Role {
	return slices.DeleteFunc(Roles(), func(r Role) bool { return !m.exists(unitPath(r)) })
}

func unitPath(r Role) string { return filepath.Join(unitDir, r.Unit()+".service") }

// Step is one change to the machine.
type Step struct {
	Text string // what is done, for the person
	do   func(ctx context.Context) error
	undo func(ctx context.Context) error // nil where nothing is made
}

// Plan is what an installation or a removal does, in order. Between the two halves of an
// installation a node can join its fleet: its user, program and directory are there by then, and it
// does not run yet.
type Plan struct {
	First, Then []Step
	// Program is what the service runs, and State its state directory.
	Program, State string
	User           string
	Unit           string // the text of its file
	// Ended is called when the service of a worker that is taken away has ended, with its state directory;
	// nil is allowed.
	Ended func(state string) error
}

// Steps are all of them.
func (p *Plan) Steps() []Step { return slices.Concat(p.First, p.Then) }

// Run does what is planned, and tells of each step that is done. Between is called between the
// halves. After an error what was made is taken back.
func (p *Plan) Run(ctx context.Context, between func() error, tell func(text string)) (err error) {
	var undo []func(context.Context) error
	defer func() {
		if err == nil {
			return
		}
		back := context.WithoutCancel(ctx)
		for _, u := range slices.Backward(undo) {
			err = errors.Join(err, u(back))
		}
	}()
	run := func(steps []Step) error {
		for _, s := range steps {
			if s.undo != nil {
				undo = append(undo, s.undo) // also of a step that fails half-way
			}
			if err := s.do(ctx); err != nil {
				return err
			}
			tell(s.Text)
		}
		return nil
	}
	if err := run(p.First); err != nil {
		return err
	}
	if between != nil {
		if err := between(); err != nil {
			return err
		}
	}
	return run(p.Then)
}

// Restart ends the service of a role and starts it again.
func (m *Machine) Restart(ctx context.Context, r Role) error {
	return m.start(ctx, "restart", r)
}

// start starts a service and waits until others can reach it; of one that does not start the last
// lines of its log are in the error.
func (m *Machine) start(ctx context.Context, verb string, r Role) error {
	_, err := m.command(ctx, "systemctl", verb, r.Unit())
	if err == nil {
		return nil
	}
	lines, _ := m.command(ctx, "journalctl", "--unit", r.Unit(), "--lines", "5", "--output", "cat", "--no-pager")
	return fmt.Errorf("%s did not start; its log ends in\n%s", r.Unit(), strings.TrimRight(lines, "\n"))
}

// Status is how it stands with a service.
type Status struct {
	Role    Role       `json:"role"`
	Unit    string     `json:"unit"`
	Active  string     `json:"state"` // systemd's word: active, inactive, failed, …
	Sub     string     `json:"-"`
	Boot    string     `json:"atBoot"` // systemd's word: enabled, disabled, …
	User    string     `json:"user"`
	PID     int        `json:"pid,omitzero"`
	Since   *time.Time `json:"since"` // nil for one that never ran
	Restart int        `json:"restarts"`
	State   string     `json:"dir"`
}

// Status asks systemd about the service of a role.
func (m *Machine) Status(ctx context.Context, r Role) (Status, error) {
	out, err := m.command(ctx, "systemctl", "show", r.Unit(), "--timestamp=utc", "--property",
		"ActiveState,SubState,UnitFileState,MainPID,User,NRestarts,ActiveEnterTimestamp,Environment")
	if err != nil {
		return Status{}, err
	}
	v := make(map[string]string)
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		v[key] = value
	}
	s := Status{
		Role: r, Unit: r.Unit(), Active: v["ActiveState"], Sub: v["SubState"], Boot: v["UnitFileState"], User: v["User"],
		PID: atoi(v["MainPID"]), Restart: atoi(v["NRestarts"]), State: StateDir(r),
	}
	if since, err := time.Parse("Mon 2006-01-02 15:04:05 MST", v["ActiveEnterTimestamp"]); err == nil {
		s.Since = &since
	}
	for word := range strings.FieldsSeq(v["Environment"]) {
		if dir, ok := strings.CutPrefix(word, "SWARM_STATE="); ok {
			s.State = dir
		}
	}
	return s, nil
}

// Runs reports whether the service is there for others.
func (s Status) Runs() bool { return s.Active == "active" }

func atoi(s string) (n int) {
	fmt.Sscan(s, &n)
	return n
}
