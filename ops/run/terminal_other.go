//go:build !linux && !darwin

package run

import (
	"errors"
	"os"

	"github.com/creack/pty"
)

// editsUTF8 is not for this system.
func editsUTF8(*os.File, bool) error { return nil }

// holds is not for this system.
func holds(*os.File, bool) error { return errors.ErrUnsupported }

// pollable is not for this system.
func pollable(f *os.File) (*os.File, error) { return f, nil }

// setSize gives a terminal another size.
func setSize(f *os.File, s Size) error {
	return pty.Setsize(f, &pty.Winsize{Rows: uint16(s.Rows), Cols: uint16(s.Cols)})
}
