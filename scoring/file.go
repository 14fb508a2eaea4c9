package scoring

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// maxFile bounds what Load reads: 10,000 peers need about 1.1 MiB.
const maxFile = 64 << 20

// ErrDamaged comes from Load for a file that is no saved book. The book stays as it was; go on, and
// save over it.
var ErrDamaged = errors.New("saved scores are damaged")

// saved is the file. Peers are in the order of observation, the last one first.
type saved struct {
	Version int         `json:"version"`
	Peers   []savedPeer `json:"peers"`
}

type savedPeer struct {
	Peer  peer.ID `json:"peer"`
	Score float64 `json:"score"`
	At    int64   `json:"at"` // Unix milliseconds
}

const fileVersion = 1

// Save writes all scores to a file that only its owner may read. When it returns nil, they are on
// the disk.
func (b *Book) Save(path string) error {
	text, err := json.Marshal(b.snapshot())
	if err != nil {
		return fmt.Errorf("save scores: %w", err)
	}
	if err := durable.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("save scores: %w", err)
	}
	return nil
}

func (b *Book) snapshot() saved {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := saved{Version: fileVersion, Peers: make([]savedPeer, 0, b.order.Len())}
	for e := b.order.Front(); e != nil; e = e.Next() {
		entry := e.Value.(*entry)
		m := entry.mark.Load()
		out.Peers = append(out.Peers, savedPeer{Peer: entry.peer, Score: m.score, At: m.at.UnixMilli()})
	}
	return out
}

// Load adds the scores of a saved file; time that passed since then counts. A missing file is an
// empty one. An error that matches ErrDamaged is for the log: the book can be used, without those
// scores.
func (b *Book) Load(path string) error {
	text, err := durable.ReadFile(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load scores: %w", err)
	}
	file, err := decode(text, time.Now())
	if err != nil {
		return fmt.Errorf("load %s: %w: %w", path, ErrDamaged, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := min(len(file.Peers), b.cfg.MaxPeers) - 1; i >= 0; i-- {
		p := file.Peers[i]
		b.put(p.Peer, mark{score: p.Score, at: time.UnixMilli(p.At)})
	}
	return nil
}

// decode accepts what Save writes. Times to come are of a clock that was wrong, and become now.
func decode(text []byte, now time.Time) (saved, error) {
	var file saved
	if len(text) > maxFile {
		return file, fmt.Errorf("larger than %d bytes", maxFile)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return file, err
	}
	if file.Version != fileVersion {
		return file, fmt.Errorf("version %d, want %d", file.Version, fileVersion)
	}
	for i, p := range file.Peers {
		if err := p.Peer.Validate(); err != nil {
			return file, fmt.Errorf("entry %d: %w", i, err)
		}
		if math.IsNaN(p.Score) || p.Score < Min || p.Score > Max {
			return file, fmt.Errorf("entry %d: score %v is not in %v to %v", i, p.Score, Min, Max)
		}
		file.Peers[i].At = min(p.At, now.UnixMilli())
	}
	return file, nil
}
