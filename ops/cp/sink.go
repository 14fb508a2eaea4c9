package cp

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	// spareBytes must stay free beside a copy: a machine with a full disk works no more.
	spareBytes = 64 << 20
	// lookEvery is how many bytes are written or hashed between two looks at the room that is left, or at
	// whether it is still wanted.
	lookEvery = 64 << 20
	// leastStep is how many bytes are between two marks, at least.
	leastStep = 1 << 20
)

// noRoomError says that a disk has no room for what is to be copied there.
type noRoomError struct{ words *streams.Error }

func (e *noRoomError) Error() string { return e.words.Error() }
func (e *noRoomError) Unwrap() error { return e.words }

// room returns an error when so many bytes do not fit into a directory, with a reserve.
func (d *dir) room(bytes int64) error {
	u, err := disk.Usage(d.root.Name())
	if err != nil {
		return nil // the disk itself will tell
	}
	if need := uint64(max(bytes, 0)) + spareBytes; u.Free < need {
		return &noRoomError{streams.Errorf(streams.CodeRefused,
			"not enough room: %s are free, and %s are needed, with a reserve of %s: make room",
			mebibytes(u.Free), mebibytes(need), mebibytes(spareBytes))}
	}
	return nil
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// makeDir makes a directory, and reports whether it was not there. Only its owner may use it until it is
// sealed.
func (t *target) makeDir(p string) (made bool, err error) {
	if p == "." && t.base == "" {
		return false, nil
	}
	d, name, err := t.parent(t.at(p))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, d.release()) }()
	info, err := d.root.Lstat(name)
	switch {
	case err == nil && !info.IsDir():
		return false, inTheWay(d, name, info)
	case err == nil && t.isClosed(info):
		return false, errClosed
	case err == nil && p == "." && t.final != "": // of a copy that was cut off
		return false, durable.CheckOwner(filepath.Join(d.root.Name(), name), info)
	case err == nil:
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	d.written.Store(true)
	return true, d.root.Mkdir(name, 0o700)
}

// seal gives a directory the mode and time that it is to have, and a new tree its name. What was named as the
// place of a copy stays as it is.
func (t *target) seal(e Entry) (err error) {
	if e.Path == "." && t.base == "" {
		return nil
	}
	d, err := t.dir(t.at(e.Path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.release()) }()
	if d.written.Swap(false) {
		err = d.sync()
	}
	f, fault := d.self()
	if err = errors.Join(err, fault); err != nil {
		return err
	}
	defer f.Close()
	if err := d.root.Chtimes(".", time.Time{}, time.UnixMilli(e.MTime)); err != nil {
		return err
	}
	if syncsDirs { // modes of directories mean nothing elsewhere
		if err := f.Chmod(fs.FileMode(e.Mode)); err != nil {
			return err
		}
	}
	if e.Path != "." || t.final == "" {
		return nil
	}
	return t.named()
}

// named gives a new tree the name that it is to have.
func (t *target) named() error {
	if err := t.leave(1); err != nil {
		return err
	}
	top := t.way[0]
	if old, err := top.root.Lstat(t.final); err == nil {
		return inTheWay(top, t.final, old)
	}
	if err := top.root.Rename(t.base, t.final); err != nil {
		return err
	}
	t.base, t.final = t.final, ""
	return top.sync()
}

// incoming is a file on its way.
type incoming struct {
	dir   *dir
	name  string
	part  string // its name until it is whole
	want  Entry
	kept  []state
	there bool        // kept is of the file itself, which is to be as it is
	info  fs.FileInfo // of what is kept
	f     *os.File
	hash  hash.Hash
	n     int64 // bytes
	holes bool
}

// state is a hash under way.
type state struct {
	at   int64
	hash hash.Hash
}

// clone is the state by now.
func clone(h hash.Hash, at int64) (state, error) {
	c, err := h.(hash.Cloner).Clone()
	return state{at, c}, err
}

// prepare looks where a file is to go, and what of it is there. tell is called now and then, with the bytes
// that were looked at. What it returns must be committed or abandoned.
func (t *target) prepare(ctx context.Context, e Entry, tell func(int64) error) (*incoming, error) {
	d, name, err := t.parent(t.at(e.Path))
	if err != nil {
		return nil, err
	}
	in := &incoming{dir: d, name: name, part: partOf(name), want: e}
	if err := in.look(ctx, tell); err != nil {
		return nil, errors.Join(err, d.release())
	}
	return in, nil
}

