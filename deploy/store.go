package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	// DefaultKeep is how many releases before the current one are kept.
	DefaultKeep = 3

	releasesDir   = "releases"
	stagingPrefix = "staging-"
)

// StoreConfig says where deployments go.
type StoreConfig struct {
	// Dir holds all deployments of this worker; it is made if it is missing.
	Dir string
	// MaxBytes is the largest bundle, see Manifest.Room. 0 means DefaultMaxBytes.
	MaxBytes int64
	// Quota, if set, is asked how many bytes all deployments may take together, counted as in
	// Manifest.Room, with the releases that are kept. 0 means no bound.
	Quota func() int64
	// Keep is how many releases before the current one are kept. 0 means DefaultKeep, negative
	// none.
	Keep int
	// Logger gets what happens. Nil means silent.
	Logger *slog.Logger
}

// Store keeps deployments in a directory: <Dir>/<name>/releases/<release>/… and
// <Dir>/<name>/current, which names one of them. A release is complete and on the disk before
// current names it, and current changes in one step, so a crash or a power cut leaves the old
// release or the new one. Methods may be called concurrently; only one process may use a directory.
type Store struct {
	cfg StoreConfig

	turns
	room room

	// free looks at the file system. Only tests replace it.
	free func(dir string) (free, error)
	// step is called before each step that a crash could follow. Only tests set it.
	step func(name string)
}

// OpenStore opens the directory and removes what interrupted uploads have left, but for what a next
// upload may go on with. Run removes that later.
func OpenStore(cfg StoreConfig) (*Store, error) {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, DefaultMaxBytes)
	cfg.Keep = max(0, cmp.Or(cfg.Keep, DefaultKeep))
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open deployments: %w", err)
	}
	s := &Store{cfg: cfg, free: freeOn, step: func(string) {}}
	return s, s.clean()
}

// clean removes the leftovers of a crash.
func (s *Store) clean() error {
	left, err := filepath.Glob(filepath.Join(escapeGlob(s.cfg.Dir), "*", "*"))
	if err != nil {
		return fmt.Errorf("clean deployments: %w", err)
	}
	for _, p := range left {
		base := filepath.Base(p)
		if !strings.HasPrefix(base, stagingPrefix) && !strings.HasPrefix(base, ".current.tmp-") {
			continue
		}
		if isKept(base) && time.Since(touched(p)) < StagedFor {
			continue
		}
		s.cfg.Logger.Info("removing the rest of an interrupted deployment", "path", p)
		if err := os.RemoveAll(p); err != nil {
			return fmt.Errorf("clean deployments: %w", err)
		}
	}
	return nil
}

// Current returns the directory of the current release of a deployment, and its release. Without
// one the error matches fs.ErrNotExist.
func (s *Store) Current(name string) (dir, release string, err error) {
	if err := checkName(name); err != nil {
		return "", "", fmt.Errorf("deployment %q: %w", shorten(name), err)
	}
	at, err := readCurrent(filepath.Join(s.cfg.Dir, name))
	if err != nil {
		return "", "", fmt.Errorf("deployment %s: %w", name, err)
	}
	return filepath.Join(s.cfg.Dir, name, releasesDir, at), releaseOf(at), nil
}

// Apply puts a bundle in place in one upload. The same release again succeeds without reading the
// body, if what is on the disk is whole.
func (s *Store) Apply(ctx context.Context, m Manifest, body io.Reader) (Ack, error) {
	return s.Receive(ctx, "", Request{Manifest: m, Size: m.Size()}, body)
}

// Receive implements Receiver. The same release again succeeds without reading the body, if what is
// on the disk is whole.
func (s *Store) Receive(ctx context.Context, p peer.ID, r Request, body io.Reader) (Ack, error) {
	m := r.Manifest
	if err := r.Validate(); err != nil {
		return Ack{}, err
	}
	if n := m.Room(); n > s.cfg.MaxBytes {
		return Ack{}, streams.Errorf(streams.CodeTooLarge, "the bundle takes %d bytes with its %d files and directories, this machine's owner allows %d", n, m.Entries(), s.cfg.MaxBytes)
	}
	by := sender{p, r.Transfer}
	ctx, end, err := s.turns.begin(ctx, m.Name, by)
	if err != nil {
		return Ack{}, err
	}
	defer end()
	defer endsWith(ctx, body)()
	if ack, ok := s.turns.answered(m.Name, by); ok {
		return ack, nil
	}
	if err := s.checkName(m.Name); err != nil {
		return Ack{}, err
	}
	d, err := s.deployment(r)
	if err != nil {
		return Ack{}, err
	}
	ack, err := d.apply(ctx, body)
	if err != nil && d.at == "" {
		s.forget(d.dir)
	}
	if err == nil && ack.Success {
		s.turns.answer(m.Name, by, ack)
	}
	return ack, err
}

