package keep

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/discovery"
)

const (
	maxFound     = 4096             // peers remembered from discovery
	foundAddrTTL = 30 * time.Minute // a hint is asked for again before that
	foundRetry   = time.Minute      // between dials of one found peer
	foundDials   = 4                // at once, of each way
	foundTimeout = 10 * time.Second
)

// Follower takes what discovery finds: it remembers addresses, and dials found peers until the node
// has the connections that it wants. Beyond those few, which make it a part of the network, it only
// remembers where others are, so that a fleet does not become a full mesh.
type Follower struct {
	host  corehost.Host
	cfg   FollowerConfig
	found *foundPeers
}

// FollowerConfig says what to do with what is found.
type FollowerConfig struct {
	// Connections is up to how many peers found ones are dialled.
	Connections int
	// Dial connects with a peer whose addresses are known to the host.
	Dial func(context.Context, peer.AddrInfo) error
	// Kept reports whether a peer is dialled in any case, and not from here.
	Kept func(peer.ID) bool
	// FirstHand reports whether an address is known from elsewhere: it is not removed when
	// discovery no longer names it.
	FirstHand func(multiaddr.Multiaddr) bool
	// Found is called for each peer that is found, also again, and Self for this node itself.
	Found, Self func(discovery.Found)
	Logger      *slog.Logger
}

// NewFollower returns a Follower for h.
func NewFollower(h corehost.Host, cfg FollowerConfig) *Follower {
	return &Follower{host: h, cfg: cfg, found: newFoundPeers()}
}

// Run takes what one way finds, until ctx ends. Several ways may run at once.
func (w *Follower) Run(ctx context.Context, way discovery.Finder) error {
	var dials sync.WaitGroup
	defer dials.Wait()
	slots := make(chan struct{}, foundDials)
	for f := range way.Find(ctx) {
		if f.ID == w.host.ID() {
			w.cfg.Self(f)
			continue
		}
		if f.ID.Validate() != nil || len(f.Addrs) == 0 {
			continue
		}
		w.note(f)
		if !w.wanted(f.ID) {
			continue
		}
		select {
		case slots <- struct{}{}:
			dials.Go(func() {
				defer func() { <-slots }()
				w.dial(ctx, f)
			})
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// Moved lets peers be dialled again that could not be reached from where this machine was before, when
// they are found the next time.
func (w *Follower) Moved() { w.found.dialAny() }

// List returns the peers that discovery has found lately, at most 4,096.
func (w *Follower) List() []discovery.Found {
	w.found.mu.Lock()
	defer w.found.mu.Unlock()
	out := make([]discovery.Found, 0, len(w.found.peers))
	for _, p := range w.found.peers {
		out = append(out, p.Found)
	}
	return out
}

// note remembers the addresses of a found peer. What the same way said before is replaced, so that
// nobody adds up addresses without end.
func (w *Follower) note(f discovery.Found) {
	first, before := w.found.add(f)
	if first {
		w.cfg.Logger.Info("found a peer", "peer", f.ID, "by", f.Source)
	}
	known := w.host.Peerstore()
	known.SetAddrs(f.ID, slices.DeleteFunc(before, w.cfg.FirstHand), 0)
	known.AddAddrs(f.ID, f.Addrs, foundAddrTTL)
	w.cfg.Found(f)
}

// wanted reports whether a found peer is worth a connection.
func (w *Follower) wanted(p peer.ID) bool {
	n := w.host.Network()
	return len(n.Peers()) < w.cfg.Connections &&
		n.Connectedness(p) != network.Connected && !w.cfg.Kept(p) && w.found.mayDial(p, time.Now())
}

func (w *Follower) dial(ctx context.Context, f discovery.Found) {
	ctx, cancel := context.WithTimeout(ctx, foundTimeout)
	defer cancel()
	if err := w.cfg.Dial(ctx, peer.AddrInfo{ID: f.ID}); err != nil { // without its addresses, which are not trusted
		w.cfg.Logger.Debug("found peer cannot be reached", "peer", f.ID, "by", f.Source, "err", err)
	}
}

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

// add remembers f. It returns whether this way finds it for the first time, and else the addresses
// that this way had named before and no longer names.
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

// dropOldest makes room. Looking at all of them is fine: it happens only under a flood of made-up
// peers.
func (s *foundPeers) dropOldest() {
	var oldest *foundPeer
	for _, p := range s.peers {
		if oldest == nil || p.at.Before(oldest.at) {
			oldest = p
		}
	}
	delete(s.peers, oldest.ID)
}

// dialAny lets all be dialled again at once.
func (s *foundPeers) dialAny() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		p.dialled = time.Time{}
	}
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
