package cp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-b490fa12/swarm/streams"
)

// ground is where the paths of a copy begin: a directory that the owner of a machine has listed, or this
// machine. What a person has named may lead through links there.
type ground struct {
	stat func(path string) (fs.FileInfo, error)
	open func(path string) (*os.Root, error)
	name func(path string) string // of a path, for a person
	real func(path string) string // where links lead to
}

// here is the ground of this machine's own paths.
func here() ground {
	return ground{os.Stat, os.OpenRoot, func(p string) string { return p }, func(p string) string {
		if at, err := filepath.EvalSymlinks(p); err == nil {
			return at
		}
		return p
	}}
}

// below is the ground below an open directory, whose paths are relative to it. That no link leads out of it
// the root sees to.
func below(top *os.Root) ground {
	name := func(p string) string { return filepath.Join(top.Name(), p) }
	return ground{top.Stat, top.OpenRoot, name, func(p string) string {
		from, err := filepath.EvalSymlinks(top.Name())
		at, fault := filepath.EvalSymlinks(name(p))
		if err != nil || fault != nil {
			return p
		}
		if rel, err := filepath.Rel(from, at); err == nil && filepath.IsLocal(rel) {
			return rel
		}
		return p
	}}
}

// source is what is copied from: a tree, and the name of a file in it, or empty for all of it.
type source struct {
	*tree
	file  string
	entry Entry  // of "."
	path  string // for a person
}

// from opens what is copied.
func (g ground) from(p string, closed []fs.FileInfo) (*source, error) {
	s := &source{path: g.name(p)}
	p = g.real(p)
	info, err := g.stat(p)
	if err != nil {
		return nil, err
	}
	s.entry = entryOf(".", info)
	switch {
	case info.IsDir():
		top, err := g.open(p)
		if err != nil {
			return nil, err
		}
		s.tree = newTree(top, closed)
		return s, s.look()
	case !info.Mode().IsRegular():
		return nil, streams.Errorf(streams.CodeInvalid, "%s is a device, pipe or socket: only files and directories are copied", g.name(p))
	}
	top, err := g.open(filepath.Dir(p))
	if err != nil {
		return nil, err
	}
	s.tree, s.file = newTree(top, closed), filepath.Base(p)
	return s, s.look()
}

// look refuses a top directory that is one of those that are closed; then the tree is closed.
func (t *tree) look() error {
	info, err := t.way[0].root.Stat(".")
	if err == nil && t.isClosed(info) {
		err = errClosed
	}
	if err != nil {
		return errors.Join(err, t.close())
	}
	return nil
}

// target is what is copied to: a tree, and the name of the copy in it, or empty where it is the tree itself.
type target struct {
	*tree
	base  string
	final string // what a directory is called once it is whole, that is called base until then; else empty
	path  string // for a person
}

// to finds where a copy of something called base goes that is copied to p: into it where that is a
// directory, else it has that name. slash says that p was written as a directory. Without a base the
// contents of a directory go into p, which is made where it is missing.
func (g ground) to(p string, slash bool, base string, isDir bool, closed []fs.FileInfo) (*target, error) {
	if info, err := g.stat(g.real(p)); err == nil && info.IsDir() {
		p = g.real(p)
	}
	info, err := g.stat(p)
	missing := errors.Is(err, fs.ErrNotExist)
	t := &target{}
	parent := p
	switch {
	case err != nil && !missing:
		return nil, err
	case err == nil && info.IsDir():
		t.base, t.path = base, g.name(filepath.Join(p, base))
	case err == nil && (isDir || slash):
		return nil, streams.Errorf(streams.CodeConflict, "%s is no directory", g.name(p))
	case missing && slash && !isDir:
		return nil, streams.Errorf(streams.CodeNotFound, "there is no directory %s", g.name(p))
	default:
		parent, t.base, t.path = filepath.Dir(p), filepath.Base(p), g.name(p)
	}
	if t.base != "" {
		if err := checkElement(t.base); err != nil {
			return nil, streams.Errorf(streams.CodeInvalid, "%w", err)
		}
	}
	top, err := g.open(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, streams.Errorf(streams.CodeNotFound, "there is no directory %s", g.name(parent))
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", g.name(parent), err)
	}
	t.tree = newTree(top, closed)
	if isDir && t.base != "" {
		if _, err := top.Lstat(t.base); errors.Is(err, fs.ErrNotExist) {
			t.base, t.final = partOf(t.base), t.base
		}
	}
	return t, t.look()
}

// at is the path in the tree of an entry.
func (t *target) at(p string) string {
	switch {
	case t.base == "":
		return p
	case p == ".":
		return t.base
	}
	return t.base + "/" + p
}

// open opens a file of the source for reading.
func (s *source) open(p string) (*os.File, fs.FileInfo, error) {
	if (s.file != "") != (p == ".") {
		return nil, nil, streams.Errorf(streams.CodeNotFound, "there is no file %s in what is copied", shorten(p))
	}
	if s.file != "" {
		return s.way[0].open(s.file)
	}
	d, name, err := s.parent(p)
	if err != nil {
		return nil, nil, err
	}
	f, info, err := d.open(name)
	return f, info, errors.Join(err, d.release())
}
