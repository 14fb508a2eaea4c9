package deploy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/streams"
)

const copyBuffer = 128 << 10 // bytes

// errDamaged says that what is here of an earlier upload is not what was sent.
var errDamaged = streams.Errorf(streams.CodeUnavailable,
	"what was kept here of an earlier upload is damaged, and was removed: send all of it again")

// stage writes the bundle into a directory of its own, verified and synced, and returns that
// directory. On an error nothing is left of it, unless the upload was cut off and may go on.
func (d *deployment) stage(ctx context.Context, body io.Reader) (string, error) {
	dir, err := d.stagingDir()
	if err != nil {
		return "", fmt.Errorf("stage: %w", err)
	}
	if err = d.stageIn(ctx, dir, body); err == nil {
		return dir, nil
	}
	if d.keep && (d.cut || ctx.Err() != nil) {
		return "", err
	}
	return "", errors.Join(err, os.RemoveAll(dir))
}

// stagingDir makes the directory to stage in, or takes the one of the upload before. Of other
// releases of this name nothing is kept.
func (d *deployment) stagingDir() (string, error) {
	if d.from > 0 {
		return d.kept(), nil
	}
	old, err := filepath.Glob(filepath.Join(escapeGlob(d.dir), stagingPrefix+"*"))
	for _, dir := range old {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return "", err
	}
	if !d.keep {
		return os.MkdirTemp(d.dir, stagingPrefix)
	}
	return d.kept(), os.Mkdir(d.kept(), 0o700)
}

func (d *deployment) stageIn(ctx context.Context, dir string, body io.Reader) error {
	// A root cannot be left, by whatever the manifest says.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	defer root.Close()
	buf := make([]byte, copyBuffer)
	here := d.from // of what is left of the manifest
	for _, f := range d.m.Files {
		d.step("file")
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		part := min(here, f.Size)
		here -= part
		if err := d.stageFile(ctx, root, f, part, body, buf); err != nil {
			return err
		}
	}
	return d.syncTree(ctx, dir)
}

// stageFile writes and verifies one file, whose first bytes are here from the upload before.
func (d *deployment) stageFile(
	ctx context.Context, root *os.Root, f File, here int64, body io.Reader, buf []byte) (err error) {
	if here == f.Size && here > 0 {
		if !sameFile(ctx, root, f) {
			return cmp.Or(context.Cause(ctx), error(errDamaged))
		}
		return nil
	}
	perm := fs.FileMode(0o644)
	if f.Mode == ModeExec {
		perm = 0o755
	}
	out, err := createStaged(root, f, here, perm)
	if err != nil {
		return fmt.Errorf("stage %s: %w", f.Path, err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	h := sha256.New()
	if n, err := io.CopyBuffer(h, io.LimitReader(&ending{ctx, out}, here), buf); err != nil || n < here {
		return cmp.Or(err, error(errDamaged))
	}
	n, err := io.CopyBuffer(io.MultiWriter(out, h, d.room),
		&limited{ctx: ctx, r: body, left: f.Size - here, pace: &d.pace, cut: &d.cut}, buf)
	d.take += n
	if err != nil {
		return d.explainBody(f, here+n, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.SHA256 {
		if here > 0 {
			return errDamaged // which part of it is wrong nobody knows
		}
		return streams.Errorf(streams.CodeRefused,
			"file %q arrived with SHA-256 %s, the manifest says %s; did it change while it was sent?",
			shorten(f.Path), got, f.SHA256)
	}
	// The umask may have taken bits away.
	if err := out.Chmod(perm); err != nil {
		return fmt.Errorf("stage %s: %w", f.Path, err)
	}
	if err := out.Sync(); err != nil {
		return fmt.Errorf("stage %s: %w", f.Path, err)
	}
	return nil
}

// createStaged makes a file, or opens that of the upload before, to be read and then written.
func createStaged(root *os.Root, f File, here int64, perm fs.FileMode) (*os.File, error) {
	if here > 0 {
		return durable.OpenFileIn(root, f.Path, os.O_RDWR, 0)
	}
	if err := root.MkdirAll(path.Dir(f.Path), 0o755); err != nil {
		return nil, err
	}
	if err := root.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) { // one that was empty yet
		return nil, err
	}
	return durable.OpenFileIn(root, f.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
}

// explainBody tells the caller's faults from ours.
func (d *deployment) explainBody(f File, n int64, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return streams.Errorf(streams.CodeInvalid, "the upload ended in file %q after %d of %d bytes",
			shorten(f.Path), n, f.Size)
	}
	if _, told := errors.AsType[*streams.Error](err); d.cut && !told {
		return streams.Errorf(streams.CodeUnavailable, "the upload was cut off in file %q after %d of %d bytes: %w",
			shorten(f.Path), n, f.Size, err)
	}
	return fmt.Errorf("stage %s: %w", f.Path, err)
}

// limited reads exactly left bytes; fewer are io.ErrUnexpectedEOF. It stops when ctx ends, and when
// the bytes come too slowly.
type limited struct {
	ctx  context.Context
	r    io.Reader
	left int64
	pace *pace
	cut  *bool // is set when the reader failed
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	if err := l.ctx.Err(); err != nil {
		return 0, context.Cause(l.ctx)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if err == io.EOF {
		err = nil
		if l.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	if err = errors.Join(err, l.pace.add(n)); err != nil && l.ctx.Err() != nil {
		err = context.Cause(l.ctx)
	}
	*l.cut = *l.cut || err != nil
	return n, err
}

// syncTree makes the names in all directories of a release lasting, the deepest first.
func (d *deployment) syncTree(ctx context.Context, dir string) error {
	ordered := slices.Collect(maps.Keys(d.m.dirs()))
	slices.SortFunc(ordered, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, p := range append(ordered, ".") {
		d.step("sync")
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := durable.SyncDir(joinSlash(dir, p)); err != nil {
			return err
		}
	}
	return nil
}

// whole reports whether the directory in releases holds exactly what the manifest says, hashes
// included. More files, as a program may write beside its own, do not matter.
func (d *deployment) whole(ctx context.Context, name string) bool {
	root, err := os.OpenRoot(d.release(name))
	if err != nil {
		return false
	}
	defer root.Close()
	for _, f := range d.m.Files {
		if ctx.Err() != nil || !sameFile(ctx, root, f) {
			return false
		}
	}
	return true
}

// sameFile reports whether a file is what the manifest says. When ctx ends it is not.
func sameFile(ctx context.Context, root *os.Root, f File) bool {
	in, err := durable.OpenIn(root, f.Path)
	if err != nil {
		return false
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil || info.Size() != f.Size || unixModes && (info.Mode().Perm()&0o100 != 0) != (f.Mode == ModeExec) {
		return false
	}
	h := sha256.New()
	_, err = io.Copy(h, io.LimitReader(&ending{ctx, in}, f.Size+1)) // it may grow meanwhile
	return err == nil && hex.EncodeToString(h.Sum(nil)) == f.SHA256
}

// ending is a reader that stops when ctx ends.
type ending struct {
	ctx context.Context
	r   io.Reader
}

func (e *ending) Read(p []byte) (int, error) {
	if e.ctx.Err() != nil {
		return 0, context.Cause(e.ctx)
	}
	return e.r.Read(p)
}

func joinSlash(dir, p string) string { return filepath.Join(dir, filepath.FromSlash(p)) }
