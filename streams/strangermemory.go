package streams

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// smallFrame is the largest frame that needs no part of the memory for strangers: a greeting with
// its grant fits. However many strangers hold that memory, one that has something to show is heard.
const smallFrame = 16 << 10

// strangerMemory is one account of what the frames of all strangers together take. Each has one
// large frame under way at most, so that nobody takes all of it.
type strangerMemory struct {
	most int

	mu    sync.Mutex // guards what follows
	taken int
	peers map[peer.ID]struct{} // who has a large frame under way
}

func newStrangerMemory(most int) *strangerMemory {
	return &strangerMemory{most: most, peers: make(map[peer.ID]struct{})}
}

// take reports whether p may send a frame of n bytes now. If so, give must follow.
func (m *strangerMemory) take(p peer.ID, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, busy := m.peers[p]; busy || m.taken+n > m.most {
		return false
	}
	m.taken += n
	m.peers[p] = struct{}{}
	return true
}

// give returns what was taken for p.
func (m *strangerMemory) give(p peer.ID, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taken -= n
	delete(m.peers, p)
}
