package quota

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Places counts what peers have under way, of one kind. Its methods may be called concurrently.
type Places struct {
	Most        int // how many there may be
	MostPerPeer int // and how many of these of one peer

	mu    sync.Mutex // guards what follows
	peers map[peer.ID]int
	all   int
}

// Take takes a place for p, if there is one: give gives it back, and is called once. Without one give is
// nil. ofPeer and all are how many were taken before.
func (s *Places) Take(p peer.ID) (give func(), ofPeer, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ofPeer, all = s.peers[p], s.all
	if ofPeer >= s.MostPerPeer || all >= s.Most {
		return nil, ofPeer, all
	}
	if s.peers == nil {
		s.peers = make(map[peer.ID]int)
	}
	s.peers[p]++
	s.all++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.peers[p]--; s.peers[p] == 0 {
			delete(s.peers, p)
		}
	}, ofPeer, all
}