// endsWith ends a read of the body when ctx ends, where it can be ended. stop must be called.
func endsWith(ctx context.Context, body io.Reader) (stop func()) {
	b, ok := body.(interface{ CloseRead() error })
	if !ok {
		return func() {}
	}
	done := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		b.CloseRead() // the read says why it ended
		close(done)
	})
	return func() {
		if !unhook() {
			<-done
		}
	}
}

// checkName refuses one name too many: each is a directory, whatever becomes of the upload.
func (s *Store) checkName(name string) error {
	if exists(filepath.Join(s.cfg.Dir, name)) {
		return nil
	}
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("count deployments: %w", err)
	}
	if len(entries) >= maxNames {
		return streams.Errorf(streams.CodeRefused, "this machine has %d deployments, and no more are kept: use a name that is there, or have its owner remove one below %s", len(entries), s.cfg.Dir)
	}
	return nil
}

// deployment is one Receive.
type deployment struct {
	*Store
	m    Manifest
	from int64  // where in the contents the upload begins
	keep bool   // what arrives is kept if the upload is cut off
	cut  bool   // it was
	dir  string // of this name
	at   string // the directory in releases that current names; empty without
	take int64  // bytes taken from the upload
	room *reservation
	pace pace
}

func (s *Store) deployment(r Request) (*deployment, error) {
	d := &deployment{
		Store: s, m: r.Manifest, dir: filepath.Join(s.cfg.Dir, r.Manifest.Name), from: r.From, keep: r.Transfer != "",
	}
	if err := os.MkdirAll(filepath.Join(d.dir, releasesDir), 0o700); err != nil {
		return nil, fmt.Errorf("make deployment: %w", err)
	}
	for _, dir := range []string{s.cfg.Dir, d.dir} {
		if err := durable.SyncDir(dir); err != nil {
			return nil, err
		}
	}
	at, err := readCurrent(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read current release: %w", err)
	}
	d.at = at
	return d, nil
}

func (d *deployment) release(dir string) string { return filepath.Join(d.dir, releasesDir, dir) }

func (d *deployment) apply(ctx context.Context, body io.Reader) (Ack, error) {
	if releaseOf(d.at) == d.m.Release && d.whole(ctx, d.at) {
		return d.ack(StateUnchanged), nil
	}
	if releaseOf(d.at) != d.m.Release && d.whole(ctx, d.m.Release) {
		return d.ack(StateSwitched), d.makeCurrent(d.m.Release)
	}
	if ctx.Err() != nil { // while it was compared
		return Ack{}, context.Cause(ctx)
	}
	if d.from > 0 && d.from != d.staged() {
		ack := d.ack(StatePartial)
		ack.Success, ack.Release, ack.Staged = false, releaseOf(d.at), d.staged()
		return ack, nil
	}
	err := d.reserve(ctx)
	if streams.CodeOf(err) == streams.CodeRefused {
		// What is kept for nobody yet must not be in the way of what is wanted now.
		if n, _ := d.dropKept(ctx, 0); n > 0 {
			err = d.reserve(ctx)
		}
	}
	if err != nil {
		return Ack{}, err
	}
	defer d.room.end()
	d.pace.began = time.Now()
	staged, err := d.stage(ctx, body)
	if err != nil {
		return Ack{}, err
	}
	target, err := d.place(staged)
	if err != nil {
		return Ack{}, errors.Join(err, os.RemoveAll(staged))
	}
	return d.ack(StateDeployed), d.makeCurrent(target)
}

func (d *deployment) ack(state State) Ack {
	return Ack{Name: d.m.Name, Success: true, Release: d.m.Release, Previous: releaseOf(d.at), Bytes: d.take, State: state}
}

