package cp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/streams"
)

// tree is a directory and what is below it. Directories on the way down are held open, and links are
// never followed: so a name that is made to mean something else meanwhile leads nowhere.
type tree struct {
	way    []*dir        // the top one, and those down to the one used last
	closed []fs.FileInfo // directories that are not entered
}

// dir is an open directory. It is closed when nobody uses it any more.
type dir struct {
	name    string // in the one above
	root    *os.Root
	users   atomic.Int32
	written atomic.Bool // a name in it has changed
}

// newTree takes over top.
func newTree(top *os.Root, closed []fs.FileInfo) *tree {
	return &tree{way: []*dir{newDir("", top)}, closed: closed}
}

func newDir(name string, r *os.Root) *dir {
	d := &dir{name: name, root: r}
	d.users.Store(1)
	return d
}

func (d *dir) use() *dir {
	d.users.Add(1)
	return d
}

// release closes the directory after its last user, and makes the names in it lasting.
func (d *dir) release() error {
	if d.users.Add(-1) > 0 {
		return nil
	}
	var err error
	if d.written.Load() {
		err = d.sync()
	}
	return errors.Join(err, d.root.Close())
}

// close ends the use of what is open.
func (t *tree) close() error { return t.leave(0) }

// leave keeps the first directories of the way open.
func (t *tree) leave(most int) (err error) {
	for _, d := range slices.Backward(t.way[most:]) {
		err = errors.Join(err, d.release())
	}
	t.way = t.way[:most]
	return err
}

// dir opens a directory below the top one, which "." is. It must be released.
func (t *tree) dir(p string) (*dir, error) {
	var parts []string
	if p != "." {
		parts = strings.Split(p, "/")
	}
	n := 0
	for n < len(parts) && n+1 < len(t.way) && t.way[n+1].name == parts[n] {
		n++
	}
	if err := t.leave(n + 1); err != nil {
		return nil, err
	}
	for i := n; i < len(parts); i++ {
		next, err := t.down(t.way[i], parts[i])
		if err != nil {
			return nil, err
		}
		t.way = append(t.way, next)
	}
	return t.way[len(parts)].use(), nil
}

// parent opens the directory that something is in, and returns its name there.
func (t *tree) parent(p string) (*dir, string, error) {
	d, err := t.dir(path.Dir(p))
	return d, path.Base(p), err
}

// down opens a directory in another one, which is no link, and not closed.
func (t *tree) down(d *dir, name string) (*dir, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, inTheWay(d, name, info)
	}
	if t.isClosed(info) {
		return nil, errClosed
	}
	sub, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	now, err := sub.Stat(".")
	if err == nil && !os.SameFile(info, now) {
		err = streams.Errorf(streams.CodeConflict, "%s was replaced meanwhile", filepath.Join(d.root.Name(), name))
	}
	if err != nil {
		return nil, errors.Join(err, sub.Close())
	}
	return newDir(name, sub), nil
}

// errClosed is the answer to what would enter the machine's own state.
var errClosed = streams.Errorf(streams.CodeRefused, "that is the state of the machine's own worker, which is not copied from or to")

func (t *tree) isClosed(info fs.FileInfo) bool {
	return slices.ContainsFunc(t.closed, func(c fs.FileInfo) bool { return os.SameFile(c, info) })
}

// inTheWay says that something is not what is wanted, and is left as it is.
func inTheWay(d *dir, name string, info fs.FileInfo) error {
	kind := "a file"
	switch mode := info.Mode(); {
	case mode.IsDir():
		kind = "a directory"
	case mode&fs.ModeSymlink != 0:
		kind = "a symbolic link, which is not followed"
	case !mode.IsRegular():
		kind = "a device, pipe or socket"
	}
	return streams.Errorf(streams.CodeConflict, "%s is %s: move it away, or copy to another place", filepath.Join(d.root.Name(), name), kind)
}

// open opens a regular file for reading.
func (d *dir) open(name string) (*os.File, fs.FileInfo, error) { return d.openFile(name, os.O_RDONLY) }

