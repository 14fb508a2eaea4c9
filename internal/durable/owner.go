package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrUnsafe says that somebody else could have written a file or a directory that
// decides something here. Its owner has to look at it, and then to correct whom
// it belongs to or its mode.
var ErrUnsafe = errors.New("unsafe")

// ReadFile reads a regular file of most bytes at most, which is no link, and which
// nobody else could have written: it belongs to the user we run as, or to root, and
// neither its group nor others may write it. Else the error matches [ErrUnsafe], and
// says what to do.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f, path, most, 0)
}

// ReadLinked is ReadFile for a file that a person may have put a link or a pipe in
// place of: what is there in the end is looked at. Of the null device nothing is read.
func ReadLinked(path string, most int64) ([]byte, error) {
	if path == os.DevNull {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f, path, most, fs.ModeNamedPipe)
}

// read reads a file of the regular kind, or of another that is let through.
func read(f *os.File, path string, most int64, also fs.FileMode) ([]byte, error) {
	info, err := f.Stat() // of what is open now, not of what had the name a moment ago
	if err != nil {
		return nil, err
	}
	if info.Mode().Type()&^also != 0 {
		return nil, CheckKind(path, info)
	}
	if err := CheckOwner(path, info); err != nil {
		return nil, err
	}
	return ReadAll(f, path, most)
}

// ReadAll reads all of r, which is called name in errors. More than most bytes are an error.
func ReadAll(r io.Reader, name string, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return data, err
}

// CheckDir refuses a directory into which somebody else than its owner, who is the
// user we run as or root, could put files. The error matches [ErrUnsafe].
func CheckDir(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is no directory", ErrUnsafe, path)
	}
	return CheckOwner(path, info)
}

// CheckOwner says why somebody else could have written what info is about, and
// what to do. On Windows, where the access list of the user's profile keeps files
// private and mode bits say nothing, it finds nothing.
func CheckOwner(path string, info fs.FileInfo) error {
	if why := foreign(path, info); why != "" {
		return fmt.Errorf("%w: %s %s", ErrUnsafe, path, why)
	}
	return nil
}
