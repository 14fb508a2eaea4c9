package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Heads keep the ends of each machine's audit log that it told: the first since the
// log was last verified, and some of the latest.
type Heads struct{ dir string }

// maxHeads is how many ends are kept for a machine, and sent along to be verified.
const maxHeads = 8

const maxHeadsFile = 64 << 10 // bytes

// HeadsOf returns what the controller with this state directory was told.
func HeadsOf(stateDir string) Heads { return Heads{filepath.Join(stateDir, "heads")} }

func (h Heads) path(p peer.ID) string { return filepath.Join(h.dir, p.String()+".json") }

// Get returns what a machine told, the oldest first.
func (h Heads) Get(p peer.ID) (out []Head, err error) {
	data, err := durable.ReadFile(h.path(p), maxHeadsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err = json.Unmarshal(data, &out); err != nil {
		// What the machine told before is lost; it must not keep us from remembering what it tells
		// from now on.
		aside, _ := durable.SetAside(h.path(p))
		return nil, fmt.Errorf("%s: %w; it was set aside (%s), and the next answer begins anew", h.path(p), err, aside)
	}
	return out[:min(len(out), maxHeads)], nil
}

// Add keeps a further end. One that is not beyond the others says nothing new.
func (h Heads) Add(p peer.ID, head Head) error {
	list, err := h.Get(p)
	if err != nil || len(list) > 0 && list[len(list)-1].Count >= head.Count {
		return err
	}
	if list = append(list, head); len(list) > maxHeads {
		list = slices.Delete(list, 1, 2) // the oldest stays until it was verified
	}
	return h.Put(p, list...)
}

// Put replaces what is kept.
func (h Heads) Put(p peer.ID, list ...Head) error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return durable.WriteFile(h.path(p), data, 0o600)
}
