package book

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	seenEvery    = 2 * time.Second // between two writes of sightings to the address book
	maxSightings = 4096            // that wait to be saved
	// proveWithin is how long after a connection a peer may have become a member: longer than its
	// handshake takes.
	proveWithin = 20 * time.Second
	// recordKey is where the peerstore has the record of a peer of an open network.
	recordKey = "swarm-record"
)

// Sightings collects where peers were reached, and saves it every two seconds: every save waits for
// the disk, and libp2p waits until its events are handled.
type Sightings struct {
	book *Book
	host corehost.Host
	cfg  SightingsConfig

	mu   sync.Mutex // guards last
	last map[peer.ID]sighting
}

// SightingsConfig says which peers to save. A peer that is saved already is updated in any case.
type SightingsConfig struct {
	// Kept reports whether this node stays connected with a peer. Such a peer is saved.
	Kept func(peer.ID) bool
	// Member reports whether a peer is a member, to be saved, while strangers are not. Nil means
	// that there are no members: then found peers are saved as hints.
	Member func(peer.ID) bool
	// Lasting returns an address as it is good in other networks, too. Nil means as it is.
	Lasting func(multiaddr.Multiaddr) multiaddr.Multiaddr
	// NoHints is for a process that is gone in a moment: peers that it has dialled are no hints.
	NoHints bool
	Logger  *slog.Logger
}

// sighting is that a peer was connected.
type sighting struct {
	addrs  []string // empty: as before
	record []byte   // its signed peer record; empty: as before
	at     time.Time
	how    remembering
}

// remembering is what a sighting means for a peer that is not in the book.
type remembering int

const (
	onlySaved remembering = iota // it is not added
	asHint                       // added as a hint
	asSaved                      // added as the owner's own wish, also if it was a hint
)

// NewSightings returns a collector of sightings of h's peers, for b. Nothing is saved before Run.
func NewSightings(b *Book, h corehost.Host, cfg SightingsConfig) *Sightings {
	if cfg.Lasting == nil {
		cfg.Lasting = func(a multiaddr.Multiaddr) multiaddr.Multiaddr { return a }
	}
	return &Sightings{book: b, host: h, cfg: cfg}
}

// Run saves sightings until ctx ends, and the rest then.
func (s *Sightings) Run(ctx context.Context) error {
	ticker := time.NewTicker(seenEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
		for p, seen := range s.take() {
			s.save(p, seen)
		}
	}
	return nil
}

func (s *Sightings) save(p peer.ID, seen sighting) {
	if s.cfg.Member != nil && seen.how != asSaved {
		_, saved := s.book.Get(p)
		switch {
		case seen.how == asHint && s.cfg.Member(p):
			seen.how = asSaved
		case saved:
			seen.how = onlySaved
		case time.Since(seen.at) < proveWithin && s.host.Network().Connectedness(p) == network.Connected:
			s.add(p, seen) // it may still prove that it is a member
			return
		default:
			return
		}
	}
	if err := s.book.seen(p, seen); err != nil && !errors.Is(err, ErrFull) {
		s.cfg.Logger.Warn("saving a peer's address failed", "peer", p, "err", err)
	}
}

// Left notes that a peer was connected until now.
func (s *Sightings) Left(p peer.ID) { s.add(p, sighting{at: time.Now()}) }

// Identified notes where a peer was reached, and what it announces. Strangers that have dialled
// this node are not saved: only peers that are saved already or kept (which bootstrap peers are),
// and as hints those that this node has dialled.
func (s *Sightings) Identified(e event.EvtPeerIdentificationCompleted) {
	ours := e.Conn.Stat().Direction == network.DirOutbound
	seen := sighting{at: time.Now()}
	switch {
	case s.cfg.Kept(e.Peer):
		seen.how = asSaved
	case ours && !s.cfg.NoHints:
		seen.how = asHint
	}
	if ours {
		seen.addrs = append(seen.addrs, s.cfg.Lasting(e.Conn.RemoteMultiaddr()).String())
	}
	listens := slices.Clone(e.ListenAddrs)
	route.SortByReach(listens) // so that not the best are cut off
	for _, a := range listens {
		if text := a.String(); len(seen.addrs) < MaxAddrs && route.Legible(a) && !slices.Contains(seen.addrs, text) {
			seen.addrs = append(seen.addrs, text)
		}
	}
	known := s.host.Peerstore()
	known.AddAddrs(e.Peer, listens[:min(len(listens), MaxAddrs)], peerstore.RecentlyConnectedAddrTTL)
	seen.record = sealed(e.SignedPeerRecord)
	s.add(e.Peer, seen)
	if s.cfg.Member != nil || len(seen.record) == 0 {
		return // of strangers nothing is kept; members are saved
	}
	if err := known.Put(e.Peer, recordKey, seen.record); err != nil { // until it is gone
		s.cfg.Logger.Debug("a peer's record is not kept", "peer", e.Peer, "err", err)
	}
}

// Record returns the newest signed peer record of a saved peer, or of this node itself: an envelope
// that discovery.OpenRecord reads. In a network without members those of all connected peers are
// known, too. It is nil where none is known, as of a peer that listens nowhere.
func (s *Sightings) Record(p peer.ID) []byte {
	known := s.host.Peerstore()
	if certified, ok := peerstore.GetCertifiedAddrBook(known); ok && p == s.host.ID() {
		return sealed(certified.GetPeerRecord(p))
	}
	if kept, err := known.Get(p, recordKey); err == nil {
		return kept.([]byte)
	}
	e, _ := s.book.Get(p)
	return e.Record
}

// sealed returns the text of a signed peer record that is kept; nil for none, and for one that is
// too long.
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

func (s *Sightings) add(p peer.ID, new sighting) {
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
	} else if len(s.last) >= maxSightings {
		return // a flood; the next sighting will do
	}
	s.last[p] = new
}

func (s *Sightings) take() map[peer.ID]sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last
	s.last = nil
	return last
}

// seen notes that p was connected. It writes nothing if that would only move LastSeen by a moment.
func (b *Book) seen(p peer.ID, s sighting) error {
	old, known := b.Get(p)
	if !known && s.how == onlySaved {
		return nil
	}
	s.addrs = s.addrs[:min(len(s.addrs), MaxAddrs)]
	fresh := s.at.Sub(time.UnixMilli(old.LastSeen)) < time.Minute
	same := (len(s.addrs) == 0 || slices.Equal(keepNames(s.addrs, old.Addrs), old.Addrs)) &&
		(len(s.record) == 0 || bytes.Equal(s.record, old.Record))
	if known && fresh && same && !(old.Hint && s.how == asSaved) {
		return nil
	}
	_, err := b.Update(p, func(e *Entry) {
		e.Hint = s.how != asSaved && (e.Hint || !known)
		e.LastSeen = s.at.UnixMilli()
		if len(s.addrs) > 0 {
			e.Addrs = keepNames(s.addrs, e.Addrs)
			e.Announced = slices.DeleteFunc(e.Announced, func(a string) bool { return slices.Contains(e.Addrs, a) })
		}
		if said, err := discovery.OpenRecord(s.record); err == nil && said.PeerID == p && !ofTomorrow(said) {
			e.keep(s.record, said) // also one of an earlier date: its clock was wrong before
		}
	})
	return err
}
