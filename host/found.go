package host

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/discovery"
)

// foundPeers is the bounded memory of what discovery has found.
type foundPeers struct {
	mu    sync.Mutex // guards peers
	peers map[peer.ID]*foundPeer
}

type foundPeer struct {
	discovery.Found
	sources map[string][]multiaddr.Multiaddr // what each way said last
	at      time.Time                        // last found
	dialled time.Time                        // last tried
}

func newFoundPeers() *foundPeers { return &foundPeers{peers: make(map[peer.ID]*foundPeer)} }

// add remembers f. It reports whether this way had not found it before, and what addresses it had told of if it had.
func (s *foundPeers) add(f discovery.Found) (first bool, before []multiaddr.Multiaddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[f.ID]
	if p == nil {
		if len(s.peers) >= maxFound {
			s.dropOldest()
		}
		p = &foundPeer{sources: make(map[string][]multiaddr.Multiaddr)}
		s.peers[f.ID] = p
	}
	p.Found, p.at = f, time.Now()
	before, known := p.sources[f.Source]
	p.sources[f.Source] = slices.Clone(f.Addrs)
	return !known, slices.DeleteFunc(before, func(a multiaddr.Multiaddr) bool { return multiaddr.Contains(f.Addrs, a) })
}

// dropOldest makes room. Looking at all of them is fine: it happens only under a flood of made-up peers.
func (s *foundPeers) dropOldest() {
	var oldest *foundPeer
	for _, p := range s.peers {
		if oldest == nil || p.at.Before(oldest.at) {
			oldest = p
		}
	}
	delete(s.peers, oldest.ID)
}

// mayDial reports whether p has not been tried lately, and notes that it is now.
func (s *foundPeers) mayDial(p peer.ID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.peers[p]
	if f == nil || now.Sub(f.dialled) < foundRetry {
		return false
	}
	f.dialled = now
	return true
}

func (s *foundPeers) list() []discovery.Found {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]discovery.Found, 0, len(s.peers))
	for _, p := range s.peers {
		out = append(out, p.Found)
	}
	return out
}

// mdnsService makes a DNS-SD service name of a protocol prefix: "/swarm" is "_swarm._udp". A label has at most 15
// letters, digits and hyphens.
func mdnsService(prefix string) string {
	const maxLabel = 15
	label := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, prefix)
	return "_" + label[:min(len(label), maxLabel)] + "._udp"
}
