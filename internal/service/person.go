package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"

	"github.com/seed-b490fa12/swarm/internal/running"
)

// Person is who asked for an installation: the user who became root by sudo, or root.
type Person struct{ Name, Home string }

// Asker is the person who runs this command.
func (m *Machine) Asker() (Person, error) {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		u, err := user.Current()
		if err != nil {
			return Person{}, err
		}
		name = u.Username
	}
	u, err := m.lookup(name)
	if err != nil {
		return Person{}, err
	}
	return Person{u.Username, u.HomeDir}, nil
}

// State is where nodes of the person keep their state, unless told otherwise.
func (p Person) State(r Role) string {
	if p.Name == "root" {
		return StateDir(r)
	}
	return filepath.Join(p.Home, ".local", "state", "swarm", string(r))
}

// holdsNode reports whether there is a node in a state directory.
func holdsNode(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "identity.pem"))
	return err == nil
}

// ErrHasNode says that the person who installs a service has a node of its role already.
var ErrHasNode = errors.New("has one already")

// For settles by whom a service of options o is asked for: a controller runs as that person, and a
// worker or relay that the person has run is not silently left behind for a new one, unless fresh.
func (m *Machine) For(p Person, o Options, fresh bool) (Options, error) {
	dir := p.State(o.Role)
	if o.Role == Controller {
		o.User, o.State = p.Name, dir
		if !holdsNode(dir) {
			return o, fmt.Errorf("%s has no controller yet in %s: %w", p.Name, dir, fs.ErrNotExist)
		}
		return o, nil
	}
	there := m.path(StateDir(o.Role))
	switch {
	case o.From == "" && !fresh && dir != StateDir(o.Role) && holdsNode(dir) && !holdsNode(there):
		return o, fmt.Errorf("%s %w, in %s", p.Name, ErrHasNode, dir)
	case o.From == "":
		return o, nil
	case !holdsNode(o.From):
		return o, fmt.Errorf("there is no node in %s", o.From)
	case holdsNode(there):
		return o, fmt.Errorf("there is a node in %s already", there)
	}
	if at, runs := running.Look(o.From); runs {
		return o, &running.Already{Dir: o.From, Process: at}
	}
	return o, nil
}
