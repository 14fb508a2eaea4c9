package quota

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Memory is one account of what the frames of all strangers together take. Each has one
// large frame under way at most, so that nobody takes all of it. Its methods may be called concurrently.
type Memory struct {
	most int

	mu    sync.Mutex // guards what follows
	taken int
	peers map[peer.ID]struct{} // who has a large frame under way
}

// NewMemory returns an account of so many bytes.
func NewMemory(most int) *Memory {
	return &Memory{most: most, peers: make(map[peer.ID]struct{})}
}

// Take reports whether p may send a frame of n bytes now. If so, Give must follow.
func (m *Memory) Take(p peer.ID, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, busy := m.peers[p]; busy || m.taken+n > m.most {
		return false
	}
	m.taken += n
	m.peers[p] = struct{}{}
	return true
}

// Give returns what was taken for p.
func (m *Memory) Give(p peer.ID, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taken -= n
	delete(m.peers, p)
}
