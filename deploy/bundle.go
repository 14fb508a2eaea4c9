package deploy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/streams"
)

// Bundle is a directory or a single file on this machine, ready to be sent to any number of workers
// at once.
type Bundle struct {
	// Manifest is what Open found.
	Manifest Manifest
	source   string // absolute
	dir      string
}

// Source is the path that was opened, as an absolute one.
func (b *Bundle) Source() string { return b.source }

// Open reads a directory, or a single file, hashes it and makes its manifest. The name is that of
// the deployment; empty means that of the directory or file. At most maxBytes are accepted; 0 means
// DefaultMaxBytes. Symbolic links and special files are refused, empty directories left out. Of
// permissions only the owner's right to execute is kept.
func Open(source, name string, maxBytes int64) (*Bundle, error) {
	source, err := filepath.Abs(source)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	if name == "" {
		name = strings.ToLower(filepath.Base(source))
	}
	if err := checkName(name); err != nil {
		return nil, streams.Errorf(streams.CodeInvalid, "bundle name %q: %w; choose another name", shorten(name), err)
	}
	b := &Bundle{Manifest: Manifest{Name: name}, source: source}
	if err := b.read(source, cmp.Or(maxBytes, DefaultMaxBytes)); err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	slices.SortFunc(b.Manifest.Files, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	b.Manifest.Release = b.Manifest.ComputeRelease()
	if err := b.Manifest.Validate(); err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	return b, b.Manifest.checkFrame()
}

func (b *Bundle) read(source string, maxBytes int64) error {
	info, err := os.Lstat(source)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		b.dir = filepath.Dir(source)
		return b.add(filepath.Base(source), info, maxBytes)
	}
	b.dir = source
	return filepath.WalkDir(source, func(p string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, p)
		if err != nil {
			return err
		}
		return b.add(filepath.ToSlash(rel), info, maxBytes)
	})
}

// add hashes one file. The bounds are checked here too, so that a mistaken "/" is not read to its
// end.
func (b *Bundle) add(rel string, info fs.FileInfo, maxBytes int64) error {
	if !info.Mode().IsRegular() {
		return streams.Errorf(streams.CodeInvalid,
			"%s is no regular file (%s); a bundle holds plain files only, put a copy there", rel, info.Mode().Type())
	}
	if len(b.Manifest.Files) == MaxFiles {
		return streams.Errorf(streams.CodeTooLarge, "more than %d files; pack them into an archive", MaxFiles)
	}
	f, err := b.open(rel)
	if err != nil {
		return err
	}
	defer f.Close()
	room := maxBytes - b.Manifest.Size()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, room+1))
	if err != nil {
		return err
	}
	if n > room {
		return streams.Errorf(streams.CodeTooLarge, "more than %d bytes in all", maxBytes)
	}
	mode := ModeFile
	if info.Mode().Perm()&0o100 != 0 {
		mode = ModeExec
	}
	b.Manifest.Files = append(b.Manifest.Files, File{Path: rel, Mode: mode, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))})
	return nil
}

// open refuses to follow a symbolic link out of the bundle, should one have been put there
// meanwhile.
func (b *Bundle) open(rel string) (*os.File, error) {
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		return nil, err
	}
	f, err := durable.OpenIn(root, rel)
	return f, errors.Join(err, root.Close())
}

// Body reads the files one after the other, exactly as many bytes as the manifest says. A file that
// has become shorter since is an error; one whose content has changed is noticed by the worker.
func (b *Bundle) Body() io.ReadCloser { return b.bodyFrom(0) }

// bodyFrom is Body without its first bytes.
func (b *Bundle) bodyFrom(skip int64) *body {
	r := &body{bundle: b, files: b.Manifest.Files, skip: skip}
	for len(r.files) > 0 && r.skip >= r.files[0].Size {
		r.skip -= r.files[0].Size
		r.files = r.files[1:]
	}
	return r
}

type body struct {
	bundle *Bundle
	files  []File // not yet begun
	skip   int64  // bytes of the first of them
	file   *os.File
	left   int64 // of file
}

func (r *body) Read(p []byte) (int, error) {
	for r.left == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err == io.EOF && r.left > 0 {
		return n, fmt.Errorf("read %s: it became shorter: %w", r.file.Name(), io.ErrUnexpectedEOF)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// next begins the next file.
func (r *body) next() error {
	if err := r.Close(); err != nil {
		return err
	}
	if len(r.files) == 0 {
		return io.EOF
	}
	f, err := r.bundle.open(r.files[0].Path)
	if err != nil {
		return fmt.Errorf("read bundle: %w", err)
	}
	r.file, r.left, r.files = f, r.files[0].Size-r.skip, r.files[1:]
	if _, err := f.Seek(r.skip, io.SeekStart); err != nil {
		return fmt.Errorf("read bundle: %w", err)
	}
	r.skip = 0
	return nil
}

// Close closes the file that is being read. It may be called again.
func (r *body) Close() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	return f.Close()
}
