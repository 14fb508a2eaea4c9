package wasm

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/tetratelabs/wazero/experimental/sys"
	types "github.com/tetratelabs/wazero/sys"
)

// rooted is a directory that a module does not get out of. That of the library follows symbolic links, also
// such as the module has made, and "..". Here root, which does not, says of each path where it leads, before
// it is used: nobody but the module itself, which does one thing at a time, changes that in between; who else
// may write there has all rights of this process anyhow.
type rooted struct {
	sys.FS
	root *os.Root
}

// inside returns why a path may not be used, links at its end followed.
func (r rooted) inside(name string) sys.Errno { return judged(r.root.Stat(local(name))) }

// beside is the same for what does not follow a link at its end.
func (r rooted) beside(name string) sys.Errno { return judged(r.root.Lstat(local(name))) }

func local(name string) string {
	if name == "" {
		return "."
	}
	return filepath.FromSlash(name)
}

func judged(_ fs.FileInfo, err error) sys.Errno {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if errno := sys.UnwrapOSError(err); errno != sys.EIO {
		return errno
	}
	return sys.EPERM // it leads out, which is no error of the system
}

func (r rooted) OpenFile(name string, flag sys.Oflag, perm fs.FileMode) (sys.File, sys.Errno) {
	check := r.inside
	if flag&sys.O_NOFOLLOW != 0 {
		check = r.beside
	}
	if errno := check(name); errno != 0 {
		return nil, errno
	}
	return r.FS.OpenFile(name, flag, perm&0o777)
}

func (r rooted) Lstat(name string) (types.Stat_t, sys.Errno) {
	if errno := r.beside(name); errno != 0 {
		return types.Stat_t{}, errno
	}
	return r.FS.Lstat(name)
}

func (r rooted) Stat(name string) (types.Stat_t, sys.Errno) {
	if errno := r.inside(name); errno != 0 {
		return types.Stat_t{}, errno
	}
	return r.FS.Stat(name)
}

func (r rooted) Mkdir(name string, perm fs.FileMode) sys.Errno {
	if errno := r.beside(name); errno != 0 {
		return errno
	}
	return r.FS.Mkdir(name, perm&0o777)
}

func (r rooted) Chmod(name string, perm fs.FileMode) sys.Errno {
	if errno := r.inside(name); errno != 0 {
		return errno
	}
	return r.FS.Chmod(name, perm&0o777)
}

func (r rooted) Rename(from, to string) sys.Errno {
	if errno := max(r.beside(from), r.beside(to)); errno != 0 {
		return errno
	}
	return r.FS.Rename(from, to)
}

func (r rooted) Rmdir(name string) sys.Errno {
	if errno := r.beside(name); errno != 0 {
		return errno
	}
	return r.FS.Rmdir(name)
}

func (r rooted) Unlink(name string) sys.Errno {
	if errno := r.beside(name); errno != 0 {
		return errno
	}
	return r.FS.Unlink(name)
}

func (r rooted) Link(old, link string) sys.Errno {
	if errno := max(r.beside(old), r.beside(link)); errno != 0 {
		return errno
	}
	return r.FS.Link(old, link)
}

// Symlink makes links that lead to something inside, so that they lead nobody else out either.
func (r rooted) Symlink(old, link string) sys.Errno {
	if path.IsAbs(old) || !filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(link), old))) {
		return sys.EPERM
	}
	if errno := r.beside(link); errno != 0 {
		return errno
	}
	return r.FS.Symlink(old, link)
}

func (r rooted) Readlink(name string) (string, sys.Errno) {
	if errno := r.beside(name); errno != 0 {
		return "", errno
	}
	return r.FS.Readlink(name)
}

func (r rooted) Utimens(name string, atim, mtim int64) sys.Errno {
	if errno := r.inside(name); errno != 0 {
		return errno
	}
	return r.FS.Utimens(name, atim, mtim)
}
