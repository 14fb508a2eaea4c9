package deploy

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// StagedFor is how long what has arrived of an upload that was cut off is kept.
const StagedFor = 10 * time.Minute

// keptEvery is how often a store looks for what was kept for long enough.
const keptEvery = time.Minute

// Run removes what was kept of uploads that nobody went on with, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(keptEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if _, err := s.dropKept(ctx, StagedFor); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("removing the rest of an interrupted deployment failed", "err", err)
			}
		}
	}
}

// kept is the directory that the contents of a release are staged in, over several uploads if need
// be.
func (d *deployment) kept() string { return filepath.Join(d.dir, stagingPrefix+d.m.Release) }

// isKept reports whether a staging directory is one that a next upload goes on with.
func isKept(base string) bool {
	release, ok := strings.CutPrefix(base, stagingPrefix)
	if !ok || len(release) != releaseLength {
		return false
	}
	_, err := hex.DecodeString(release)
	return err == nil
}

// staged is how much of the contents is there from earlier uploads: whole files, and the beginning
// of the next one.
func (d *deployment) staged() (bytes int64) {
	for _, f := range d.m.Files {
		info, err := os.Lstat(joinSlash(d.kept(), f.Path))
		if err != nil || !info.Mode().IsRegular() || info.Size() > f.Size {
			return bytes
		}
		bytes += info.Size()
		if info.Size() < f.Size {
			return bytes
		}
	}
	return bytes
}

// dropKept removes what is kept of uploads that ended so long ago, and are not under way. It
// returns how many there were.
func (s *Store) dropKept(ctx context.Context, age time.Duration) (n int, errs error) {
	all, err := filepath.Glob(filepath.Join(escapeGlob(s.cfg.Dir), "*", stagingPrefix+"*"))
	if err != nil {
		return 0, fmt.Errorf("look for interrupted deployments: %w", err)
	}
	for _, dir := range all {
		if !isKept(filepath.Base(dir)) || time.Since(touched(dir)) < age {
			continue
		}
		name := filepath.Base(filepath.Dir(dir))
		_, end, err := s.turns.begin(ctx, name, sender{})
		if err != nil {
			continue // it is under way
		}
		s.cfg.Logger.Info("removing the rest of an interrupted deployment", "path", dir)
		n++
		errs = errors.Join(errs, os.RemoveAll(dir))
		s.forget(filepath.Dir(dir))
		end()
	}
	return n, errs
}

// forget removes the directory of a name that never had a release. One that has something is not
// empty.
func (s *Store) forget(dir string) {
	os.Remove(filepath.Join(dir, releasesDir))
	os.Remove(dir)
}

// touched is when something in a directory was written last.
func touched(dir string) (last time.Time) {
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
		return nil
	})
	return last
}
