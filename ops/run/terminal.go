package run

import (
	"errors"

	"github.com/creack/pty"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/streams"
)

// open makes the terminal of a command, with its size, before anything can ask for that.
func (c *command) open(t TTY, spec driver.Spec) (err error) {
	c.stdin, c.tty, err = pty.Open()
	switch {
	case errors.Is(err, pty.ErrUnsupported):
		return streams.Errorf(streams.CodeUnsupported, "workers on that system have no terminals: run it without one")
	case err != nil:
		return streams.Errorf(streams.CodeUnavailable, "that machine has no terminal to give: %v", err)
	}
	if c.stdin, err = pollable(c.stdin); err != nil {
		return err
	}
	c.stdout = c.stdin
	if err := c.resize(t.Size()); err != nil {
		return err
	}
	if u := spec.User; u != nil { // else that user's programs cannot open it by its name
		if err := c.tty.Chown(int(u.UID), -1); err != nil {
			return err
		}
	}
	return editsUTF8(c.tty, inUTF8(spec.Env))
}

// resize gives the terminal another size, of which its programs are told.
func (c *command) resize(s Size) error {
	if c.tty == nil {
		return streams.Errorf(streams.CodeInvalid, "size: the command has no terminal")
	}
	return setSize(c.stdin, s)
}
