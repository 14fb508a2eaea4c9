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

	disk sync.Mutex // held while the file is written, and taken before mu

	mu   sync.Mutex // guards what follows
	at   time.Time
	base time.Time // what our clock counts as while it cannot be right
}

func openFloor(dir string, clock func() time.Time, built time.Time) (*floor, error) {
	f := &floor{path: filepath.Join(dir, floorFile), clock: clock, built: built}
	if err := f.read(); err != nil {
		return nil, err
	}
	f.base = f.at
	return f, nil
}

// read takes the floor from the disk. The program's date counts where that of an
// older program is there, or none.
func (f *floor) read() error {
	f.disk.Lock()
	defer f.disk.Unlock()
	text, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("time floor: %w", err)
	}
	at := f.built
	if err == nil {
		ms, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || ms < 0 || ms > maxMillis {
			return fmt.Errorf("time floor %s: %w: %.32q is no time", f.path, ErrInvalid, text)
		}
		if there := time.UnixMilli(ms); there.After(at) {
			at = there
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = at
	return nil
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
	return f.move(func() time.Time {
		most := f.clock()
		if most.Before(f.built) {
			most = f.base
		}
		at := time.UnixMilli(ms)
		if most = most.Add(floorAhead); at.After(most) {
			at = most
		}
		if at.Sub(f.at) < floorStep {
			return f.at
		}
		return at
	})
}

// lower is for the root alone: it mends a floor that is too late.
func (f *floor) lower(ms int64) error {
	return f.move(func() time.Time {
		if at := time.UnixMilli(ms); at.Before(f.at) {
			return at
		}
		return f.at
	})
}

// move puts the floor to where to says, and writes it. The time can be asked for
// while the disk is busy.
func (f *floor) move(to func() time.Time) error {
	f.disk.Lock()
	defer f.disk.Unlock()
	f.mu.Lock()
	at := to()
	moved := !at.Equal(f.at)
	f.at = at
	f.mu.Unlock()
	if !moved {
		return nil
	}
	if err := durable.WriteFile(f.path, []byte(strconv.FormatInt(at.UnixMilli(), 10)+"\n"), 0o600); err != nil {
		return fmt.Errorf("time floor: %w", err)
	}
	return nil
}
