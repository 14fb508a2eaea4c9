// Package quota counts what the peers of a node use of it, so that none of them takes all: their open
// streams, and the memory for the large frames of strangers.
package quota

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Streams counts the streams that peers have open. Its methods may be called concurrently.
type Streams struct {
	Member   int // how many a member may have in a family
	Stranger int // how many a stranger may have in all

	mu    sync.Mutex
	peers map[peer.ID]*peerStreams // guarded by mu
}

type peerStreams struct {
	all      int
	byFamily map[string]int
}

// Add counts one more stream of p in the family, unless that is over a limit. If it returns true, Remove
// must follow.
func (s *Streams) Add(p peer.ID, family string, member bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ps := s.peers[p]
	if ps == nil {
		if s.peers == nil {
			s.peers = make(map[peer.ID]*peerStreams)
		}
		ps = &peerStreams{byFamily: make(map[string]int)}
		s.peers[p] = ps
	}
	if member && ps.byFamily[family] >= s.Member || !member && ps.all >= s.Stranger {
		return false
	}
	ps.all++
	ps.byFamily[family]++
	return true
}

// Remove counts one stream less.
func (s *Streams) Remove(p peer.ID, family string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ps := s.peers[p]
	ps.all--
	ps.byFamily[family]--
	if ps.all == 0 {
		delete(s.peers, p)
	}
}
