package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	floorFile = "floor"
	// floorAhead is how far signed times may move the floor past our clock: who
	// signs with a wrong clock cannot end everybody's grants.
	floorAhead = day
	// floorStep is the least that is worth a write to the disk.
	floorStep = time.Minute
)

// floor is the time that it is at least. A clock that was set back does not
// bring expired grants to life again.
type floor struct {
	path  string
	clock func() time.Time
	built time.Time // of the program: no clock can be right before it

	mu   sync.Mutex // guards what follows
	at   time.Time
	base time.Time // what our clock counts as while it cannot be right
}

func openFloor(dir string, clock func() time.Time, built time.Time) (*floor, error) {
	f := &floor{path: filepath.Join(dir, floorFile), clock: clock, built: built, at: built}
	text, err := os.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("time floor: %w", err)
	default:
		ms, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || ms < 0 || ms > maxMillis {
			return nil, fmt.Errorf("time floor %s: %w: %.32q is no time", f.path, ErrInvalid, text)
		}
		f.at = time.UnixMilli(ms)
	}
	f.base = f.at
	return f, nil
}

// now returns the time to judge by. sane is false when the clock cannot be
// right; then it is known only that it is not earlier.
func (f *floor) now() (at time.Time, sane bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clock := f.clock()
	if clock.Before(f.at) {
		return f.at, !clock.Before(f.built)
	}
	return clock, !clock.Before(f.built)
}

// raise notes a time that the root or an issuer has signed.
func (f *floor) raise(ms int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	most := f.clock()
	if most.Before(f.built) {
		most = f.base
	}
	most = most.Add(floorAhead)
	at := time.UnixMilli(ms)
	if at.After(most) {
		at = most
	}
	if at.Sub(f.at) < floorStep {
		return nil
	}
	return f.set(at)
}

// lower is for the root alone: it mends a floor that is too late.
func (f *floor) lower(ms int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at := time.UnixMilli(ms); at.Before(f.at) {
		return f.set(at)
	}
	return nil
}

func (f *floor) set(at time.Time) error {
	f.at = at
	err := durable.WriteFile(f.path, []byte(strconv.FormatInt(at.UnixMilli(), 10)+"\n"), 0o600)
	if err != nil {
		return fmt.Errorf("time floor: %w", err)
	}
	return nil
}
