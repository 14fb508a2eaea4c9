//go:build linux || darwin

package run

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// editsUTF8 says whether what is typed at a terminal is UTF-8, so that the line that it edits loses whole
// characters.
func editsUTF8(tty *os.File, yes bool) error {
	if !yes {
		return nil
	}
	return control(tty, func(fd int) error {
		modes, err := unix.IoctlGetTermios(fd, getModes)
		if err != nil {
			return err
		}
		modes.Iflag |= unix.IUTF8
		return unix.IoctlSetTermios(fd, setModes, modes)
	})
}

// holds has the programs of a terminal wait before they print more, or go on.
func holds(tty *os.File, yes bool) error {
	return control(tty, func(fd int) error { return stopOutput(fd, yes) })
}

// setSize gives a terminal another size.
func setSize(f *os.File, s Size) error {
	return control(f, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(s.Rows), Col: uint16(s.Cols)})
	})
}

// control does something with a file that package os does not.
func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var fault error
	err = raw.Control(func(fd uintptr) { fault = do(int(fd)) })
	return errors.Join(err, fault)
}

// pollable returns a file in place of one that waits in the system, where no deadline reaches it: package pty
// leaves that of a terminal so. The other one is closed.
func pollable(f *os.File) (*os.File, error) {
	defer f.Close()
	fd := -1
	err := control(f, func(old int) (err error) {
		if fd, err = unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			err = unix.SetNonblock(fd, true)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
