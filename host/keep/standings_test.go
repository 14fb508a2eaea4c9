package keep

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
)

// peerNumber is a made-up peer ID.
func peerNumber(i int) peer.ID {
	return peer.ID(binary.BigEndian.AppendUint64([]byte{0, 36, 8, 1, 18, 32}, uint64(i)))
}

func TestStateTransitions(t *testing.T) {
	all := []State{"", Known, Dialling, Direct, Relayed, Offline, Blocked}
	tests := []struct {
		event happening
		want  map[State]State // those not named stay as they are; "" becomes known
	}{
		{evFound, nil},
		{evDial, map[State]State{"": Dialling, Known: Dialling}},
		{evFail, map[State]State{"": Offline, Known: Offline, Dialling: Offline}},
		{evDirect, map[State]State{"": Direct, Known: Direct, Dialling: Direct, Relayed: Direct, Offline: Direct}},
		{evRelayed, map[State]State{"": Relayed, Known: Relayed, Dialling: Relayed, Direct: Relayed, Offline: Relayed}},
		{evLost, map[State]State{"": Offline, Known: Offline, Dialling: Offline, Direct: Offline, Relayed: Offline}},
		{evBlock, map[State]State{"": Blocked, Known: Blocked, Dialling: Blocked, Direct: Blocked, Relayed: Blocked, Offline: Blocked}},
		{evUnblock, map[State]State{Blocked: Offline}},
	}
	for _, tc := range tests {
		for _, s := range all {
			want, named := tc.want[s]
			if !named {
				want = s
				if s == "" {
					want = Known
				}
			}
			if got := s.next(tc.event); got != want {
				t.Errorf("event %d in state %q: got %q, want %q", tc.event, s, got, want)
			}
		}
	}
}

func TestStandingsAreTold(t *testing.T) {
	s := NewStandings(func(peer.ID) bool { return true })
	p, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	_, changes, stop := s.Watch()
	s.move(p, evDial, nil, nil)
	s.move(p, evFail, nil, errors.New("no answer"))
	s.move(p, evFail, nil, errors.New("still none")) // no change
	s.Block(p, true)
	s.Block(p, true)
	stop()
	s.Block(p, false)
	var got []State
	for len(changes) > 0 {
		c := <-changes
		if c.Peer != p || c.State == c.Before || c.Since.IsZero() {
			t.Errorf("told %+v", c)
		}
		got = append(got, c.State)
	}
	if len(got) != 3 || got[0] != Dialling || got[1] != Offline || got[2] != Blocked {
		t.Errorf("told of %v", got)
	}
	if st, ok := s.Get(p); !ok || st.State != Offline || st.Err == nil || st.Err.Error() != "still none" {
		t.Errorf("standing %+v", st)
	}
	if n := len(s.peers); n != 1 {
		t.Errorf("%d standings", n)
	}
}

// A flood of made-up peers is forgotten, and takes nobody's place.
func TestStandingsAreBounded(t *testing.T) {
	member := peerNumber(maxStandings + 10)
	saved := peerNumber(7)
	s := NewStandings(func(p peer.ID) bool { return p == member || p == saved })
	for i := range maxStandings {
		s.move(peerNumber(i), evFound, nil, nil)
	}
	if n := len(s.peers); n != maxStandings {
		t.Errorf("%d are kept, want %d", n, maxStandings)
	}
	s.move(member, evDial, nil, nil)
	if st, ok := s.Get(member); !ok || st.State != Dialling {
		t.Errorf("a member stands %+v after the flood", st)
	}
	if _, ok := s.Get(saved); !ok {
		t.Error("a saved peer was forgotten")
	}
	for i := range 2 * maxStandings {
		s.move(peerNumber(i), evFound, nil, nil)
	}
	if n := len(s.peers); n > maxStandings {
		t.Errorf("%d are kept, want %d at most", n, maxStandings)
	}
}
