package durable

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Open opens a regular file for reading. What is no regular file, also a link to one,
// is refused with [ErrUnsafe] and neither waited for nor followed: who runs as the
// same user can put a pipe in place of a file, and its reader would wait for ever.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY, 0) }

// OpenFile is Open with the flags and permissions of [os.OpenFile].
func OpenFile(path string, flag int, perm fs.FileMode) (*os.File, error) {
	return openRegular(path, path, flag, perm, os.Lstat, os.OpenFile)
}

// OpenIn is Open for a file below a root.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	return OpenFileIn(root, name, os.O_RDONLY, 0)
}

// OpenFileIn is OpenFile below a root.
func OpenFileIn(root *os.Root, name string, flag int, perm fs.FileMode) (*os.File, error) {
	name = filepath.FromSlash(name)
	// A root follows links by itself, and none out of it.
	return openRegular(filepath.Join(root.Name(), name), name, flag, perm, root.Lstat, root.OpenFile)
}

// openRegular looks at what is there before it opens it, since a device may act on
// that alone, and at what was opened.
func openRegular(
	path, name string, flag int, perm fs.FileMode,
	look func(string) (fs.FileInfo, error), open func(string, int, fs.FileMode) (*os.File, error),
) (*os.File, error) {
	if info, err := look(name); err == nil {
		if err := CheckKind(path, info); err != nil {
			return nil, err
		}
	}
	f, err := open(name, flag|openPlain, perm)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = CheckKind(path, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// CheckKind refuses what is no regular file with [ErrUnsafe], and says what it is and
// what to do.
func CheckKind(path string, info fs.FileInfo) error {
	mode := info.Mode()
	if mode.IsRegular() {
		return nil
	}
	kind := "no regular file"
	switch {
	case mode&fs.ModeSymlink != 0:
		kind = "a symbolic link"
	case mode.IsDir():
		kind = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	}
	return fmt.Errorf("%w: %s is %s: put the file itself there, or move away what is there", ErrUnsafe, path, kind)
}
