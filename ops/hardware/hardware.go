// Package hardware tells how the devices of a machine are: graphics cards, processor packages and disks, with
// their temperatures, power, fans, use and memory, as far as the machine says.
//
//	r := hardware.New(hardware.Config{})
//	devices := r.Read(ctx) // every few seconds
//
// Nothing is guessed: what a device does not say, and what it cannot be, is nil. Who asks never waits for a
// driver that hangs, as those of graphics cards do now and then: it is asked once, and until it answers its
// devices are told without numbers.
package hardware

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// MaxDevices is how many devices are told.
	MaxDevices = 32
	// DefaultWithin is how long a source may take to answer.
	DefaultWithin = 3 * time.Second
	// maxText bounds a name and an ID, in bytes.
	maxText = 80
)

// Kind is what a device is.
type Kind string

// The kinds.
const (
	GPU  Kind = "gpu"
	CPU  Kind = "cpu" // a package, with all its cores
	Disk Kind = "disk"
)

// Device is one device. Nil numbers are not known.
type Device struct {
	// ID names it for as long as the machine is not rebuilt: a PCI address, a UUID, or a number.
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	Name string `json:"name,omitzero"`

	TempCelsius *float64 `json:"tempCelsius"`
	PowerWatts  *float64 `json:"powerWatts"`
	FanPercent  *float64 `json:"fanPercent,omitzero"`
	UsePercent  *float64 `json:"usePercent,omitzero"`
	MemTotal    *uint64  `json:"memTotal,omitzero"` // bytes
	MemUsed     *uint64  `json:"memUsed,omitzero"`
	// Reason says why there are no numbers; empty where there are.
	Reason string `json:"reason,omitzero"`
}

// silent is why a device has no numbers whose driver hangs.
const silent = "its driver does not answer"

// Config says where to look.
type Config struct {
	// Sys is what the kernel tells of devices; nil means /sys.
	Sys fs.FS
	// NvidiaSMI is the program that tells of the cards of NVIDIA; empty means to look in PATH.
	NvidiaSMI string
	// Within is how long a source may take to answer; 0 means DefaultWithin.
	Within time.Duration
	// Clock is for tests; nil means time.Now.
	Clock func() time.Time
}

// Reader reads devices. Its methods are safe for concurrent use.
type Reader struct {
	within  time.Duration
	sources []*source
}

// New returns a reader.
func New(cfg Config) *Reader {
	if cfg.Sys == nil {
		cfg.Sys = os.DirFS("/sys")
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	within := cmp.Or(cfg.Within, DefaultWithin)
	return &Reader{within: within, sources: []*source{
		{read: cards{cfg.Sys}.read}, {read: (&packages{sys: cfg.Sys, clock: cfg.Clock}).read}, {read: disks{cfg.Sys}.read},
		{read: nvidia{cfg.NvidiaSMI, within}.read},
	}}
}

// Read returns the devices, by kind and ID: MaxDevices at most. It takes no longer than Within, or than ctx.
func (r *Reader) Read(ctx context.Context) (all []Device) {
	ctx, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	found := make([][]Device, len(r.sources))
	var asking sync.WaitGroup
	for i, s := range r.sources {
		asking.Go(func() { found[i] = s.ask(ctx) })
	}
	asking.Wait()
	for _, devices := range found {
		all = append(all, devices...)
	}
	slices.SortStableFunc(all, func(a, b Device) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	return all[:min(len(all), MaxDevices)]
}

// source is one way to ask for devices, which may never answer.
type source struct {
	read func() []Device

	mu     sync.Mutex
	answer chan []Device // guarded by mu: of the question that is open; nil when none is
	last   []Device      // guarded by mu: as last answered
}

// ask returns what the source answers, or its devices without numbers when it does not do so before ctx ends.
// One question is open at a time.
func (s *source) ask(ctx context.Context) []Device {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer == nil {
		answer := make(chan []Device, 1)
		s.answer = answer
		go func() { answer <- s.read() }() // it may hang in the kernel, and is left then
	}
	select {
	case s.last = <-s.answer:
		s.answer = nil
		return s.last
	case <-ctx.Done():
		return nameless(s.last)
	}
}

// nameless returns devices without their numbers.
func nameless(devices []Device) (out []Device) {
	for _, d := range devices {
		out = append(out, Device{ID: d.ID, Kind: d.Kind, Name: d.Name, Reason: silent})
	}
	return out
}
