package keep

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/route"
)

// State is how this node stands with a peer.
type State string

// The states. See next for how they follow on one another.
const (
	Known    State = "known"     // saved or found, and never tried by this process
	Dialling State = "dialling"  // the first attempt is under way
	Direct   State = "connected" // by an address of its own
	Relayed  State = "relayed"   // connected through a relay
	Offline  State = "offline"   // it was lost, or cannot be reached; attempts may go on
	Blocked  State = "blocked"   // it was revoked
)

// happening is what moves a peer from state to state.
type happening int

const (
	evFound   happening = iota // saved, or found by discovery
	evDial                     // an attempt begins
	evFail                     // an attempt has failed
	evDirect                   // a connection is there, at its own address
	evRelayed                  // the best connection goes over a relay
	evLost                     // the last connection is gone
	evBlock
	evUnblock
)

// next is the state after an event. An offline peer stays so while it is dialled again: an attempt is
// no news, its success is.
func (s State) next(e happening) State {
	switch {
	case e == evUnblock && s == Blocked:
		return Offline
	case e == evBlock || s == Blocked:
		return Blocked
	case e == evDirect:
		return Direct
	case e == evRelayed:
		return Relayed
	case e == evLost, e == evFail && s != Direct && s != Relayed:
		return Offline
	case e == evDial && (s == "" || s == Known):
		return Dialling
	case s == "":
		return Known
	}
	return s
}

// Standing is how this node stands with one peer, and since when.
type Standing struct {
	Peer  peer.ID
	State State
	Since time.Time
	// Path and Addr are those of the best connection; empty without one.
	Path route.Path
	Addr string
	// Err is why the last attempt has failed; nil when it was good.
	Err error
}

// Change is a change of a peer's standing; Before is empty for a peer that was not known.
type Change struct {
	Standing
	Before State
}

const (
	maxStandings    = 10_000 + maxFound // all that an address book holds, and all found
	standingsQueued = 1024              // changes that wait for a slow reader, which misses further ones
	sweepPause      = time.Second
)

// Standings are the states of all peers that this process has heard of. Those of strangers make room
// when there are too many. Methods may be called concurrently.
type Standings struct {
	worth func(peer.ID) bool // called without the lock

	mu        sync.Mutex // guards what follows
	peers     map[peer.ID]*Standing
	listeners map[chan Change]struct{}
	swept     time.Time
}

// NewStandings returns an empty table. worth reports whether a peer matters beyond the connections
// with it: such a peer is not forgotten when strangers are.
func NewStandings(worth func(peer.ID) bool) *Standings {
	return &Standings{worth: worth, peers: make(map[peer.ID]*Standing), listeners: make(map[chan Change]struct{})}
}

// sweep makes room when the table is full: strangers that are not connected go.
func (s *Standings) sweep() {
	s.mu.Lock()
	if len(s.peers) < maxStandings || time.Since(s.swept) < sweepPause {
		s.mu.Unlock()
		return
	}
	s.swept = time.Now()
	var away []peer.ID
	for p, st := range s.peers {
		if !st.connected() {
			away = append(away, p)
		}
	}
	s.mu.Unlock()
	away = slices.DeleteFunc(away, s.worth)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range away {
		if st := s.peers[p]; st != nil && !st.connected() {
			delete(s.peers, p)
		}
	}
}

func (s *Standing) connected() bool { return s.State == Direct || s.State == Relayed }

// move changes the state of a peer, and reports it when its state or its path is another one then.
// c is the connection of evDirect and evRelayed, err the cause of evFail.
func (s *Standings) move(p peer.ID, e happening, c network.Conn, err error) {
	s.sweep()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.peers[p]
	if st == nil {
		if len(s.peers) >= maxStandings {
			return // more than the address book and discovery remember
		}
		st = &Standing{Peer: p}
		s.peers[p] = st
	}
	before := *st
	st.State = st.State.next(e)
	switch {
	case !st.connected():
		st.Path, st.Addr = "", ""
	case c != nil:
		st.Path, st.Addr, st.Err = route.Of(c), c.RemoteMultiaddr().String(), nil
	}
	if e == evFail {
		st.Err = err
	}
	if before.State != st.State {
		st.Since = time.Now()
	}
	if before.State == st.State && before.Path == st.Path {
		return
	}
	for l := range s.listeners {
		select {
		case l <- Change{*st, before.State}:
		default:
		}
	}
}

// Connected notes what the connections to p amount to; c is the best of them, or nil.
func (s *Standings) Connected(p peer.ID, c network.Conn) {
	switch {
	case c == nil:
		s.move(p, evLost, nil, nil)
	case route.Of(c) == route.Relay:
		s.move(p, evRelayed, c, nil)
	default:
		s.move(p, evDirect, c, nil)
	}
}

// Get returns how this node stands with p.
func (s *Standings) Get(p peer.ID) (Standing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.peers[p]
	if st == nil {
		return Standing{}, false
	}
	return *st, true
}

// Found notes that a peer was saved, or found by discovery.
func (s *Standings) Found(p peer.ID) { s.move(p, evFound, nil, nil) }

// Dialling notes that an attempt to reach p begins.
func (s *Standings) Dialling(p peer.ID) { s.move(p, evDial, nil, nil) }

// Failed notes why an attempt to reach p has failed.
func (s *Standings) Failed(p peer.ID, err error) { s.move(p, evFail, nil, err) }

// Block notes that p was revoked, or that it no longer is.
func (s *Standings) Block(p peer.ID, yes bool) {
	e := evUnblock
	if yes {
		e = evBlock
	}
	s.move(p, e, nil, nil)
}

// Watch returns all standings, and the changes from there on. A reader that falls behind by 1,024
// changes misses some; stop ends it.
func (s *Standings) Watch() (now []Standing, changes <-chan Change, stop func()) {
	ch := make(chan Change, standingsQueued)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.peers {
		now = append(now, *st)
	}
	s.listeners[ch] = struct{}{}
	return now, ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, ch)
	}
}