// reserve refuses what would leave the disk too full, or is over the owner's quota, and takes the
// room for the rest.
func (d *deployment) reserve(ctx context.Context) (err error) {
	if d.room, err = d.Store.room.reserve(d.m, d.from, func() (free, error) { return d.free(d.dir) }); err != nil {
		return err
	}
	if d.cfg.Quota == nil {
		return nil
	}
	if quota := d.cfg.Quota(); quota > 0 {
		err = d.checkQuota(ctx, quota)
	}
	if err != nil {
		d.room.end()
	}
	return err
}

// checkQuota counts what is under way, this deployment among it, and then what is in
// place: what another one puts in place meanwhile counts twice rather than not at all.
func (d *deployment) checkQuota(ctx context.Context, quota int64) error {
	bytes := d.Store.room.underWay()
	d.step("count")
	placed, err := used(ctx, d.cfg.Dir, d.underWay)
	if err != nil {
		return fmt.Errorf("count deployments: %w", err)
	}
	bytes += placed
	if bytes > quota {
		return streams.Errorf(streams.CodeRefused, "all deployments would take %d bytes, this machine's owner allows %d: remove one below %s, or change deploy.totalBytes in its policy.json", bytes, quota, d.cfg.Dir)
	}
	return nil
}

// place gives the staged directory its lasting name.
func (d *deployment) place(staged string) (string, error) {
	target := d.m.Release
	for n := 1; releaseOf(d.at) == d.m.Release && (target == d.at || exists(d.release(target))); n++ {
		// The current release is damaged, but may be in use: put the good copy beside it.
		target = fmt.Sprintf("%s.%d", d.m.Release, n)
	}
	d.step("place")
	if err := d.discard(target); err != nil {
		return "", err
	}
	if err := os.Rename(staged, d.release(target)); err != nil {
		return "", fmt.Errorf("put release in place: %w", err)
	}
	d.step("placed")
	for _, dir := range []string{filepath.Join(d.dir, releasesDir), d.dir} {
		if err := durable.SyncDir(dir); err != nil {
			return "", err
		}
	}
	return target, nil
}

// discard removes a release that nothing refers to. It first takes the name away, so that a crash
// leaves no half of it there.
func (d *deployment) discard(name string) error {
	if !exists(d.release(name)) {
		return nil
	}
	trash, err := os.MkdirTemp(d.dir, stagingPrefix)
	if err != nil {
		return fmt.Errorf("remove release %s: %w", name, err)
	}
	if err := os.Rename(d.release(name), filepath.Join(trash, name)); err != nil {
		return errors.Join(fmt.Errorf("remove release %s: %w", name, err), os.Remove(trash))
	}
	if err := os.RemoveAll(trash); err != nil {
		return fmt.Errorf("remove release %s: %w", name, err)
	}
	return nil
}

// makeCurrent switches, and then removes what is too old.
func (d *deployment) makeCurrent(target string) error {
	d.step("switch")
	// The order of last use is what prune goes by. It need not survive a power cut.
	if err := os.Chtimes(d.release(target), time.Now(), time.Now()); err != nil {
		return fmt.Errorf("switch release: %w", err)
	}
	if err := writeCurrent(d.dir, target); err != nil {
		return fmt.Errorf("switch release: %w", err)
	}
	d.step("switched")
	if err := d.prune(target); err != nil {
		d.cfg.Logger.Warn("removing old releases failed", "name", d.m.Name, "err", err)
	}
	d.cfg.Logger.Info("deployed", "name", d.m.Name, "release", d.m.Release, "previous", releaseOf(d.at), "bytes", d.take)
	return nil
}

// prune keeps the current release and those used last before it.
func (d *deployment) prune(current string) error {
	entries, err := os.ReadDir(filepath.Join(d.dir, releasesDir))
	if err != nil {
		return err
	}
	var old []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Name() != current {
			old = append(old, info)
		}
	}
	slices.SortFunc(old, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var errs error
	for _, info := range old[min(d.cfg.Keep, len(old)):] {
		d.step("prune")
		errs = errors.Join(errs, d.discard(info.Name()))
	}
	return errs
}

// releaseOf is the release in a directory of releases: its name without the number of a second
// copy.
func releaseOf(dir string) string {
	release, _, _ := strings.Cut(dir, ".")
	return release
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// escapeGlob keeps a directory's own name from being read as a pattern. Windows has no escapes, and
// no such names.
func escapeGlob(dir string) string {
	if filepath.Separator == '\\' {
		return dir
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