func (in *incoming) look(ctx context.Context, tell func(int64) error) error {
	d := in.dir
	old, err := d.root.Lstat(in.name)
	if err == nil && !old.Mode().IsRegular() {
		return inTheWay(d, in.name, old)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	part, partErr := d.root.Lstat(in.part)
	if partErr == nil && !part.Mode().IsRegular() {
		return inTheWay(d, in.part, part)
	}
	name := ""
	switch path := filepath.Join(d.root.Name(), in.part); {
	case in.want.Size == 0:
	case partErr == nil && part.Size() <= in.want.Size && durable.CheckOwner(path, part) == nil:
		name = in.part
	case err == nil && entryOf(in.want.Path, old).same(in.want):
		name, in.there = in.name, true
	}
	if name != "" {
		if err := in.hashKept(ctx, name, tell); err != nil {
			return err
		}
	}
	if in.there {
		return nil
	}
	return d.room(in.want.Size - in.n)
}

// hashKept takes the hashes of what is there.
func (in *incoming) hashKept(ctx context.Context, name string, tell func(int64) error) error {
	f, info, err := in.dir.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in.info, in.n = info, min(info.Size(), in.want.Size)
	step := max(leastStep, (in.want.Size+MaxMarks-2)/(MaxMarks-1))
	if in.there {
		step = in.want.Size // all or nothing
	}
	h := sha256.New()
	for at := int64(0); at < in.n; {
		n, err := hashOn(ctx, h, f, min(step, in.n-at), at, tell)
		if err != nil {
			return err
		}
		at += n
		s, err := clone(h, at)
		if err != nil {
			return err
		}
		in.kept = append(in.kept, s)
	}
	return nil
}

// hashOn hashes exactly n more bytes, and calls tell now and then.
func hashOn(ctx context.Context, h io.Writer, r io.Reader, n, from int64, tell func(int64) error) (int64, error) {
	for done := int64(0); done < n; {
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		got, err := io.CopyN(h, r, min(n-done, lookEvery))
		done += got
		if err != nil {
			return done, err
		}
		if (from+done)/lookEvery > (from+done-got)/lookEvery {
			if err := tell(from + done); err != nil {
				return done, err
			}
		}
	}
	return n, nil
}

// marks are what the other side may compare.
func (in *incoming) marks() (marks []Mark) {
	for _, s := range in.kept {
		marks = append(marks, Mark{s.at, Sum(s.hash.Sum(nil))})
	}
	return marks
}

// begin goes on behind what the other side has found to be the beginning of its own.
func (in *incoming) begin(from int64) (err error) {
	in.hash, in.n = sha256.New(), 0
	for _, s := range in.kept {
		if s.at == from {
			in.hash, in.n = s.hash, from
		}
	}
	if in.n != from {
		return broke("a file goes on at %d, where nothing is known", from)
	}
	if in.there && from > 0 {
		return nil
	}
	in.there = false
	in.dir.written.Store(true)
	if err := in.dir.room(in.want.Size - from); err != nil {
		return err
	}
	if from > 0 {
		return in.goOn(from)
	}
	return in.create()
}

// goOn opens what was kept.
func (in *incoming) goOn(from int64) error {
	f, info, err := in.dir.openFile(in.part, os.O_RDWR)
	if err != nil {
		return err
	}
	if !os.SameFile(info, in.info) || info.Size() != in.info.Size() || !info.ModTime().Equal(in.info.ModTime()) {
		err = streams.Errorf(streams.CodeConflict, "what was kept of %s has changed meanwhile: copy it again", in.name)
	} else {
		err = in.lock(f)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	in.f = f
	if err := f.Truncate(from); err != nil {
		return err
	}
	_, err = f.Seek(from, io.SeekStart)
	return err
}

// create makes the file anew.
func (in *incoming) create() error {
	old, _, err := in.dir.openFile(in.part, os.O_RDWR)
	if err == nil {
		defer old.Close()
		if err := in.lock(old); err != nil {
			return err
		}
		err = in.dir.root.Remove(in.part)
	} else if errors.Is(err, fs.ErrPermission) {
		err = in.dir.root.Remove(in.part)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in.f, err = durable.OpenFileIn(in.dir.root, in.part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return in.busy()
	}
	if err != nil {
		return err
	}
	return in.lock(in.f)
}

// lock keeps other copies to the same file away, where the file system has locks.
func (in *incoming) lock(f *os.File) error {
	taken, err := durable.TryLock(f)
	if err == nil && !taken {
		return in.busy()
	}
	if errors.Is(err, durable.ErrNoLocks) {
		return nil
	}
	return err
}

func (in *incoming) busy() error {
	return streams.Errorf(streams.CodeConflict, "another copy to %s is under way: wait for it", in.name)
}

// write takes the next bytes; those of a hole are zero.
func (in *incoming) write(b []byte, hole bool) error {
	in.hash.Write(b)
	before := in.n
	in.n += int64(len(b))
	if in.n/lookEvery > before/lookEvery {
		if err := in.dir.room(0); err != nil {
			return err
		}
	}
	in.holes = hole
	if hole {
		_, err := in.f.Seek(int64(len(b)), io.SeekCurrent)
		return err
	}
	_, err := in.f.Write(b)
	return err
}

// commit gives the file its name, if it is what the other side says. It may be called in another goroutine.
func (in *incoming) commit(sum Sum) (s State, err error) {
	keep := false
	defer func() {
		if err != nil {
			in.abandon(keep)
		} else {
			err = in.dir.release()
		}
	}()
	if in.n != in.want.Size || Sum(in.hash.Sum(nil)) != sum {
		return "", streams.Errorf(streams.CodeConflict, "what has arrived of %s is not what was sent: its SHA-256 is another one, and it was removed", in.name)
	}
	if in.there {
		return StateUnchanged, in.setMode()
	}
	info, err := in.finish()
	if err != nil {
		return "", err
	}
	if err := in.dir.has(in.part, info); err != nil {
		keep = true // it is somebody else's
		return "", err
	}
	mtime := time.UnixMilli(in.want.MTime)
	if err := in.dir.root.Chtimes(in.part, time.Time{}, mtime); err != nil {
		return "", err
	}
	if old, err := in.dir.root.Lstat(in.name); err == nil && !old.Mode().IsRegular() {
		return "", inTheWay(in.dir, in.name, old)
	}
	if renamesClosed {
		if err := in.f.Close(); err != nil {
			return "", err
		}
	}
	if err := in.dir.root.Rename(in.part, in.name); err != nil {
		return "", err
	}
	if !renamesClosed {
		in.f.Close() // it is synced
	}
	return StateCopied, nil
}

// finish brings what was written to the disk.
func (in *incoming) finish() (fs.FileInfo, error) {
	if in.holes {
		if err := in.f.Truncate(in.n); err != nil {
			return nil, err
		}
	}
	if err := in.f.Chmod(fs.FileMode(in.want.Mode)); err != nil {
		return nil, err
	}
	if err := in.f.Sync(); err != nil {
		return nil, err
	}
	return in.f.Stat()
}

// setMode gives a file that is unchanged the mode that it is to have.
func (in *incoming) setMode() error {
	f, info, err := in.dir.open(in.name)
	if err != nil {
		return err
	}
	defer f.Close()
	if !os.SameFile(info, in.info) || !entryOf(in.want.Path, info).same(in.want) {
		return streams.Errorf(streams.CodeConflict, "%s has changed meanwhile: copy it again", in.name)
	}
	if info.Mode().Perm() == fs.FileMode(in.want.Mode) {
		return nil
	}
	return f.Chmod(fs.FileMode(in.want.Mode))
}

// abandon gives the file up. With keep what has arrived of it stays, to be gone on with.
func (in *incoming) abandon(keep bool) {
	if in.f != nil {
		info, err := in.f.Stat()
		mine := err == nil && in.dir.has(in.part, info) == nil
		in.f.Close()
		if !keep && mine {
			in.dir.root.Remove(in.part)
		}
		in.f = nil
	}
	in.dir.release() // what is lost of names in it is of no use
}
