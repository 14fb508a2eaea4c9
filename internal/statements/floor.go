package statements

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
	maxFloorFile = 256
	maxMillis    = 253_402_300_799_000 // the year 9999
	// floorStep is the least that is worth a write to the disk.
	floorStep = time.Hour
)

// Floor is the earliest time that it can be, so that a clock that was set back brings no right back
// to life. Only the dates of the root's statements move it. Where the clock can be right, a date
// counts only as far as the clock agrees: a clock that is ahead for a while, or a date that is,
// leaves nothing behind. Where it cannot, as on a machine without a battery, the time is known to
// be later than what the root has signed, and to go on while the machine runs. It is used
// concurrently.
type Floor struct {
	path  string
	clock func() time.Time
	built time.Time // of the program: no clock can be right before it

	disk sync.Mutex // held while the file is written, and taken before mu

	mu     sync.Mutex // guards what follows
	at     time.Time  // the least, as far as a clock that can be right agreed
	blind  time.Time  // the least while the clock cannot be right
	since  time.Time  // when blind was set, by the clock; with its monotonic part
	saved  time.Time  // of blind, on the disk
	failed error      // of the last write
}

// OpenFloor reads the floor of a folder. built is when the program was built: no clock can be right
// before it. The floor is good for use whatever the error is: the root's statements say it again,
// so the error is worth a warning.
func OpenFloor(dir string, clock func() time.Time, built time.Time) (*Floor, error) {
	f := &Floor{path: filepath.Join(dir, FloorFile), clock: clock, built: built, at: built, since: clock()}
	at, blind, err := readFloor(f.path)
	f.at, f.blind = later(f.at, at), later(f.at, later(at, blind))
	f.saved = blind
	return f, err
}

func readFloor(path string) (at, blind time.Time, err error) {
	text, err := durable.ReadFile(path, maxFloorFile)
	if errors.Is(err, fs.ErrNotExist) {
		return at, blind, nil
	}
	times, check, _ := strings.Cut(strings.TrimSuffix(string(text), "\n"), " check ")
	fields := strings.Fields(times)
	if err == nil && (len(fields) != 2 || check != checkOf(times)) {
		err = errors.New("want two times and their check")
	}
	if err != nil {
		return at, blind, fmt.Errorf("time floor: %w", err)
	}
	var ms [2]int64
	for i, word := range fields {
		if ms[i], err = strconv.ParseInt(word, 10, 64); err != nil || ms[i] < 0 || ms[i] > maxMillis {
			return at, blind, fmt.Errorf("time floor: %.32q is no time", word)
		}
	}
	return time.UnixMilli(ms[0]), time.UnixMilli(ms[1]), nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Now returns the time to judge by. sane is false when the clock cannot be right: then all that is
// known is that it is not earlier.
func (f *Floor) Now() (at time.Time, sane bool) {
	f.mu.Lock()
	clock := f.clock()
	if !clock.Before(f.built) {
		defer f.mu.Unlock()
		return later(clock, f.at), true
	}
	at = f.blind
	if up := clock.Sub(f.since); up > 0 {
		at = at.Add(up)
	}
	due := at.Sub(f.saved) >= floorStep
	if due {
		f.blind, f.since = at, clock
	}
	f.mu.Unlock()
	if due {
		f.save()
	}
	return at, false
}

// Learn takes the date of a statement by the root, in Unix milliseconds.
func (f *Floor) Learn(ms int64) {
	if f.move(time.UnixMilli(ms)) {
		f.save()
	}
}

func (f *Floor) move(signed time.Time) (moved bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clock := f.clock()
	sane := !clock.Before(f.built)
	if signed.After(clock) && sane {
		signed = clock
	}
	if sane && signed.After(f.at) {
		f.at, moved = signed, true
	}
	if signed.After(f.blind) {
		f.blind, f.since, moved = signed, clock, true
	}
	return moved
}

// save writes the floor. It can be computed again but for the time that a machine without a clock
// was up, so a fault is only noted. Now does not wait for it.
func (f *Floor) save() {
	f.disk.Lock()
	defer f.disk.Unlock()
	f.mu.Lock()
	at, blind := f.at, f.blind
	f.saved = blind
	f.mu.Unlock()
	times := fmt.Sprintf("%d %d", max(at.UnixMilli(), 0), max(blind.UnixMilli(), 0))
	err := durable.WriteFile(f.path, []byte(times+" check "+checkOf(times)+"\n"), 0o600)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = err
}

// Fault returns why the last write failed, or nil.
func (f *Floor) Fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(f.failed, os.ErrNotExist) {
		return nil // the machine has left its fleet
	}
	return f.failed
}