// openFile opens a regular file that is there, and is no link.
func (d *dir) openFile(name string, flag int) (*os.File, fs.FileInfo, error) {
	f, err := durable.OpenFileIn(d.root, name, flag, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = d.has(name, info)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// has returns an error when a name does not stand for this file any more.
func (d *dir) has(name string, info fs.FileInfo) error {
	now, err := d.root.Lstat(name)
	if err == nil && !os.SameFile(now, info) {
		err = streams.Errorf(streams.CodeConflict, "%s was replaced meanwhile", filepath.Join(d.root.Name(), name))
	}
	return err
}

// self opens the directory itself, for what is done to it as a file.
func (d *dir) self() (*os.File, error) { return d.root.Open(".") }

// entryOf describes what is at a path.
func entryOf(p string, info fs.FileInfo) Entry {
	e := Entry{Path: p, Kind: KindFile, Size: info.Size(), Mode: int64(info.Mode().Perm()), MTime: info.ModTime().UnixMilli()}
	if info.IsDir() {
		e.Kind, e.Size = KindDir, 0
	}
	return e
}

// readAtOnce is how many names of a directory are read at a time.
const readAtOnce = 256

// list reports what is below the top directory, each directory before what is in it, and returns what it
// leaves out.
func (t *tree) list(ctx context.Context, emit func(Entry) error) (Left, error) {
	w := &walk{tree: t, emit: emit}
	err := w.below(ctx, t.way[0], ".", 1)
	return w.left, err
}

// walk goes through a tree.
type walk struct {
	*tree
	emit func(Entry) error
	left Left
}

// below reports what is in a directory, and then in those in it.
func (w *walk) below(ctx context.Context, d *dir, at string, depth int) error {
	f, err := d.self()
	if err != nil {
		w.left.Unreadable++
		return nil
	}
	var dirs []string
	for err == nil {
		var names []string
		if names, err = f.Readdirnames(readAtOnce); err != nil && err != io.EOF {
			w.left.Unreadable++
		}
		for _, name := range names {
			isDir, fault := w.entry(d, path.Join(at, name), name, depth)
			if fault = cmp.Or(fault, context.Cause(ctx)); fault != nil {
				return errors.Join(fault, f.Close())
			}
			if isDir {
				dirs = append(dirs, name)
			}
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, name := range dirs {
		sub, err := w.down(d, name)
		if err != nil {
			w.left.Unreadable++
			continue
		}
		err = w.below(ctx, sub, path.Join(at, name), depth+1)
		if err := errors.Join(err, sub.release()); err != nil {
			return err
		}
	}
	return nil
}

// entry reports one thing, and whether it is a directory to look into.
func (w *walk) entry(d *dir, p, name string, depth int) (isDir bool, err error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return false, nil // removed meanwhile
	}
	switch mode := info.Mode(); {
	case isPart(name):
		w.left.Unfinished++
	case mode&fs.ModeSymlink != 0:
		w.left.Links++
	case !mode.IsDir() && !mode.IsRegular():
		w.left.Special++
	case mode.IsDir() && w.isClosed(info):
		w.left.Closed++
	case checkElement(name) != nil || len(p) > MaxPath:
		w.left.Names++
	case depth > MaxDepth:
		return false, streams.Errorf(streams.CodeTooLarge, "%q… has more than %d elements; copy parts, or an archive", shorten(p), MaxDepth)
	default:
		return mode.IsDir(), w.emit(entryOf(p, info))
	}
	return false, nil
}

// size is what is at a name, and below, in bytes, as far as the first entries show.
func (d *dir) size(name string) (bytes int64) {
	if info, err := d.root.Lstat(partOf(name)); name != "" && err == nil && info.Mode().IsRegular() {
		bytes = info.Size()
	}
	left := MaxEntries
	fs.WalkDir(d.root.FS(), cmp.Or(name, "."), func(_ string, e fs.DirEntry, err error) error {
		if left--; left < 0 {
			return fs.SkipAll
		}
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

// sync makes the names in a directory lasting. Where directories cannot be synced, as on Windows, that is
// no error.
func (d *dir) sync() error {
	if !syncsDirs {
		return nil
	}
	f, err := d.self()
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}
