package host

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// State is how this node stands with a peer.
type State string

// The states. See next for how they follow on one another.
const (
	StateKnown    State = "known"     // saved or found, and never tried by this process
	StateDialling State = "dialling"  // the first attempt is under way
	StateDirect   State = "connected" // by an address of its own
	StateRelayed  State = "relayed"   // connected by way of a relay
	StateOffline  State = "offline"   // it was lost, or cannot be reached; attempts may go on
	StateBlocked  State = "blocked"   // it was thrown out
)

// standingEvent is what moves a peer from state to state.
type standingEvent int

const (
	evFound   standingEvent = iota // saved, or told of by discovery
	evDial                         // an attempt begins
	evFail                         // an attempt has failed
	evDirect                       // a connection is there, at its own address
	evRelayed                      // the best connection goes over a relay
	evLost                         // the last connection is gone
	evBlock
	evUnblock
)

// next is the state after an event. An offline peer stays so while it is dialled again: an attempt is no news, its
// success is.
func (s State) next(e standingEvent) State {
	switch {
	case e == evUnblock && s == StateBlocked:
		return StateOffline
	case e == evBlock || s == StateBlocked:
		return StateBlocked
	case e == evDirect:
		return StateDirect
	case e == evRelayed:
		return StateRelayed
	case e == evLost, e == evFail && s != StateDirect && s != StateRelayed:
		return StateOffline
	case e == evDial && (s == "" || s == StateKnown):
		return StateDialling
	case s == "":
		return StateKnown
	}
	return s
}

// Standing is how this node stands with one peer, and since when.
type Standing struct {
	Peer  peer.ID
	State State
	Since time.Time
	// Path and Addr are those of the best connection; empty without one.
	Path Path
	Addr string
	// Err is why the last attempt has failed; nil when it was good.
	Err error
}

// StandingChange is a change of a peer's standing; Before is empty for a peer that was not known.
type StandingChange struct {
	Standing
	Before State
}

const (
	maxStandings    = maxMembers + maxFound
	standingsQueued = 1024 // changes that wait for a slow listener; further ones it misses
	sweepPause      = time.Second
)

// standings are the states of all peers that this process has heard of. Those of strangers make room when there are too many.
type standings struct {
	worth func(peer.ID) bool // tells who is remembered; it is called without the lock

	mu        sync.Mutex // guards what follows
	peers     map[peer.ID]*Standing
	listeners map[chan StandingChange]struct{}
	swept     time.Time
}

func newStandings(worth func(peer.ID) bool) *standings {
	return &standings{worth: worth, peers: make(map[peer.ID]*Standing), listeners: make(map[chan StandingChange]struct{})}
}

// worthRemembering tells whether what becomes of p matters beyond the connections with it.
func (h *Host) worthRemembering(p peer.ID) bool {
	if m, ok := h.book.Get(p); ok && !m.Hint || h.keeper.has(p) {
		return true
	}
	return h.isMember(p)
}

// sweep makes room when the table is full: strangers that are not connected go.
func (s *standings) sweep() {
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

func (s *Standing) connected() bool { return s.State == StateDirect || s.State == StateRelayed }

// tell moves a peer on, and reports it when that changes its state or its path. c is the connection of evDirect and
// evRelayed, err the cause of evFail.
func (s *standings) tell(p peer.ID, e standingEvent, c network.Conn, err error) {
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
		st.Path, st.Addr, st.Err = PathOf(c), c.RemoteMultiaddr().String(), nil
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
		case l <- StandingChange{*st, before.State}:
		default:
		}
	}
}

// see notes what the connections to p amount to; c is the best of them, or nil.
func (s *standings) see(p peer.ID, c network.Conn) {
	switch {
	case c == nil:
		s.tell(p, evLost, nil, nil)
	case PathOf(c) == PathRelay:
		s.tell(p, evRelayed, c, nil)
	default:
		s.tell(p, evDirect, c, nil)
	}
}

func (s *standings) list() []Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Standing, 0, len(s.peers))
	for _, st := range s.peers {
		out = append(out, *st)
	}
	slices.SortFunc(out, func(a, b Standing) int { return cmp.Compare(a.Peer, b.Peer) })
	return out
}

func (s *standings) get(p peer.ID) (Standing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.peers[p]
	if st == nil {
		return Standing{}, false
	}
	return *st, true
}

// Standings returns how this node stands with all peers that it has heard of since it started.
func (h *Host) Standings() []Standing { return h.standings.list() }

// Standing returns how this node stands with p.
func (h *Host) Standing(p peer.ID) (Standing, bool) { return h.standings.get(p) }

// WatchStandings returns the changes from now on. One who does not listen misses some; stop ends it.
func (h *Host) WatchStandings() (changes <-chan StandingChange, stop func()) {
	s, ch := h.standings, make(chan StandingChange, standingsQueued)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners[ch] = struct{}{}
	return ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, ch)
	}
}

// Blocked says that p was thrown out, or that it is no longer.
func (h *Host) Blocked(p peer.ID, yes bool) {
	e := evUnblock
	if yes {
		e = evBlock
	}
	h.standings.tell(p, e, nil, nil)
}
