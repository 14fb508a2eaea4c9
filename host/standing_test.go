package host

import (
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
)

func TestStateTransitions(t *testing.T) {
	all := []State{"", StateKnown, StateDialling, StateDirect, StateRelayed, StateOffline, StateBlocked}
	tests := []struct {
		event standingEvent
		want  map[State]State // those not named stay as they are; "" becomes known
	}{
		{evFound, nil},
		{evDial, map[State]State{"": StateDialling, StateKnown: StateDialling}},
		{evFail, map[State]State{"": StateOffline, StateKnown: StateOffline, StateDialling: StateOffline}},
		{evDirect, map[State]State{"": StateDirect, StateKnown: StateDirect, StateDialling: StateDirect, StateRelayed: StateDirect, StateOffline: StateDirect}},
		{evRelayed, map[State]State{"": StateRelayed, StateKnown: StateRelayed, StateDialling: StateRelayed, StateDirect: StateRelayed, StateOffline: StateRelayed}},
		{evLost, map[State]State{"": StateOffline, StateKnown: StateOffline, StateDialling: StateOffline, StateDirect: StateOffline, StateRelayed: StateOffline}},
		{evBlock, map[State]State{"": StateBlocked, StateKnown: StateBlocked, StateDialling: StateBlocked, StateDirect: StateBlocked, StateRelayed: StateBlocked, StateOffline: StateBlocked}},
		{evUnblock, map[State]State{StateBlocked: StateOffline}},
	}
	for _, tc := range tests {
		for _, s := range all {
			want, named := tc.want[s]
			if !named {
				want = s
				if s == "" {
					want = StateKnown
				}
			}
			if got := s.next(tc.event); got != want {
				t.Errorf("event %d in state %q: got %q, want %q", tc.event, s, got, want)
			}
		}
	}
}

func TestStandingsAreTold(t *testing.T) {
	h := &Host{standings: newStandings(func(peer.ID) bool { return true })}
	p, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	changes, stop := h.WatchStandings()
	h.standings.tell(p, evDial, nil, nil)
	h.standings.tell(p, evFail, nil, errors.New("no answer"))
	h.standings.tell(p, evFail, nil, errors.New("still none")) // no change
	h.Blocked(p, true)
	h.Blocked(p, true)
	stop()
	h.Blocked(p, false)
	var got []State
	for len(changes) > 0 {
		c := <-changes
		if c.Peer != p || c.State == c.Before || c.Since.IsZero() {
			t.Errorf("told %+v", c)
		}
		got = append(got, c.State)
	}
	if len(got) != 3 || got[0] != StateDialling || got[1] != StateOffline || got[2] != StateBlocked {
		t.Errorf("told of %v", got)
	}
	if s, ok := h.Standing(p); !ok || s.State != StateOffline || s.Err == nil || s.Err.Error() != "still none" {
		t.Errorf("standing %+v", s)
	}
	if all := h.Standings(); len(all) != 1 {
		t.Errorf("%d standings", len(all))
	}
}

// A flood of made-up peers is forgotten, and takes nobody's place.
func TestStandingsAreBounded(t *testing.T) {
	member := peerNumber(maxStandings + 10)
	saved := peerNumber(7)
	s := newStandings(func(p peer.ID) bool { return p == member || p == saved })
	for i := range maxStandings {
		s.tell(peerNumber(i), evFound, nil, nil)
	}
	if n := len(s.list()); n != maxStandings {
		t.Errorf("%d are kept, want %d", n, maxStandings)
	}
	s.tell(member, evDial, nil, nil)
	if st, ok := s.get(member); !ok || st.State != StateDialling {
		t.Errorf("a member stands %+v after the flood", st)
	}
	if _, ok := s.get(saved); !ok {
		t.Error("a saved peer was forgotten")
	}
	for i := range 2 * maxStandings {
		s.tell(peerNumber(i), evFound, nil, nil)
	}
	if n := len(s.list()); n > maxStandings {
		t.Errorf("%d are kept, want %d at most", n, maxStandings)
	}
}
