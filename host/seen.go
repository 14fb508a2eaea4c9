package host

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/record"
)

// seenEvery is how often sightings are written to the address book.
const seenEvery = 2 * time.Second

// proveWithin is how long after a connection a peer may have become a member: longer than its handshake takes.
const proveWithin = 20 * time.Second

// sightings collects where peers were reached, until they are saved: every save waits for the disk, and whoever hears of a
// connection must not, because libp2p waits for it.
type sightings struct {
	mu   sync.Mutex // guards last
	last map[peer.ID]sighting
}

// sighting is that a peer was connected.
type sighting struct {
	addrs  []string // empty: as before
	record []byte   // its signed peer record; empty: as before
	at     time.Time
	how    remembering
}

func (s *sightings) add(p peer.ID, new sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = make(map[peer.ID]sighting)
	}
	if old, ok := s.last[p]; ok {
		if old.at.After(new.at) {
			old, new = new, old
		}
		new.how = max(new.how, old.how)
		if len(new.addrs) == 0 {
			new.addrs = old.addrs
		}
		if len(new.record) == 0 {
			new.record = old.record
		}
	} else if len(s.last) >= maxFound {
		return // a flood; the next sighting will do
	}
	s.last[p] = new
}

func (s *sightings) take() map[peer.ID]sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last
	s.last = nil
	return last
}

// saveSightings writes what was seen, until ctx ends, and the rest then.
func (h *Host) saveSightings(ctx context.Context) {
	ticker := time.NewTicker(seenEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
		for p, s := range h.seen.take() {
			if h.cfg.Member != nil && s.how != asMember {
				_, saved := h.book.Get(p)
				switch {
				case s.how == asHint && h.cfg.Member(p):
					s.how = asMember
				case saved:
					s.how = onlySaved
				case time.Since(s.at) < proveWithin && h.Network().Connectedness(p) == network.Connected:
					h.seen.add(p, s) // it may show yet that it is a member
					continue
				default:
					continue
				}
			}
			if err := h.book.seen(p, s); err != nil && !errors.Is(err, ErrBookFull) {
				h.log.Warn("saving a peer's address failed", "peer", p, "err", err)
			}
		}
	}
}

// notice remembers where a peer was reached. Strangers that came by themselves are not saved: only peers that are saved
// already, or kept (which bootstrap peers are), and as hints those found by us. A process that does not listen saves no hints,
// being gone in a moment.
func (h *Host) notice(e event.EvtPeerIdentificationCompleted) {
	ours := e.Conn.Stat().Direction == network.DirOutbound
	s := sighting{at: time.Now()}
	switch {
	case h.keeper.has(e.Peer):
		s.how = asMember
	case ours && !h.cfg.NoListen:
		s.how = asHint
	}
	if ours {
		s.addrs = append(s.addrs, e.Conn.RemoteMultiaddr().String())
	}
	listens := slices.Clone(e.ListenAddrs)
	sortByReach(listens) // so that not the best are cut off
	for _, a := range listens {
		if text := a.String(); len(s.addrs) < maxAddrs && legible(a) && !slices.Contains(s.addrs, text) {
			s.addrs = append(s.addrs, text)
		}
	}
	h.Peerstore().AddAddrs(e.Peer, listens[:min(len(listens), maxAddrs)], peerstore.RecentlyConnectedAddrTTL)
	s.record = sealed(e.SignedPeerRecord)
	h.seen.add(e.Peer, s)
	if h.cfg.Member != nil || len(s.record) == 0 {
		return // of strangers nothing is kept; members are saved
	}
	if err := h.Peerstore().Put(e.Peer, recordKey, s.record); err != nil { // until it is gone
		h.log.Debug("a peer's record is not kept", "peer", e.Peer, "err", err)
	}
}

// recordKey is where the peerstore has the record of a peer of an open network.
const recordKey = "swarm-record"

// SignedRecord is the newest signed peer record of a saved peer, or of this host itself, for others to be told of: an envelope
// that discovery.OpenRecord reads. In a network without members it is known of all connected peers. It is nil where none is
// known, as of a peer that listens nowhere.
func (h *Host) SignedRecord(p peer.ID) []byte {
	if certified, ok := peerstore.GetCertifiedAddrBook(h.Peerstore()); ok && p == h.ID() {
		return sealed(certified.GetPeerRecord(p))
	}
	if kept, err := h.Peerstore().Get(p, recordKey); err == nil {
		return kept.([]byte)
	}
	m, _ := h.book.Get(p)
	return m.Record
}

// sealed is what is kept of a signed peer record; nil for none, and for one that is too long.
func sealed(e *record.Envelope) []byte {
	if e == nil {
		return nil
	}
	text, err := e.Marshal()
	if err != nil || len(text) > MaxRecord {
		return nil
	}
	return text
}
